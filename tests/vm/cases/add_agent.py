"""A client that adds devices to its lease, a line at a time.

acquire MODE MEMORY DEVICE | add DEVICE... | map SIZE IOVA | dma DEVICE IOVA | end | quit
Each answers with one line; a refusal with its name and message."""
import ctypes
import fcntl
import mmap
import os
import struct
import sys

import bus
import edu
import lease

BIND, ATTACH, IOAS_ALLOC, IOAS_MAP = 0x3B76, 0x3B77, 0x3B81, 0x3B85
client = bus.Bus()


class Held:
    """A lease of mode managed: the keeper has bound and attached what it gives."""

    def __init__(self, mode, memory, device):
        self.path, given = client.acquire([device], mode=mode, memory=int(memory, 0))
        self.channel = lease.Lease(given.pop("lease"))
        self.devices, self.driven, self.pages = {}, {}, {}
        self.begin(given)
        self.take(given)

    def begin(self, given):
        pass

    def take(self, given):
        for name, fd in given.items():
            self.devices[name.removeprefix("device:")] = fd

    def add(self, devices):
        client.fds.clear()
        (names,) = client.call(self.path, bus.LEASE, "Add", "asa{sv}", (devices, {}))
        self.take({name: client.fds[index] for name, index in names})
        client.fds.clear()

    def map(self, size, iova):
        memory = lease.memory(size)
        error, _ = self.channel.map(memory, size, iova=iova)
        self.pages[iova] = mmap.mmap(memory, size)
        return "mapped" if error == 0 else f"error {error}"

    def dma(self, device, iova):
        if device not in self.driven:
            self.driven[device] = edu.Edu(self.devices[device])
        return edu.round_trip(self.driven[device], self.pages[iova], iova)

    def end(self):
        self.channel.socket.close()
        for fd in self.devices.values():
            os.close(fd)


class Direct(Held):
    """A lease of mode direct: it is all the holder's to do."""

    def begin(self, given):
        self.iommu = given.pop("iommu")
        self.ioas = struct.unpack("<III", fcntl.ioctl(self.iommu, IOAS_ALLOC, struct.pack("<III", 12, 0, 0)))[2]

    def take(self, given):
        for fd in given.values():
            fcntl.ioctl(fd, BIND, struct.pack("<IIiI", 16, 0, self.iommu, 0))
            fcntl.ioctl(fd, ATTACH, struct.pack("<III", 12, 0, self.ioas))
        super().take(given)

    def map(self, size, iova):
        self.pages[iova] = mmap.mmap(-1, size)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.pages[iova]))
        fcntl.ioctl(self.iommu, IOAS_MAP, struct.pack("<IIIIQQQ", 40, 7, self.ioas, 0, address, size, iova))
        return "mapped"

    def end(self):
        os.close(self.iommu)
        super().end()


held = None
print("ready", flush=True)
for line in sys.stdin:
    word, *arguments = line.split()
    try:
        if word == "acquire":
            held = {"managed": Held, "direct": Direct}[arguments[0]](*arguments)
            answer = "acquired"
        elif word == "add":
            held.add(arguments)
            answer = "added"
        elif word == "map":
            answer = held.map(*(int(argument, 0) for argument in arguments))
        elif word == "dma":
            answer = held.dma(arguments[0], int(arguments[1], 0))
        elif word == "end":
            held.end()
            answer = "ended"
        elif word == "quit":
            break
        else:
            answer = "what?"
    except bus.BusError as error:
        answer = f"{error.name}: {str(error).split(': ', 1)[1]}"
    except OSError as error:
        answer = error.strerror or str(error)
    print(answer, flush=True)
