"""A monitor under an attacker's control, on the vault's own socket: hostile_monitor.py DEVICE [MAPS [MEMORY]] asks for a
managed lease of DEVICE for uid 1000 and prints what the vault answers; hostile_monitor.py DEVICE limit sets limits beyond
all bounds after that, and prints what limits the lease's keeper had and has. To be run as root, while there is no monitor."""
import os
import pathlib
import pwd
import socket
import struct
import sys

GRANT, SET_LIMIT, HELLO, COMPLETE, RESULT = 65, 67, 96, 99, 101  # daemon/ipc/worker_messages.hpp


def frame(kind, body):
    return struct.pack("<II", kind, len(body)) + body


def address(text):
    domain, bus, rest = text.split(":")
    slot, function = rest.split(".")
    return struct.pack("<IBBB", int(domain, 16), int(bus, 16), int(slot, 16), int(function))


def grant(lease, device, maps, memory):
    """GrantLease, daemon/ipc/vault_messages.hpp."""
    return frame(GRANT, struct.pack("<QIBQQQI", lease, 1000, 0, memory, memory, 64 << 20, maps)
                 + struct.pack("<I", 1) + address(device) + struct.pack("<I", 1) + address(device)
                 + struct.pack("<I", 1) + b"r" + struct.pack("<II", 1000, 0) + struct.pack("<III", 0, 0, 0))


def read_until(vault, kind):
    while True:
        packet, fds, _, _ = socket.recv_fds(vault, 32768, 2)
        for fd in fds:
            os.close(fd)
        if not packet:
            sys.exit("the vault hung up")
        if struct.unpack_from("<I", packet)[0] == kind:
            return packet


def keepers_limits():
    """Of the one keeper there is: RLIMIT_MEMLOCK in bytes, and its cgroup's memory.max."""
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        if comm.read_text() == "iommud-keeper\n":
            limits = (comm.parent / "limits").read_text()
            memlock = next(line.split()[3] for line in limits.splitlines() if line.startswith("Max locked memory"))
            cgroup = (comm.parent / "cgroup").read_text().strip().removeprefix("0::")
            return memlock, pathlib.Path("/sys/fs/cgroup" + cgroup, "memory.max").read_text().strip()
    sys.exit("there is no keeper")


device = sys.argv[1]
sets_limits = sys.argv[2:] == ["limit"]
if sets_limits:
    del sys.argv[2]
maps, memory = [int(text) for text in sys.argv[2:]] + [16, 4096][len(sys.argv) - 2:]
user = pwd.getpwnam("iommud")
os.setgroups([])
os.setresgid(*[user.pw_gid] * 3)
os.seteuid(user.pw_uid)
vault = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
vault.settimeout(60)
vault.connect("/run/iommud/vault/monitor")
os.seteuid(0)  # who connected counts; to look at cgroups takes root
last = struct.unpack_from("<IBQ", read_until(vault, HELLO), 8)[2]
read_until(vault, COMPLETE)
ours, keepers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
socket.send_fds(vault, [grant(last + 1, device, maps, memory)], [keepers.fileno()])
answer = read_until(vault, RESULT)
lease, granted, _, size = struct.unpack_from("<QBII", answer, 8)
print("granted" if granted else "refused: " + answer[25:25 + size].decode(), flush=True)
if sets_limits:
    before = keepers_limits()
    for memlock, memory_max in (1 << 63, 64 << 20), (8192, 1 << 63):
        vault.send(frame(SET_LIMIT, struct.pack("<IQQ", 1000, memlock, memory_max)))
    socket.send_fds(vault, [grant(last + 2, device, 0, memory)], [keepers.fileno()])  # its answer comes after
    read_until(vault, RESULT)
    print("limits", *before, "then", *keepers_limits(), flush=True)
