"""What the kernel itself says of an account's limit: kernel_count.py KEEPER-PID|--uid UID LIMIT, as root. A process that is
none of the daemon's, with that keeper's uid and a RLIMIT_MEMLOCK of LIMIT, pins pages with a device of its own
(0000:00:05.0) until the kernel refuses; prints how many it could."""
import ctypes
import errno
import fcntl
import mmap
import os
import resource
import struct
import sys

BIND, ATTACH, IOAS_ALLOC, IOAS_MAP = 0x3B76, 0x3B77, 0x3B81, 0x3B85
READABLE, WRITEABLE, FIXED, PAGE = 4, 2, 1, 4096

limit = int(sys.argv[-1])
if sys.argv[1] == "--uid":
    uid = int(sys.argv[2])
else:
    for line in open(f"/proc/{sys.argv[1]}/status"):
        if line.startswith("Uid:"):
            uid = int(line.split()[1])
(name,) = os.listdir("/sys/bus/pci/devices/0000:00:05.0/vfio-dev")
iommu, device = os.open("/dev/iommu", os.O_RDWR), os.open(f"/dev/vfio/devices/{name}", os.O_RDWR)
resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)

fcntl.ioctl(device, BIND, bytearray(struct.pack("<IIiI", 16, 0, iommu, 0)))
answer = bytearray(struct.pack("<III", 12, 0, 0))
fcntl.ioctl(iommu, IOAS_ALLOC, answer)
space = struct.unpack("<III", answer)[2]
fcntl.ioctl(device, ATTACH, bytearray(struct.pack("<III", 12, 0, space)))
most = limit // PAGE + 1
memory = mmap.mmap(-1, most * PAGE)
memory.write(b"x" * (most * PAGE))
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
for pages in range(most):
    request = struct.pack("<IIIIQQQ", 40, FIXED | READABLE | WRITEABLE, space, 0, address + pages * PAGE, PAGE,
                          0x1000000 + pages * PAGE)
    try:
        fcntl.ioctl(iommu, IOAS_MAP, request)
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        break
print(f"the kernel would pin {pages} more")
