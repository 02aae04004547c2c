"""A user namespace of a user's own, with all of that user's subordinate ids in it, as a rootless container engine makes
one with newuidmap(1). To be run as root, which writes the maps."""
import ctypes
import os
import pwd

import bus

CLONE_NEWUSER = 0x10000000


def subordinate(user):
    """(first, count) of /etc/subuid; /etc/subgid says the same here."""
    for line in open("/etc/subuid"):
        name, first, count = line.strip().split(":")
        if name == user:
            return int(first), int(count)
    raise LookupError(f"{user} has no subordinate ids")


def enter(user, groups):
    """This process becomes `user`, with `groups`, then root of a namespace where 0 is the user and n > 0 the n-th
    subordinate id."""
    entry, (first, count) = pwd.getpwnam(user), subordinate(user)
    parent = os.getpid()
    ready, (done, told) = os.pipe(), os.pipe()
    if os.fork() == 0:
        os.read(ready[0], 1)
        for kind, own in (("uid", entry.pw_uid), ("gid", entry.pw_gid)):
            with open(f"/proc/{parent}/{kind}_map", "w") as file:
                file.write(f"0 {own} 1\n1 {first} {count}\n")
        os.write(told, b"x")
        os._exit(0)
    os.setgroups(groups)
    os.setresgid(*[entry.pw_gid] * 3)
    os.setresuid(*[entry.pw_uid] * 3)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, lost with the uid; without it the maps belong to root, and nobody is in
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    os.write(ready[1], b"x")
    os.read(done, 1)
    os.wait()
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def connect(uid):
    """A connection of the namespace's `uid`: the kernel notes who asks when the socket is connected."""
    os.seteuid(uid)
    try:
        return bus.Bus()
    finally:
        os.seteuid(0)
