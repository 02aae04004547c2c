"""A QEMU's QMP socket. qmp.py SOCKET hmp COMMAND | device_add JSON [LEASE DEVICE...]: with a lease, LEASE's Add is called
for DEVICE over the daemon's socket, and the descriptor that comes is handed to QEMU by getfd, as "added"."""
import json
import socket
import sys

import bus


class Qmp:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile("r")
        self.file.readline()  # the greeting
        self.call("qmp_capabilities")

    def call(self, name, descriptor=None, **arguments):
        text = json.dumps({"execute": name, "arguments": arguments}).encode()
        if descriptor is None:
            self.socket.sendall(text)
        else:
            socket.send_fds(self.socket, [text], [descriptor])
        while True:  # events come in between
            answer = json.loads(self.file.readline())
            if "error" in answer:
                sys.exit(f"{name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]


def main():
    qmp = Qmp(sys.argv[1])
    if sys.argv[2] == "hmp":
        print(qmp.call("human-monitor-command", **{"command-line": sys.argv[3]}))
        return
    if len(sys.argv) > 4:
        daemon = bus.Bus()
        daemon.call(f"{bus.ROOT}/lease/{sys.argv[4]}", bus.LEASE, "Add", "asa{sv}", (sys.argv[5:], {}))
        (descriptor,) = daemon.fds
        qmp.call("getfd", descriptor=descriptor, fdname="added")
    qmp.call(sys.argv[2], **json.loads(sys.argv[3]))


main()
