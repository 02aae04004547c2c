"""QEMU's `edu` device from Python, in one process with the client that maps (tests/vm/edu.hpp says more)."""
import fcntl
import os
import struct
import time

ATTACH, DETACH, REGION_INFO = 0x3B77, 0x3B78, 0x3B6C
BUFFER, SIZE, PAGE = 0x40000, 2048, 4096


class Edu:
    def __init__(self, fd):
        self.fd = fd
        config, self.registers = (self.region(index) for index in (7, 0))
        (command,) = struct.unpack("<H", os.pread(fd, 2, config + 4))
        os.pwrite(fd, struct.pack("<H", command | 6), config + 4)  # memory space, bus master

    def region(self, index):
        info = bytearray(struct.pack("<IIIIQQ", 32, 0, index, 0, 0, 0))
        fcntl.ioctl(self.fd, REGION_INFO, info)
        return struct.unpack("<IIIIQQ", info)[5]

    def transfer(self, source, target, command):
        for register, value in ((0x80, source), (0x88, target), (0x90, SIZE), (0x98, command)):
            os.pwrite(self.fd, struct.pack("<I", value), self.registers + register)
        deadline = time.monotonic() + 10
        while os.pread(self.fd, 4, self.registers + 0x98)[0] & 1:
            if time.monotonic() > deadline:
                raise TimeoutError("edu does not finish")
            time.sleep(0.002)

    def load(self, iova):
        self.transfer(iova, BUFFER, 1)

    def store(self, iova):
        self.transfer(BUFFER, iova, 3)

    def attach(self, numbers=range(1, 65)):
        """The first object that the device can be attached to, or what the kernel said to all of them."""
        answers = set()
        for number in numbers:
            try:
                fcntl.ioctl(self.fd, ATTACH, struct.pack("<III", 12, 0, number))
                return f"attached to {number}"
            except OSError as error:
                answers.add(error.strerror)
        return ", ".join(sorted(answers))

    def detach(self):
        fcntl.ioctl(self.fd, DETACH, struct.pack("<II", 8, 0))


def round_trip(edu, pages, iova):
    """OK, BLOCKED or MISMATCH: the first page of `pages` (a mapping) goes through the device into the second."""
    source, before = os.urandom(SIZE), os.urandom(SIZE)
    pages[0:SIZE], pages[PAGE:PAGE + SIZE] = source, before
    edu.load(iova)
    edu.store(iova + PAGE)
    after = pages[PAGE:PAGE + SIZE]
    return "OK" if after == source else "BLOCKED" if after == before else "MISMATCH"
