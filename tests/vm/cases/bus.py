"""A D-Bus client that writes its messages by hand, peer to peer, so that it can also write wrong ones.

bus.py [--admin | --system] PATH INTERFACE.MEMBER SIGNATURE JSON-ARGUMENTS: prints the error's name and message, or the
answer. --system: to org.iommud1 on the system bus."""
import array
import json
import os
import socket
import struct
import sys

CLIENTS, ADMINS, SYSTEM_BUS = "/run/iommud/bus", "/run/iommud/admin/bus", "/run/dbus/system_bus_socket"
HANDSHAKE = b"\0AUTH ANONYMOUS 78\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"
MANAGER, DEVICE, LEASE = ("org.iommud1." + name for name in ("Manager", "Device", "Lease"))
ROOT = "/org/iommud1"
FIXED = {"y": "B", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d", "b": "I", "h": "I"}
ALIGNMENT = {"y": 1, "g": 1, "v": 1, "n": 2, "q": 2, "x": 8, "t": 8, "d": 8, "(": 8, "{": 8}


def device_path(address):
    """As sd_bus_path_encode() makes it: a digit in front is escaped, too."""
    return f"{ROOT}/device/" + "".join(c if c.isalnum() and (at or not c.isdigit()) else f"_{ord(c):02x}"
                                       for at, c in enumerate(address))


def split(signature):
    """The complete types of a signature, one by one."""
    at = 0
    while at < len(signature):
        start = at
        while signature[at] == "a":
            at += 1
        depth = 0
        while True:
            depth += (signature[at] in "({") - (signature[at] in ")}")
            at += 1
            if depth == 0:
                break
        yield signature[start:at]


def put(out, kind, value):
    out.extend(bytes(-len(out) % ALIGNMENT.get(kind[0], 4)))
    if kind[0] in FIXED:
        out.extend(struct.pack("<" + FIXED[kind], value))
    elif kind in "so":
        text = value if isinstance(value, bytes) else value.encode()
        out.extend(struct.pack("<I", len(text)) + text + b"\0")
    elif kind == "g":
        out.extend(bytes([len(value)]) + value.encode() + b"\0")
    elif kind == "v":
        put(out, "g", value[0])
        put(out, value[0], value[1])
    elif kind[0] == "a":
        length_at = len(out)
        out.extend(bytes(4))
        out.extend(bytes(-len(out) % ALIGNMENT.get(kind[1], 4)))
        start = len(out)
        for item in value.items() if kind[1] == "{" else value:
            put(out, kind[1:], item)
        struct.pack_into("<I", out, length_at, len(out) - start)
    else:
        for inner, item in zip(split(kind[1:-1]), value, strict=True):
            put(out, inner, item)


class Reader:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def get(self, kind):
        self.at += -self.at % ALIGNMENT.get(kind[0], 4)
        if kind[0] in FIXED:
            (value,) = struct.unpack_from("<" + FIXED[kind], self.data, self.at)
            self.at += struct.calcsize(FIXED[kind])
            return value
        if kind in "so" or kind == "g":
            size = self.get("y" if kind == "g" else "u")
            text = self.data[self.at:self.at + size].decode()
            self.at += size + 1
            return text
        if kind == "v":
            return self.get(self.get("g"))
        if kind[0] == "a":
            size = self.get("u")
            self.at += -self.at % ALIGNMENT.get(kind[1], 4)
            end, items = self.at + size, []
            while self.at < end:
                items.append(self.get(kind[1:]))
            return dict(items) if kind[1] == "{" else items
        return tuple(self.get(inner) for inner in split(kind[1:-1]))


class BusError(Exception):
    def __init__(self, name, message):
        super().__init__(f"{name}: {message}")
        self.name = name.rsplit(".", 1)[-1]


class Bus:
    """`fds`: what came with the last answer; whoever wants to keep one takes it out."""

    def __init__(self, path=CLIENTS, timeout=60):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.destination = None
        identity = b"EXTERNAL " + str(os.getuid()).encode().hex().encode()
        self.socket.sendall(HANDSHAKE.replace(b"ANONYMOUS 78", identity) if path == SYSTEM_BUS else HANDSHAKE)
        self.received, self.fds, self.serial, self.answers = bytearray(), [], 0, {}
        while self.received.count(b"\r\n") < 2:
            self.more()
        del self.received[:[i for i, c in enumerate(self.received) if c == 10][1] + 1]
        if path == SYSTEM_BUS:
            self.destination = "org.freedesktop.DBus"
            self.call("/org/freedesktop/DBus", self.destination, "Hello")
            self.destination = "org.iommud1"

    def more(self):
        data, ancillary, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(4 * 253))
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                numbers = array.array("i")
                numbers.frombytes(content[:len(content) // 4 * 4])
                self.fds.extend(numbers)
        if not data:
            raise ConnectionError("the daemon closed the connection")
        self.received += data

    def send(self, path, interface, member, signature="", arguments=(), fds=()):
        self.serial += 1
        body, head = bytearray(), bytearray()
        for kind, value in zip(split(signature), arguments, strict=True):
            put(body, kind, value)
        fields = [(1, ("o", path)), (2, ("s", interface)), (3, ("s", member)), (8, ("g", signature))]
        if self.destination:
            fields.append((6, ("s", self.destination)))
        if fds:
            fields.append((9, ("u", len(fds))))
        put(head, "(yyyyuua(yv))", (ord("l"), 1, 0, 1, len(body), self.serial, fields))
        head.extend(bytes(-len(head) % 8))
        data = bytes(head + body)
        if fds:
            sent = socket.send_fds(self.socket, [data], list(fds))
            data = data[sent:]
        self.socket.sendall(data)
        return self.serial

    def message(self):
        while len(self.received) < 16:
            self.more()
        body_size, _, fields_size = struct.unpack_from("<III", self.received, 4)
        body_at = 16 + fields_size + -fields_size % 8
        while len(self.received) < body_at + body_size:
            self.more()
        data = bytes(self.received[:body_at + body_size])
        del self.received[:body_at + body_size]
        fields = dict(Reader(data, 12).get("a(yv)"))
        reader = Reader(data[body_at:])
        return data[1], fields, [reader.get(kind) for kind in split(fields.get(8, ""))]

    def answer(self, serial):
        while serial not in self.answers:
            kind, fields, values = self.message()
            if kind in (2, 3):
                self.answers[fields[5]] = (kind, fields, values)
        kind, fields, values = self.answers.pop(serial)
        if kind == 3:
            raise BusError(fields[4], values[0] if values else "")
        return values

    def call(self, *arguments, **options):
        return self.answer(self.send(*arguments, **options))

    def get(self, path, interface, name):
        return self.call(path, "org.freedesktop.DBus.Properties", "Get", "ss", (interface, name))[0]

    def acquire(self, devices, **options):
        """(path of the lease, {name: descriptor}); the descriptors are the caller's."""
        kinds = {"memory": "t", "mode": "s", "label": "s"}
        values = {key: (kinds[key], value) for key, value in options.items()}
        self.fds.clear()
        lease, names, _ = self.call(ROOT, MANAGER, "Acquire", "asa{sv}", (devices, values))
        given = {name: self.fds[index] for name, index in names}
        self.fds.clear()
        return lease, given


def main():
    arguments = sys.argv[1:]
    where = {"--admin": ADMINS, "--system": SYSTEM_BUS}.get(arguments[0])
    path, name, signature, values = arguments[where is not None:]
    try:
        bus = Bus(where or CLIENTS)
        print(json.dumps(bus.call(path, *name.rsplit(".", 1), signature, json.loads(values))))
    except (BusError, ConnectionError, PermissionError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
