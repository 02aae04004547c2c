"""Subordinate uids of alice: subordinate.py [--inside] ACT ARGUMENT..., as root: in a user namespace of hers that it makes,
or (--inside) in the one that it is in, as root of a container that may change its uid. Devices by address."""
import os
import sys
import time

import bus
import lease
import namespace

PAGE = lease.PAGE


def fail(text):
    sys.exit(f"subordinate.py: {text}")


def refusal(client, device, pages):
    """The name of the error, which must come."""
    try:
        client.acquire([device], memory=pages * PAGE)
    except bus.BusError as error:
        return error.name
    fail(f"{pages} pages of {device} were given")


def acquire(client, device, pages):
    """A lease; while the one before has not ended, it is waited for."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return client.acquire([device], memory=pages * PAGE)[1]
        except bus.BusError as error:
            if error.name not in ("DeviceBusy", "Draining", "MemoryLimit") or time.monotonic() > deadline:
                raise
            time.sleep(0.002)


def each_a_page(first, count, *devices):
    """`count` uids from `first` on hold a page each, all at the same time, in leases of the first of them: prints "ready",
    then does what it is told, a line at a time: one (one more page, from each lease) | back (what the last uid holds) |
    ask (each tenth uid, for a lease of a page) | quit."""
    first, count = int(first), int(count)
    leases = []
    for uid, device in enumerate(devices, first):
        client = namespace.connect(uid)
        leases.append((client, acquire(client, device, count // len(devices))))
    channels = [lease.Lease(fds["lease"]) for _, fds in leases]

    def take(uid, number=None):
        os.seteuid(uid)
        memory = lease.memory(PAGE)
        error, iova = channels[uid % len(channels) if number is None else number].map(memory, PAGE)
        os.close(memory)
        os.seteuid(0)
        return error, iova

    for uid in range(first, first + count):
        error, last = take(uid)
        if error != 0:
            fail(f"uid {uid}: error {error}")
    print("ready", flush=True)
    for word in map(str.strip, sys.stdin):
        if word == "one":
            print(*(take(first + count, number)[0] for number in range(len(channels))), flush=True)
        elif word == "back":
            print(*channels[(first + count - 1) % len(channels)].unmap(last), flush=True)
        elif word == "ask":
            asked = range(first, first + count, 10)
            names = {refusal(namespace.connect(uid), "0000:00:05.0", 1) for uid in asked}
            print(len(asked), *names, flush=True)
        else:
            break


def in_turn(count, device, other, pages):
    """Each of `count` uids in turn: a lease of `pages` pages, which are what the account has left; then not one more."""
    pages = int(pages)
    for uid in range(1, int(count) + 1):
        client = namespace.connect(uid)
        fds = acquire(client, device, pages)
        channel = lease.Lease(fds.pop("lease"))
        memory = lease.memory(pages * PAGE)
        heard = (channel.map(memory, pages * PAGE)[0], channel.map(memory, PAGE)[0], refusal(client, other, 1))
        if heard != (0, lease.MEMORY_LIMIT, "MemoryLimit"):
            fail(f"uid {uid}: {heard}")
        for fd in (memory, *fds.values()):
            os.close(fd)
        channel.socket.close()
        client.socket.close()
    print(f"{count} uids, {pages} pages each")


def by_group(device, other, pages):
    """Three uids of alice's with a group of hers, whose account has `pages` pages: the first takes all of them."""
    path, fds = namespace.connect(1).acquire([device], memory=int(pages) * PAGE)
    same, second = namespace.connect(1), namespace.connect(2)
    objects = (bus.ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
    accounts = second.call(bus.ROOT, bus.MANAGER, "GetAccounts", "a{sv}", ({},))[0]
    print("the next uid:", refusal(second, other, 1))
    print("and alice herself:", refusal(namespace.connect(0), other, 1))
    print("account:", *(f"{a['Uid']} {a['MemoryReserved']}" for a in accounts))
    print("the lease's:", same.get(path, bus.LEASE, "Account"))
    print("seen:", *(path in client.call(*objects)[0] for client in (same, second, namespace.connect(0))))
    try:
        second.call(path, bus.LEASE, "Release", "a{sv}", ({},))
        print("released by the next uid")
    except bus.BusError as error:
        print("release:", error.name)
    allowed, said, trace = second.call(bus.ROOT, bus.MANAGER, "Explain", "a{sv}asa{sv}", ({}, [other], {}))
    print("explained:", trace[-1]["why"].split(":")[0], "|", trace[-1]["why"].rsplit(": ")[-1])
    same.call(path, bus.LEASE, "Release", "a{sv}", ({},))


def many_groups(device):
    """What alice hears in her namespace with as many groups as the kernel has room for, and as are taken."""
    for count in (65536, 1025, 1024):
        os.setgroups(range(count))
        try:
            _, fds = namespace.connect(0).acquire([device], memory=PAGE)
            print(f"{count}: given")
            for fd in fds.values():
                os.close(fd)
        except bus.BusError as error:
            print(f"{count}: {error}")


arguments = sys.argv[1:]
groups = []
if arguments[0] == "by-group":
    groups = [int(arguments.pop(1))]
if arguments[0] == "--inside":
    del arguments[0]
else:
    namespace.enter("alice", groups)
{"each-a-page": each_a_page, "in-turn": in_turn, "by-group": by_group, "many-groups": many_groups}[arguments[0]](*arguments[1:])
