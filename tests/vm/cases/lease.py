"""The lease channel from Python, for the guest's cases (iommud-lease-channel(7))."""
import fcntl
import mmap
import os
import socket
import struct

MAP, UNMAP, QUERY, DUP, RELEASE = 1, 2, 3, 4, 5
READ, WRITE, FIXED, ALL = 1, 2, 4, 8
MEMORY_LIMIT, INVALID_ARGUMENT, INVALID_MEMORY, REVOKED = 5, 10, 11, 13
MAP_LIMIT, CHANNEL_LIMIT, NO_SUCH_MAP, KERNEL = 64, 65, 66, 67
F_ADD_SEALS, SEAL_SHRINK, SEAL_GROW, SEAL_WRITE, SEAL_FUTURE_WRITE = 1033, 2, 4, 8, 16
PAGE = 4096
MIB = 1 << 20


def memory(size, seals=SEAL_SHRINK | SEAL_GROW, touch=True):
    fd = os.memfd_create("dma", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    if touch:
        with mmap.mmap(fd, size) as pages:
            for offset in range(0, size, PAGE):
                pages[offset] = 1
    if seals:
        fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd


class Lease:
    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd)
        self.cookie = 0
        self.events = []

    def call(self, op, flags=0, offset=0, length=0, iova=0, fd=None):
        """(error, value) of one request; events that come in between are kept."""
        self.cookie += 1
        request = struct.pack("<IIQQQQ", op, flags, self.cookie, offset, length, iova)
        socket.send_fds(self.socket, [request], [] if fd is None else [fd])
        while True:
            reply, fds, _, _ = socket.recv_fds(self.socket, 4096, 1)
            if len(reply) < 24:
                raise ConnectionError("the lease has ended")
            kind, error, cookie, value = struct.unpack_from("<IIQQ", reply)
            if kind in (3, 4):
                self.events.append((kind, value))
                continue
            assert cookie == self.cookie, (cookie, self.cookie)
            self.reply, self.fds = reply, fds
            return error, value

    def map(self, fd, length, iova=None, offset=0, flags=READ | WRITE):
        return self.call(MAP, flags | (FIXED if iova is not None else 0), offset, length, iova or 0, fd)

    def unmap(self, iova, length=0):
        return self.call(UNMAP, 0, 0, length, iova)

    def unmap_all(self):
        return self.call(UNMAP, ALL)

    def query(self):
        error, _ = self.call(QUERY)
        assert error == 0
        reserved, mapped, sizes, alignment = struct.unpack_from("<QQQQ", self.reply, 16)
        maps, most, channels, ranges = struct.unpack_from("<IIII", self.reply, 48)
        return dict(reserved=reserved, mapped=mapped, page_sizes=sizes, alignment=alignment, maps=maps, most=most,
                    channels=channels, ranges=[struct.unpack_from("<QQ", self.reply, 64 + 16 * i) for i in range(ranges)])

    def duplicate(self):
        error, value = self.call(DUP)
        return (Lease(self.fds[0]), 0) if error == 0 else (None, error)
