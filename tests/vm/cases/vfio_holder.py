#!/usr/bin/env python3
"""Has a device as a program would that knows nothing of iommud, until its input ends:

    vfio_holder.py device ADDRESS     binds it to a context of its own
    vfio_holder.py group ADDRESS      opens its group
"""
import fcntl
import os
import struct
import sys

BIND_IOMMUFD = 0x3B76  # VFIO_DEVICE_BIND_IOMMUFD

what, address = sys.argv[1:]
folder = f"/sys/bus/pci/devices/{address}"
if what == "group":
    fds = [os.open("/dev/vfio/" + os.path.basename(os.readlink(folder + "/iommu_group")), os.O_RDWR)]
else:
    (name,) = os.listdir(folder + "/vfio-dev")
    fds = [os.open("/dev/vfio/devices/" + name, os.O_RDWR), os.open("/dev/iommu", os.O_RDWR)]
    fcntl.ioctl(fds[0], BIND_IOMMUFD, bytearray(struct.pack("<IIiI", 16, 0, fds[1], 0)))
print("held", flush=True)
sys.stdin.read()
