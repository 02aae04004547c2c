"""A FUSE file system whose server never answers: fuse_server.py FOLDER [closes|keepers|reads|writes], the close of a file,
which is what it is without a word for it; the close of one by a keeper; the read of a page; or a write, which the kernel
puts off to the last close (FUSE_WRITEBACK_CACHE). As root; speaks the kernel's protocol itself, so that no library is
needed. FOLDER/file is everybody's, and so is each FOLDER/NUMBER, another file; the server says when somebody waits, ends
at SIGTERM, and with it every wait for it."""
import ctypes
import os
import struct
import sys

LOOKUP, GETATTR, SETATTR, OPEN, READ, WRITE, RELEASE, FLUSH, INIT = 1, 3, 4, 14, 15, 16, 18, 25, 26
ENOSYS = 38
WRITEBACK_CACHE = 1 << 16


def attributes(node):
    mode, links = (0o40755, 2) if node == 1 else (0o100666, 1)
    return struct.pack("<QQQQQQIIIIIIIIII", node, 4096, 8, 0, 0, 0, 0, 0, 0, mode, links, 0, 0, 0, 4096, 0)


def reply(fuse, unique, data=b"", error=0):
    os.write(fuse, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)


def is_keeper(pid):
    try:
        with open(f"/proc/{pid}/comm") as comm:
            return comm.read().startswith("iommud-keeper")
    except FileNotFoundError:
        return False


def main():
    silent = sys.argv[2] if len(sys.argv) > 2 else "closes"
    writes, reads = silent == "writes", silent == "reads"
    fuse = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"fuse", sys.argv[1].encode(), b"fuse", 6, options.encode()) != 0:
        sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
    while True:
        request = os.read(fuse, 1 << 17)
        _, code, unique, node, _, _, pid = struct.unpack_from("<IIQQIII", request)
        if code == INIT:
            reply(fuse, unique, struct.pack("<IIIIHHIIHHII24x", 7, 31, 65536, WRITEBACK_CACHE if writes else 0, 16, 12, 65536, 1, 0, 0, 0, 0))
            print("ready", flush=True)
        elif code == LOOKUP:
            name = request[40:].rstrip(b"\0")
            found = 3 + int(name) if name.isdigit() else 2
            reply(fuse, unique, struct.pack("<QQQQII", found, 0, 60, 60, 0, 0) + attributes(found))
        elif writes and code in (WRITE, SETATTR):
            print("a write waits", flush=True)
        elif code == READ and reads:
            print("a read waits", flush=True)
        elif code == READ:
            reply(fuse, unique, bytes(4096))
        elif code in (GETATTR, SETATTR):
            reply(fuse, unique, struct.pack("<QII", 60, 0, 0) + attributes(node))
        elif code == OPEN:
            reply(fuse, unique, struct.pack("<QII", 1, 0 if writes or reads else 1, 0))
        elif code == FLUSH and (silent == "closes" or (silent == "keepers" and is_keeper(pid))):
            print("a close waits", flush=True)
        elif code == RELEASE:
            reply(fuse, unique)
        elif code not in (2, 42):  # FORGET, BATCH_FORGET: nobody waits
            reply(fuse, unique, error=ENOSYS)


main()
