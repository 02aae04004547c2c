"""A client that tries what it must not get away with, a line at a time: hazard_client.py LEASE DEVICE.

map NAME KIND SIZE IOVA [r|w|rw] | map-file PATH SIZE IOVA | forget NAME | map-part NAME OFFSET SIZE IOVA | map-fd PATH | unmap IOVA | mapped | quit
hold-inode NAME PATH | hold-socket PATH: see below | ask-map NAME | punch NAME | content NAME
dma NAME IOVA: through the device from the memory's first page to its second | probe IOVA PROBE-IOVA: see below
attach | detach | storm (attach and detach without a pause, from now on) | calm
shutdown HOW | empty | rubbish | flood | immortal | own-channel | close-lease
Each answers with one line. KIND: see memory_of."""
import fcntl
import mmap
import os
import socket
import struct
import subprocess
import sys
import time

import edu
import lease

ACCESS = {"r": lease.READ, "w": lease.WRITE, "rw": lease.READ | lease.WRITE}
KEEP_SIZE, PUNCH_HOLE = 1, 2
HUGE_PAGE = 2 << 20
channel, device = lease.Lease(int(sys.argv[1])), edu.Edu(int(sys.argv[2]))
memories, pages, storms, kept = {}, {}, [], []


def fallocate(fd, mode, offset, size):
    import ctypes
    call = ctypes.CDLL(None, use_errno=True).fallocate
    if call(fd, mode, ctypes.c_long(offset), ctypes.c_long(size)) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def memory_of(kind, size):
    """(the descriptor to send, the one to look at it with)"""
    if kind in ("untouched", "allocated"):
        fd = lease.memory(size, touch=False)
        if kind == "allocated":
            os.posix_fallocate(fd, 0, size)
        return fd, fd
    if kind == "write-sealed":
        fd = lease.memory(size, seals=lease.SEAL_SHRINK | lease.SEAL_GROW | lease.SEAL_WRITE)
        return fd, fd
    if kind.startswith("huge"):
        fd = os.memfd_create("dma", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | os.MFD_HUGETLB)
        os.ftruncate(fd, size)
        touched = {"huge": size, "huge-half": size // 2, "huge-untouched": 0}[kind]
        with mmap.mmap(fd, size) as memory:
            for offset in range(0, touched, HUGE_PAGE):
                memory[offset] = 1
        fcntl.fcntl(fd, lease.F_ADD_SEALS, lease.SEAL_SHRINK | lease.SEAL_GROW)
        return fd, fd
    fd = lease.memory(size)
    if kind == "read-only":
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC), fd
    if kind == "future-sealed":
        pages["future"] = mmap.mmap(fd, size)  # a mapping from before the seal may be written
        fcntl.fcntl(fd, lease.F_ADD_SEALS, lease.SEAL_FUTURE_WRITE)
    elif kind == "holed":
        fallocate(fd, KEEP_SIZE | PUNCH_HOLE, edu.PAGE, edu.PAGE)
    else:
        assert kind == "plain", kind
    return fd, fd


def do_map(name, kind, size, iova, access="rw"):
    sent, seen = memory_of(kind, int(size))
    error, value = channel.map(sent, int(size), iova=int(iova, 0), flags=ACCESS[access])
    memories[name] = seen
    if kind in ("plain", "read-only", "huge", "untouched", "allocated", "holed", "huge-untouched", "huge-half"):
        pages[name] = mmap.mmap(seen, int(size))
    if sent != seen:
        os.close(sent)
    return f"{error} {value:#x}"


def probe(iova, scratch):
    """Whether the device finds at `iova` what it wrote there, told through other memory, mapped at `scratch`: for
    memory that nobody but the device sees any more."""
    iova, scratch = int(iova, 0), int(scratch, 0)
    name = next(iter(name for name in memories if name == "scratch"))
    known, junk = os.urandom(edu.SIZE), os.urandom(edu.SIZE)
    pages[name][0:edu.SIZE] = known
    device.load(scratch)
    device.store(iova)
    pages[name][0:edu.SIZE] = junk
    device.load(scratch)  # nothing of it is left in the device itself
    device.load(iova)
    device.store(scratch + edu.PAGE)
    found = pages[name][edu.PAGE:edu.PAGE + edu.SIZE]
    return "kept" if found == known else "nothing" if found == junk else "something else"


STORM = """import fcntl, os, struct, sys
fd, parent = int(sys.argv[1]), os.getppid()
while os.getppid() == parent:
    for request, argument in ((0x3B78, struct.pack("<II", 8, 0)), (0x3B77, struct.pack("<III", 12, 0, 1))):
        try:
            fcntl.ioctl(fd, request, argument)
        except OSError:
            pass
"""


def storm():
    for _ in range(2):
        storms.append(subprocess.Popen([sys.executable, "-c", STORM, str(device.fd)], pass_fds=(device.fd,)))
    time.sleep(1)  # until they run; nothing rests on it but how much there is to meet
    return "storm"


