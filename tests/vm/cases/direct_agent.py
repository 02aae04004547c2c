"""A holder of a direct lease that does what it is told, a line at a time: direct_agent.py LEASE IOMMU DEVICE... (run by
`iommuctl run --mode direct`). It binds, attaches and maps by its own ioctls.

bind N | attach N | ioas COUNT | map SIZE IOVA | dma N IOVA | limit | own-limit BYTES | channel-map | close WHAT... |
fork KIND | quit
park PATH: has the keeper hold that file | burst COUNT PATH: asks so often with it, without reading an answer
Each answers with one line. N counts devices from 0; WHAT is lease, iommu or a device's number.
fork leaves a child behind that outlives this one, and its number in /tmp/forked.KIND: plain; lower, with a page less than
the hard limit; subordinate, which waits for a uid_map and becomes its 0; chain, which forks and exits until there is
/tmp/no-chain; slow, which does so with as much to copy for each fork as a user can make without much memory."""
import ctypes
import fcntl
import mmap
import os
import resource
import signal
import socket
import struct
import sys
import time

import edu
import lease

BIND, ATTACH, IOAS_ALLOC, IOAS_MAP = 0x3B76, 0x3B77, 0x3B81, 0x3B85
channel = lease.Lease(int(sys.argv[1]))
iommu = int(sys.argv[2])
devices = [int(number) for number in sys.argv[3:]]
driven, maps = {}, {}
ioas = None


def new_ioas():
    return struct.unpack("<III", fcntl.ioctl(iommu, IOAS_ALLOC, struct.pack("<III", 12, 0, 0)))[2]


def address_space():
    global ioas
    ioas = ioas or new_ioas()
    return ioas


def bind(number):
    fcntl.ioctl(devices[number], BIND, struct.pack("<IIiI", 16, 0, iommu, 0))
    return "bound"


def attach(number):
    fcntl.ioctl(devices[number], ATTACH, struct.pack("<III", 12, 0, address_space()))
    return "attached"


def several(count):
    """Address spaces that nothing is attached to; the last of them is the one to map in."""
    global ioas
    for _ in range(count):
        ioas = new_ioas()
    return "made"


def map_at(size, iova):
    pages = mmap.mmap(-1, size)
    address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    # IOMMU_IOAS_MAP: fixed iova, writeable, readable
    fcntl.ioctl(iommu, IOAS_MAP, struct.pack("<IIIIQQQ", 40, 7, address_space(), 0, address, size, iova))
    maps[iova] = pages
    return "mapped"


def dma(number, iova):
    if number not in driven:
        driven[number] = edu.Edu(devices[number])
    return edu.round_trip(driven[number], maps[iova], iova)


def become_subordinate():
    libc = ctypes.CDLL(None, use_errno=True)
    libc.unshare(0x10000000)  # CLONE_NEWUSER
    while not open("/proc/self/uid_map").read():
        time.sleep(0.02)
    os.setresuid(0, 0, 0)


def many_areas():
    """As many as a process may have (vm.max_map_count): a fork copies each."""
    libc = ctypes.CDLL(None, use_errno=True)
    pages = mmap.mmap(-1, 64000 * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    for page in range(0, 64000, 2):
        libc.mprotect(ctypes.c_void_p(address + page * mmap.PAGESIZE), mmap.PAGESIZE, mmap.PROT_READ)
    return pages


def fork(kind):
    started, at_work = os.pipe()
    if os.fork() == 0:
        os.setsid()
        for number in (channel.socket.fileno(), iommu, *devices):
            os.close(number)
        if kind == "lower":
            hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] - mmap.PAGESIZE
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
        with open(f"/tmp/forked.{kind}", "w") as file:
            file.write(f"{os.getpid()}\n")
        for number in (0, 1, 2):
            os.dup2(os.open("/dev/null", os.O_RDWR), number)
        areas = many_areas() if kind == "slow" else None
        os.write(at_work, b"x")
        if kind == "subordinate":
            become_subordinate()
        while kind in ("chain", "slow") and not os.path.exists("/tmp/no-chain"):
            if os.fork() > 0:
                os._exit(0)
        while True:
            signal.pause()
    os.read(started, 1)
    return "forked"


def close(what):
    if what == "lease":
        channel.socket.close()
    elif what == "iommu":
        os.close(iommu)
    else:
        driven.pop(int(what), None)
        os.close(devices[int(what)])


def park(path):
    fd = os.open(path, os.O_RDWR)
    error, _ = channel.map(fd, 4096)
    os.close(fd)
    return "parked" if error == 8 else f"error {error}"


def burst(count, path):
    fd = os.open(path, os.O_RDWR)
    request = struct.pack("<IIQQQQ", lease.MAP, lease.READ, 1 << 32, 0, 4096, 0)
    for _ in range(int(count)):
        try:
            socket.send_fds(channel.socket, [request], [fd], socket.MSG_DONTWAIT)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            break
    os.close(fd)
    return "sent"


print("ready", flush=True)
for line in sys.stdin:
    word, *arguments = line.split()
    numbers = [int(argument, 0) for argument in arguments if argument[0].isdigit()]
    try:
        if word == "bind":
            answer = bind(*numbers)
        elif word == "attach":
            answer = attach(*numbers)
        elif word == "ioas":
            answer = several(*numbers)
        elif word == "map":
            answer = map_at(*numbers)
        elif word == "dma":
            answer = dma(*numbers)
        elif word == "limit":
            answer = "%d %d" % resource.getrlimit(resource.RLIMIT_MEMLOCK)
        elif word == "own-limit":
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (numbers[0], numbers[0]))
            answer = "set"
        elif word == "fork":
            answer = fork(*arguments)
        elif word == "channel-map":
            answer = "%d %d" % channel.map(lease.memory(4096), 4096)
        elif word == "park":
            answer = park(*arguments)
        elif word == "burst":
            answer = burst(*arguments)
        elif word == "close":
            for what in arguments:
                close(what)
            answer = "closed"
        elif word == "quit":
            break
        else:
            answer = "what?"
    except ConnectionError:
        answer = "the lease has ended"
    except OSError as error:
        answer = error.strerror or str(error)
    print(answer, flush=True)
