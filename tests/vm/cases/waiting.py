"""Descriptors whose close waits, left in the queues of the daemon's sockets: waiting.py KIND SOCKET COUNT. KIND: tcp (a
connection that lingers for five minutes over data that nobody reads) or the path of a file of a FUSE server that answers
no write. Says "ready", and at a line connects COUNT times, sends a byte with a descriptor each, keeps none of them, says
"N taken", and stays until another line comes, with the connections open unless a fourth argument says "close".

waiting.py list FOLDER FILE: lists a folder into the memory of a file of a FUSE server that answers no read, which holds
the folder's lock."""
import array
import ctypes
import errno
import mmap
import os
import socket
import struct
import sys

kept, clients = [], []


def lingering():
    """A TCP socket: its peer, which `kept` holds, leaves no room for what it still has to send."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    sender = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    sender.connect(listener.getsockname())
    kept.append(listener.accept()[0])
    listener.close()
    sender.setblocking(False)
    try:
        while True:
            sender.send(bytes(65536))
    except BlockingIOError:
        pass
    sender.setblocking(True)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 300))
    return sender.detach()


def give(path, fd):
    """Whether the kernel took it."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(120)
    client.connect(path)
    clients.append(client)
    try:
        client.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
        return True
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EPIPE, errno.ECONNRESET):
            raise
        return False


def list_folder(folder, file):
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        print("refused", flush=True)
        return
    libc.mmap.restype = ctypes.c_void_p
    page = libc.mmap(None, 4096, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE, os.open(file, os.O_RDWR), 0)
    print("lists", flush=True)
    libc.syscall(217, fd, ctypes.c_void_p(page), 4096)  # getdents64


def main():
    if sys.argv[1] == "list":
        return list_folder(*sys.argv[2:])
    kind, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    fds = [lingering() if kind == "tcp" else os.open(kind, os.O_RDWR) for _ in range(count)]
    print("ready", flush=True)
    sys.stdin.readline()
    taken = 0
    for fd in fds:
        if give(path, fd):
            taken += 1
        elif kind == "tcp":
            kept.append(fd)  # the close would wait here
            continue
        os.close(fd)
    if kind != "tcp":
        # Through another open of the file, so that no close here has anything to write.
        kept.append(os.open(kind, os.O_RDWR))
        os.pwrite(kept[-1], bytes(4096), 0)
    print(f"{taken} taken", flush=True)
    if len(sys.argv) > 4:
        clients.clear()
    sys.stdin.readline()
    os._exit(0)


main()
