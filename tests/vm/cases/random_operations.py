"""Random operations on many leases of one account: random_operations.py LIMIT SEED DEVICE...; prints "ready", then, told
"go COUNT", does that many, each with the outcome that the account's figures say it must have, and prints "MAPPED RESERVED"
in bytes. "end" releases everything. Before it answers, the last of the devices is free."""
import os
import random
import sys
import time

import bus
import lease

limit, chance, devices = int(sys.argv[1]), random.Random(int(sys.argv[2])), sys.argv[3:]
client = bus.Bus()
held, done = {}, {}


class Held:
    def __init__(self, device, pages):
        self.device, self.pages, self.maps = device, pages, {}
        _, self.fds = client.acquire([device], memory=pages * lease.PAGE)
        self.channel = lease.Lease(self.fds.pop("lease"))

    def mapped(self):
        return sum(self.maps.values())


def reserved():
    return sum(one.pages for one in held.values())


def outcome(what, got, want):
    if got != want:
        sys.exit(f"operation {sum(done.values())}, {what}: {got}, expected {want}")


def acquire():
    free = [device for device in devices if device not in held]
    if not free:
        return False
    device, left = chance.choice(free), limit // lease.PAGE - reserved()
    # One of three asks for what is left or a page more.
    pages = left + chance.choice((0, 1)) if chance.random() < 0.33 else chance.randrange(1, limit // lease.PAGE)
    try:
        held[device] = Held(device, max(pages, 1))
        outcome("acquire", "given", "given" if max(pages, 1) <= left else "MemoryLimit")
    except bus.BusError as error:
        outcome("acquire", error.name, "MemoryLimit" if max(pages, 1) > left else "given")
    return True


def release(device=None):
    if not held:
        return False
    one = held.pop(device or chance.choice(list(held)))
    for fd in one.fds.values():
        os.close(fd)
    one.channel.socket.close()
    while client.get(bus.device_path(one.device), bus.DEVICE, "State") != "available":
        time.sleep(0.01)
    return True


def map_some():
    if not held:
        return False
    one = chance.choice(list(held.values()))
    left = one.pages - one.mapped()
    pages = max(1, left + chance.choice((0, 1)) if chance.random() < 0.1 else chance.randrange(1, 65))
    memory = lease.memory(pages * lease.PAGE)
    error, iova = one.channel.map(memory, pages * lease.PAGE)
    os.close(memory)
    outcome(f"map of {pages} pages where {left} are left", error, 0 if pages <= left else lease.MEMORY_LIMIT)
    if error == 0:
        one.maps[iova] = pages
    return True


def unmap():
    mapped = [one for one in held.values() if one.maps]
    if not mapped:
        return False
    one = chance.choice(mapped)
    if chance.random() < 0.05:
        outcome("unmap all", one.channel.unmap_all(), (0, one.mapped() * lease.PAGE))
        one.maps.clear()
        return True
    iova = chance.choice(list(one.maps))
    outcome("unmap", one.channel.unmap(iova), (0, one.maps.pop(iova) * lease.PAGE))
    return True


def go(count):
    while count:
        operation = chance.choices((acquire, release, map_some, unmap), (6, 2, 55, 37))[0]
        if operation():
            done[operation.__name__] = done.get(operation.__name__, 0) + 1
            count -= 1
    if devices[-1] in held:
        release(devices[-1])


print("ready", flush=True)
for line in sys.stdin:
    if line.startswith("go"):
        go(int(line.split()[1]))
    elif line.startswith("end"):
        while release():
            pass
    else:
        break
    print(sum(one.mapped() for one in held.values()) * lease.PAGE, reserved() * lease.PAGE, flush=True)
    print(*(f"{count} {name}" for name, count in sorted(done.items())), sep=", ", flush=True)
