"""Subordinate uids of alice in turn, each with every capability in a namespace of hers and whatever limit of locked memory
its starter left: attack_namespace.py COUNT DEVICE PAGES, as root. Each is to get PAGES, and not one more by any way."""
import os
import resource
import sys

import bus
import lease
import namespace

count, device, pages = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
namespace.enter("alice", [])
status = open("/proc/self/status").read()
assert "CapEff:\t000001ffffffffff" in status, status  # CAP_IPC_LOCK is one of them
assert resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY


def acquire(client, want):
    while True:
        try:
            return client.acquire([device], memory=want)[1]
        except bus.BusError as error:
            if error.name not in ("DeviceBusy", "Draining") and (error.name, want) != ("MemoryLimit", pages * lease.PAGE):
                raise


for uid in range(1, count + 1):
    client = namespace.connect(uid)
    try:
        acquire(client, (pages + 1) * lease.PAGE)
        sys.exit(f"uid {uid}: was given a page more")
    except bus.BusError as error:
        assert error.name == "MemoryLimit", error
    fds = acquire(client, pages * lease.PAGE)
    channel = lease.Lease(fds.pop("lease"))
    memory = lease.memory((pages + 1) * lease.PAGE)
    heard = [channel.map(memory, pages * lease.PAGE)[0], channel.map(memory, lease.PAGE)[0]]
    other, _ = channel.duplicate()
    heard.append(other.map(memory, lease.PAGE)[0])
    if os.fork() == 0:
        os.seteuid(uid)
        os._exit(other.map(memory, lease.PAGE)[0])
    heard.append(os.waitstatus_to_exitcode(os.wait()[1]))
    if heard != [0] + [lease.MEMORY_LIMIT] * 3:
        sys.exit(f"uid {uid}: {heard}")
    for fd in (memory, *fds.values()):
        os.close(fd)
    channel.socket.close()
    other.socket.close()
    client.socket.close()
print(f"{count} uids, {pages} pages each")