def calm():
    for process in storms:
        process.kill()
        process.wait()
    storms.clear()
    return "calm"


def flood():
    """Requests without end, answers never read: until the keeper takes no more."""
    request = struct.pack("<IIQQQQ", lease.QUERY, 0, 1, 0, 0, 0)
    channel.socket.settimeout(20)
    for count in range(1 << 20):
        try:
            channel.socket.send(request)
        except (BrokenPipeError, ConnectionResetError):
            return "ended" if count > 1 else "ended at once"
    return "never ended"


def own_descriptor(fd, count):
    """Its lease's only descriptor, queued on the lease itself: whoever waits for its last copy to close may wait long."""
    request = struct.pack("<IIQQQQ", lease.MAP, lease.READ | lease.WRITE, 1, 0, edu.PAGE, 0)
    for _ in range(count):
        try:
            socket.send_fds(channel.socket, [request], [fd], socket.MSG_DONTWAIT)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            break
    os._exit(0)


# Copies from (or to) a page of a file whose server never serves it, with a lock held meanwhile: the inode's of a memfd,
# or the one of a socket's readers.
HOLD_INODE = """import mmap, os, sys
page = mmap.mmap(os.open(sys.argv[2], os.O_RDONLY), 4096, mmap.MAP_SHARED, mmap.PROT_READ)
os.pwritev(int(sys.argv[1]), [page], 0)
"""
HOLD_SOCKET = """import mmap, os, socket, sys
page = mmap.mmap(os.open(sys.argv[2], os.O_RDONLY), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
socket.socket(fileno=int(sys.argv[1])).recv_into(page)
"""


def hold(program, fd, path):
    subprocess.Popen([sys.executable, "-c", program, str(fd), path], pass_fds=(fd,))
    return "holding"


def hold_socket(path):
    """Two ends of a pair; the one that a reader waits with is memories["socket"], to be sent as if it were memory."""
    ours, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    other.send(b"x" * 4096)
    kept.append(other)
    memories["socket"] = ours.detach()
    return hold(HOLD_SOCKET, memories["socket"], path)


def step(word, *arguments):
    if word == "map":
        return do_map(*arguments)
    if word == "map-part":
        name, offset, size, iova = arguments
        error, value = channel.map(memories[name], int(size), iova=int(iova, 0), offset=int(offset))
        return f"{error} {value:#x}"
    if word == "map-fd":
        fd = os.open(arguments[0], os.O_RDWR)
        error, value = channel.map(fd, edu.PAGE)
        return f"{error} {value:#x}"
    if word == "map-file":  # a file with a name, not touched
        path, size, iova = arguments
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(fd, int(size))
        memories[path], pages[path] = fd, mmap.mmap(fd, int(size))
        error, value = channel.map(fd, int(size), iova=int(iova, 0))
        return f"{error} {value:#x}"
    if word == "forget":
        pages.pop(arguments[0]).close()
        os.close(memories.pop(arguments[0]))
        return "forgotten"
    if word == "ask-map":  # and does not wait for the answer
        fd = memories[arguments[0]]
        request = struct.pack("<IIQQQQ", lease.MAP, lease.READ, 1 << 32, 0, edu.PAGE, 0)
        socket.send_fds(channel.socket, [request], [fd])
        return "asked"
    if word == "hold-inode":
        return hold(HOLD_INODE, memories[arguments[0]], arguments[1])
    if word == "hold-socket":
        return hold_socket(*arguments)
    if word == "unmap":
        return "%d %d" % channel.unmap(int(arguments[0], 0))
    if word == "mapped":
        return str(channel.query()["mapped"])
    if word == "dma":
        return edu.round_trip(device, pages[arguments[0]], int(arguments[1], 0))
    if word == "probe":
        return probe(*arguments)
    if word == "punch":
        fallocate(memories[arguments[0]], KEEP_SIZE | PUNCH_HOLE, 0, 2 * edu.PAGE)
        return "punched"
    if word == "content":
        return "zeroes" if not any(pages[arguments[0]][:2 * edu.PAGE]) else "data"
    if word == "attach":
        return device.attach()
    if word == "detach":
        device.detach()
        return "detached"
    if word == "shutdown":
        channel.socket.shutdown(getattr(socket, "SHUT_" + arguments[0]))
        return "shut down"
    if word == "empty":
        channel.socket.send(b"")
        return "sent"
    if word == "rubbish":
        channel.socket.send(b"\xff" * 40)
        return "sent"
    if word == "immortal":
        return own_descriptor(channel.socket.fileno(), 1000)
    if word == "own-channel":
        other, _ = channel.duplicate()
        return own_descriptor(other.socket.fileno(), 1000)
    if word == "close-lease":
        channel.socket.close()
        return "closed"
    return {"storm": storm, "calm": calm, "flood": flood}[word]()


print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "quit":
        break
    try:
        result = step(*line.split())
    except ConnectionError:
        result = "the lease has ended"
    except OSError as error:
        result = f"{type(error).__name__}: {error}"
    print(result, flush=True)
