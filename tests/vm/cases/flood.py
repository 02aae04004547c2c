"""Floods by thirty of alice's subordinate uids, as root: flood.py silence|messages; or one honest client: flood.py bob.
Says what it has, and once a line has come in, what it has then.

silence: 32 connections of each, without a byte | messages: as many workers as it gets, each with as large an unfinished
message as it takes"""
import os
import select
import socket
import struct
import sys
import time

import bus
import namespace

UIDS, EACH = 30, 32


def as_uid(uid, call):
    os.seteuid(uid)
    try:
        return call()
    finally:
        os.seteuid(0)


def plain():
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(60)
    try:
        client.connect(bus.CLIENTS)
    except OSError:
        client.close()
        return None
    return client


def still_open(clients, seconds):
    """Those that the daemon has not closed: once that has not changed for so long."""
    poll, left = select.poll(), {client.fileno(): client for client in clients}
    for number in left:
        poll.register(number, select.POLLRDHUP)
    while left and (events := poll.poll(seconds * 1000)):
        for number, _ in events:
            poll.unregister(number)
            del left[number]
    return list(left.values())


def silence():
    clients = [as_uid(uid, plain) for uid in range(1, UIDS + 1) for _ in range(EACH)]
    held = still_open([client for client in clients if client], 5)
    yield f"{len(held)} of {len(clients)} connections"
    deadline = time.monotonic() + 120
    while held and time.monotonic() < deadline:
        held = still_open(held, 10)
    yield f"{len(held)} connections"


def filled(size):
    """A connection whose worker has all but the last byte of a message of this size; nothing when it ended."""
    client = plain()
    if client is None:
        return None
    try:
        client.sendall(bus.HANDSHAKE)
        answered = b""
        while answered.count(b"\r\n") < 2:
            if not (more := client.recv(4096)):
                return None
            answered += more
        head = struct.pack("<BBBBIII", ord("l"), 1, 0, 1, size, 1, 0)
        client.sendall(head)
        part, left = bytes(1 << 20), size - 1
        while left > 0:
            left -= client.send(part[:left])
        return None if select.select([client], [], [], 0)[0] else client
    except OSError:
        return None


def messages():
    size = next(size for size in (44 << 20, 30 << 20, 14 << 20, 12 << 20, 8 << 20)
                if (first := as_uid(1, lambda: filled(size))))
    held = [first]
    for uid in range(1, UIDS + 1):
        for _ in range(EACH):
            client = as_uid(uid, lambda: filled(size))
            if client is None:
                break
            held.append(client)
    yield f"{len(still_open(held, 2))} workers"
    yield "done"


def bob():
    client = bus.Bus()
    yield "ready"
    client.get(bus.ROOT, bus.MANAGER, "Version")
    yield "alive"


if sys.argv[1] != "bob":
    namespace.enter("alice", [])
for said in globals()[sys.argv[1]]():
    print(said, flush=True)
    sys.stdin.readline()
