#!/usr/bin/env python3
"""The lease channel from Python (iommud-lease-channel(7)): makes memory, maps it for the lease's devices, unmaps it.

    iommuctl run --device 0000:00:04.0 --memory 12MiB -- python3 lease_channel.py {lease}
"""
import fcntl
import mmap
import os
import socket
import struct
import sys

MAP, UNMAP, QUERY = 1, 2, 3
READ, WRITE = 1, 2
REPLY, QUERY_REPLY = 1, 2
LENGTH = 1 << 20


def ask(channel, op, flags=0, length=0, iova=0, fds=()):
    """One request and its reply. Events (kinds 3 and 4) come in between: this program only shows them."""
    frame = struct.pack("<IIQQQQ", op, flags, op, 0, length, iova)  # the cookie is ours: the op
    socket.send_fds(channel, [frame], fds)
    while packet := channel.recv(1024):
        kind, error, cookie, value = struct.unpack_from("<IIQQ", packet)
        if kind in (REPLY, QUERY_REPLY) and cookie == op:
            if error:
                sys.exit(f"request {op}: error {error}, value {value}")
            return packet, value
        print(f"event {kind}, value {value}")
    sys.exit("the lease has ended")


channel = socket.socket(fileno=int(sys.argv[1]))
channel.setblocking(True)

memfd = os.memfd_create("dma", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
os.ftruncate(memfd, LENGTH)
fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)  # not needed: against mistakes
memory = mmap.mmap(memfd, LENGTH)
memory[:] = bytes(LENGTH)  # touched here, so that our own memory cgroup pays

_, iova = ask(channel, MAP, READ | WRITE, LENGTH, fds=[memfd])
print(f"mapped {LENGTH} bytes at iova {iova:#x}")
packet, reserved = ask(channel, QUERY)
print(f"{struct.unpack_from('<Q', packet, 24)[0]} of {reserved} bytes are mapped")
print(f"unmapped {ask(channel, UNMAP, iova=iova)[1]} bytes")
