"""Fifty clients acquire and release while policy is loaded again and again: reload_storm.py ROUNDS DEVICE...,
as root.

Three kinds of them: those that both policies allow, those that both deny, and those that one allows. Every other time
the file is broken. When a reload is seen to be over, one client of the third kind asks Explain and Acquire: both have to
answer by the policy in force."""
import collections
import os
import random
import subprocess
import sys
import threading
import time

import bus
import lease
from verdict import verdict

FILE = "/etc/iommud/policy.d/10-test.json"
ALLOWED, DENIED, SOMETIMES = range(2000, 2002), range(2100, 2102), range(2200, 2202)
POLICY = """{ "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "12MiB" }, { "match": { "uids": "2000-2999" }, "memory": "1MiB" } ],
  "rules": [ { "id": "edu", "effect": "allow", "allow_no_reset": true,
               "subjects": [ { "user": "alice" }, %s ],
               "devices": [ { "address": "0000:00:0*" } ] },
             { "id": "never", "effect": "deny", "subjects": [ { "uids": "2100-2199" } ] } ] }"""
NARROW = POLICY % '{ "uids": "2000-2199" }'
WIDE = POLICY % '{ "uids": "2000-2299" }'
BROKEN = WIDE.replace('"effect": "allow"', '"effect": "alow"')
RELOADS = {
    "iommuctl reload": lambda: subprocess.run(["iommuctl", "reload"], capture_output=True),
    "systemctl reload": lambda: subprocess.run(["systemctl", "reload", "iommud"], check=True),
    "SIGHUP": lambda: subprocess.run(["systemctl", "kill", "--kill-whom=main", "-s", "HUP", "iommud"], check=True),
}
devices = sys.argv[2:]
over = threading.Event()
faults = []
answers = collections.Counter()


def connect(uid):
    os.seteuid(uid)
    try:
        return bus.Bus(timeout=120)
    finally:
        os.seteuid(0)


def client_of(connection, kind, seed):
    """What one client does until it is over; what it may not be told is a fault."""
    choice = random.Random(seed)
    while not over.wait(choice.uniform(0, 1)):  # without it they leave the guest no time for anything else
        try:
            _, fds = connection.acquire([choice.choice(devices)], memory=4096)
        except bus.BusError as error:
            answers[kind, error.name] += 1
            if error.name not in ("DeviceBusy", "Draining") and (kind == "allowed" or error.name != "AccessDenied"):
                faults.append(f"{kind}: {error}")
            continue
        answers[kind, "given"] += 1
        if kind == "denied":
            faults.append("a client that is always denied got a lease")
        channel = lease.Lease(fds.pop("lease"))
        memory = lease.memory(4096)
        if channel.map(memory, 4096)[0] != 0 or channel.query()["mapped"] != 4096:
            faults.append("a lease did not last")
        for fd in (memory, *fds.values()):
            os.close(fd)
        channel.socket.close()


def guarded(*arguments):
    try:
        client_of(*arguments)
    except Exception as error:
        faults.append(f"{arguments[1]}: {type(error).__name__}: {error}")


def load(text, admin, how):
    """Puts `text` in force, or tries to, and waits until that is over; whether it is in force."""
    generation = admin.get(bus.ROOT, bus.MANAGER, "PolicyGeneration")
    good = text != BROKEN
    with open(FILE + ".new", "w") as file:
        file.write(text)
    os.rename(FILE + ".new", FILE)
    RELOADS[how]()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        now, degraded = (admin.get(bus.ROOT, bus.MANAGER, name) for name in ("PolicyGeneration", "Degraded"))
        if (now > generation and not degraded) if good else degraded:
            if not good and (now != generation or "alow" not in " ".join(degraded)):
                faults.append(f"a broken policy: generation {generation}, then {now}; {degraded}")
            return
        time.sleep(0.01)
    faults.append(f"{how}: not over within a minute")


def main():
    admin = bus.Bus(bus.ADMINS, timeout=120)
    load(NARROW, admin, "iommuctl reload")
    asked = connect(SOMETIMES[0])
    kinds = {"allowed": (ALLOWED, 20), "denied": (DENIED, 15), "sometimes": (SOMETIMES, 15)}
    threads = []
    for kind, (uids, count) in kinds.items():
        for number in range(count):
            connection = connect(uids[number % len(uids)])
            threads.append(threading.Thread(target=guarded, args=(connection, kind, len(threads)), daemon=True))
    for thread in threads:
        thread.start()
    in_force = NARROW
    rounds = 0
    for rounds in range(int(sys.argv[1])):
        text = (WIDE, BROKEN, NARROW, BROKEN)[rounds % 4]
        load(text, admin, list(RELOADS)[rounds % 3])
        in_force = in_force if text == BROKEN else text
        heard = verdict(asked, devices[0], patience=0)
        if (heard == "AccessDenied") != (in_force == NARROW):
            faults.append(f"round {rounds}: {heard}")
    over.set()
    for thread in threads:
        thread.join()
    load(WIDE, admin, "iommuctl reload")
    for (kind, answer), count in sorted(answers.items()):
        print(f"{kind}: {answer} {count} times")
    print(f"{len(threads)} clients, {rounds + 1} reloads")
    if not all(answers[kind, answer] for kind, answer in
               (("allowed", "given"), ("denied", "AccessDenied"), ("sometimes", "given"), ("sometimes", "AccessDenied"))):
        faults.append("not everything was met with")
    sys.exit("\n".join(sorted(set(faults))[:20]) or None)


main()
