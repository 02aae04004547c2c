#!/usr/bin/env python3
"""Says what a register of a virtio device has in it that a driver may write (queue_desc of the first queue), and leaves a
value there: virtio_register.py DESCRIPTOR [VALUE [stay]]"""
import fcntl
import os
import struct
import sys

GET_REGION_INFO = 0x3B6C  # VFIO_DEVICE_GET_REGION_INFO
CONFIGURATION = 7
device = int(sys.argv[1])


def region(index):
    info = bytearray(struct.pack("<IIIIQQ", 32, 0, index, 0, 0, 0))
    fcntl.ioctl(device, GET_REGION_INFO, info)
    return struct.unpack("<IIIIQQ", info)[5]


# Virtio 1.2, 4.1.4: a capability of the vendor's says where the common configuration is.
space = region(CONFIGURATION)
os.pwrite(device, struct.pack("<H", 6), space + 4)
at, common = os.pread(device, 1, space + 0x34)[0], None
while common is None:
    capability = os.pread(device, 16, space + at)
    if capability[0] == 9 and capability[3] == 1:
        common = region(capability[4]) + struct.unpack_from("<I", capability, 8)[0]
    at = capability[1]
os.pwrite(device, struct.pack("<H", 0), common + 0x16)
said = f"found {os.pread(device, 4, common + 0x20).hex()}"
if len(sys.argv) > 2:
    os.pwrite(device, bytes.fromhex(sys.argv[2]), common + 0x20)
    said += f", left {os.pread(device, 4, common + 0x20).hex()}"
print(said, flush=True)
if len(sys.argv) > 3:
    sys.stdin.read()
