"""Who fills the cgroup of an account: filling.py LEASE DEVICE, an agent (lib.sh); with a third argument it maps memory
that nobody has touched, unmaps it and keeps it, until nothing more fits, says "full", and stays.

stick sends the keeper a packet with two descriptors, the second of which is a socket: in its queue lies a file whose last
close waits for its FUSE server, which does not answer. There are requests before it, so that the copy here goes first."""
import mmap
import os
import signal
import socket
import struct
import sys

import edu
import lease

IOVA, SECOND, SCRATCH = 0x1000000, 0x1100000, 0x8000000
SIZE, STEP, MAPS = 65536, 1 << 20, 16
channel, device = lease.Lease(int(sys.argv[1])), edu.Edu(int(sys.argv[2]))
kept = []


def fill():
    size = STEP
    while size >= 4096:
        fd = lease.memory(size, touch=False)
        error, _ = channel.map(fd, size, iova=SCRATCH)
        if error == 0:
            channel.unmap(SCRATCH)
            kept.append(fd)
        else:
            os.close(fd)
            size //= 2


def stick():
    clean = os.open("/tmp/fuse/10", os.O_RDWR)
    queue, carrier = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    socket.send_fds(queue, [b"x"], [clean])
    os.close(clean)
    kept.append(os.open("/tmp/fuse/10", os.O_RDWR))
    os.write(kept[-1], bytes(4096))
    queue.close()
    request = struct.pack("<IIQQQQ", lease.QUERY, 0, 8, 0, 0, 0)
    for i in range(MAPS):
        channel.socket.send(struct.pack("<IIQQQQ", lease.UNMAP, 0, 7, 0, 0, SECOND + i * SIZE))
    socket.send_fds(channel.socket, [request], [os.open("/dev/null", os.O_RDONLY), carrier.fileno()])
    carrier.close()


if len(sys.argv) > 3:
    try:
        fill()
    except ConnectionError:
        pass  # a keeper that finds no memory for a reply ends its lease; what it faulted in stays
    print("full", flush=True)
    signal.pause()

memory = lease.memory(SIZE)
pages = mmap.mmap(memory, SIZE)
print("ready", flush=True)
for line in sys.stdin:
    word = line.strip()
    if word == "map":
        answers = [channel.map(memory, SIZE, iova=at)[0] for at in (IOVA, *(SECOND + i * SIZE for i in range(MAPS)))]
        print("mapped" if not any(answers) else answers, flush=True)
    elif word == "dma":
        print(edu.round_trip(device, pages, IOVA), flush=True)
    elif word == "stick":
        stick()
        print("sent", flush=True)
    else:
        break
os._exit(0)
