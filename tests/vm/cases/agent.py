"""A client that does what it is told, a line at a time: agent.py LEASE DEVICE (run by `iommuctl run`).

map SIZE [IOVA] | unmap IOVA | unmap-all | pairs COUNT | query | dma | attach | close-lease | quit
Each answers with one line. `dma` drives edu through the first map; `attach` tries every object that could be left."""
import fcntl
import os
import struct
import subprocess
import sys

import lease

IOVA = 0x1000000
channel, device = lease.Lease(int(sys.argv[1])), int(sys.argv[2])
memories = {}
dma = None


def attach_all():
    """What VFIO_DEVICE_ATTACH_IOMMUFD_PT says to each small object number."""
    answers = set()
    for number in range(1, 65):
        try:
            fcntl.ioctl(device, 0x3B77, struct.pack("<III", 12, 0, number))
            answers.add("attached")
        except OSError as error:
            answers.add(error.strerror)
    return ", ".join(sorted(answers))


def step():
    global dma
    if dma is None:
        dma = subprocess.Popen(
            ["edu_dma", "--device-fd", str(device), "--memory-fd", str(memories[IOVA]), "--iova", str(IOVA), "--step"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(device, memories[IOVA]), text=True)
    dma.stdin.write("\n")
    dma.stdin.flush()
    return dma.stdout.readline().strip()


print("ready", flush=True)
for line in sys.stdin:
    word, *arguments = line.split()
    try:
        if word == "map":
            size = int(arguments[0])
            iova = int(arguments[1], 0) if len(arguments) > 1 else IOVA
            memory = lease.memory(size)
            error, value = channel.map(memory, size, iova=iova)
            memories[iova] = memory
            answer = f"{error} {value:#x}"
        elif word == "unmap":
            answer = "%d %d" % channel.unmap(int(arguments[0], 0))
        elif word == "unmap-all":
            answer = "%d %d" % channel.unmap_all()
        elif word == "pairs":
            memory = lease.memory(4 * lease.PAGE)
            for i in range(int(arguments[0])):
                assert channel.map(memory, (1 + i % 4) * lease.PAGE, iova=0x9000000)[0] == 0
                assert channel.unmap(0x9000000)[0] == 0
            os.close(memory)
            answer = "done"
        elif word == "query":
            answer = str(channel.query()["mapped"])
        elif word == "dma":
            answer = step()
        elif word == "attach":
            answer = attach_all()
        elif word == "close-lease":
            channel.socket.close()
            answer = "closed"
        elif word == "quit":
            break
        else:
            answer = "what?"
    except ConnectionError:
        answer = "the lease has ended"
    except OSError as error:
        answer = f"{type(error).__name__}: {error}"
    print(answer, flush=True)
