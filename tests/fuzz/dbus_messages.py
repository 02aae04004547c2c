"""A D-Bus client that means harm: messages made from a seed, right and wrong ones mixed, over many connections.

dbus_messages.py SOCKET... COUNT SEED DEVICE: until the daemon has taken COUNT messages, that is, answered a later one or
ended the connection for it. DEVICE is the one that policy grants; fails when a descriptor of another one comes. Prints what
it did and what it was answered, as JSON."""
import array
import collections
import json
import os
import pathlib
import random
import selectors
import socket
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "vm" / "cases"))
import bus  # noqa: E402

DBUS = "org.freedesktop.DBus"
AT_ONCE = 8          # connections; a uid has 32 at most
PATIENCE = 60        # seconds without a byte, on a connection that has still to answer
CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
TYPES = ["s", "o", "g", "v", "y", "b", "n", "q", "i", "u", "x", "t", "d", "as", "ao", "ay", "a{sv}", "aa{sv}", "a(sh)",
         "(ss)", "a{ss}", "av", "aas", "(i(sv))", "a{s(iu)}"]
SIGNATURES = ["", "asa{sv}", "a{sv}asa{sv}", "a{sv}", "ots", "otsa{sv}", "sa{sv}", "ss", "s", "ssv", "as"]
MEMBERS = {
    bus.MANAGER: ["Acquire", "Explain", "GetAccounts", "Revoke", "Reload", "GetPolicy", "OpenEndpoint", "CloseEndpoint"],
    bus.DEVICE: ["Nonsense"], bus.LEASE: ["Release", "Add"],
    f"{DBUS}.Properties": ["Get", "Set", "GetAll"], f"{DBUS}.Introspectable": ["Introspect"],
    f"{DBUS}.Peer": ["Ping", "GetMachineId"], f"{DBUS}.ObjectManager": ["GetManagedObjects"],
    DBUS: ["Hello", "AddMatch", "RequestName"], "org.example.None": ["Acquire"],
}


def message(path, interface, member, signature="", arguments=(), kind=CALL, flags=0, fds=None, extra=()):
    """A message without its serial (0): little-endian, as bus.py marshals it."""
    body, head = bytearray(), bytearray()
    for one, value in zip(bus.split(signature), arguments, strict=True):
        bus.put(body, one, value)
    fields = [(1, ("o", path)), (2, ("s", interface)), (3, ("s", member)), (8, ("g", signature)), *extra]
    if fds is not None:
        fields.append((9, ("u", fds)))
    bus.put(head, "(yyyyuua(yv))", (ord("l"), kind, flags, 1, len(body), 0, fields))
    head.extend(bytes(-len(head) % 8))
    return bytearray(head + body), len(head)


class Maker:
    """Messages: templates, made once, and what becomes of them."""

    def __init__(self, dice, device):
        self.dice, self.device = dice, device
        self.ping, _ = message("/", f"{DBUS}.Peer", "Ping")
        self.good, _ = message(bus.ROOT, bus.MANAGER, "Acquire", "asa{sv}", ([device], {"memory": ("t", 4096)}))
        self.templates = [self.template() for _ in range(3000)]

    def text(self):
        dice = self.dice
        return dice.choice(["", self.device, "0000:00:06.0", "../../etc/passwd", "managed", "direct", "memory", "label",
                            "\u20ac\U0001f600", "a" * 255, "a" * 70000, "\n\0\x7f", "root", "4294967295",
                            bytes(dice.randrange(256) for _ in range(dice.randrange(30)))])

    def path(self):
        dice = self.dice
        return dice.choice(["/", bus.ROOT, bus.ROOT + "/device", bus.device_path(self.device), bus.ROOT + "/lease",
                            f"{bus.ROOT}/lease/{dice.randrange(200)}", bus.ROOT + "/lease/18446744073709551616",
                            bus.device_path("0000:00:06.0"), "/org/iommud1/device/_3", "/" + "/".join("x" * 60)])

    def value(self, kind, depth=0):
        dice = self.dice
        if kind[0] in bus.FIXED:
            size = struct.calcsize(bus.FIXED[kind])
            if kind == "d":
                return dice.random()
            bits = 8 * size
            edge = dice.choice([0, 1, (1 << (bits - 1)) - 1, dice.getrandbits(bits - 1), 4096])
            return min(edge, 1) if kind == "b" else edge % (1 << (bits - 1))
        if kind == "s":
            return self.text()
        if kind == "o":
            return self.path()
        if kind == "g":
            return dice.choice(TYPES + ["a" * 40 + "s", "(" * 40 + "s" + ")" * 40, ""])
        if kind == "v":
            inner = dice.choice(TYPES) if depth < 4 else "t"
            return inner, self.value(inner, depth + 1)
        if kind[0] == "a" and kind[1] == "{":
            key, value = list(bus.split(kind[2:-1]))
            keys = ["memory", "mode", "label", "user", "colour", "pid", "x" * 300]
            return {dice.choice(keys) if key == "s" else self.value(key): self.value(value, depth + 1)
                    for _ in range(dice.choice([0, 1, 2, 20]))}
        if kind[0] == "a":
            return [self.value(kind[1:], depth + 1) for _ in range(dice.choice([0, 1, 2, 33]))]
        return tuple(self.value(inner, depth + 1) for inner in bus.split(kind[1:-1]))

    def template(self):
        dice = self.dice
        interface = dice.choice(list(MEMBERS))
        signature = dice.choice(SIGNATURES) if dice.random() < 0.8 else "".join(dice.choices(TYPES, k=dice.randrange(6)))
        kind = CALL if dice.random() < 0.95 else dice.choice([RETURN, ERROR, SIGNAL, 5, 255])
        extra = []
        if kind in (RETURN, ERROR):
            extra.append((5, ("u", dice.randrange(1, 300))))
        if kind == ERROR:
            extra.append((4, ("s", "org.example.Error.None")))
        if dice.random() < 0.1:
            extra.append((dice.choice([6, 7, 10, 200]), ("s", dice.choice([":1.7", "org.iommud1", "x" * 200]))))
        return message(self.path(), interface, dice.choice(MEMBERS[interface]), signature,
                       [self.value(one) for one in bus.split(signature)], kind, dice.choice([0, 0, 0, 1, 2, 4, 255]),
                       None, extra)

    def survivable(self):
        """(bytes, number of descriptors): the connection goes on after it, as a rule."""
        dice = self.dice
        luck = dice.random()
        if luck < 0.10:
            return bytearray(self.ping), 0
        if luck < 0.102:
            return bytearray(self.good), 0
        head_and_body, body_at = dice.choice(self.templates)
        data = bytearray(head_and_body)
        if luck < 0.55 and len(data) > body_at:
            for _ in range(dice.choice([1, 1, 2, 8])):  # in the body: sd-bus looks at that when it is read
                data[dice.randrange(body_at, len(data))] = dice.randrange(256)
        return data, 0

    def deadly(self):
        """(bytes, number of descriptors): the connection may end."""
        dice = self.dice
        data, body_at = dice.choice(self.templates)
        data = bytearray(data)
        way = dice.randrange(8)
        if way == 0:  # lengths that are not those
            struct.pack_into("<I", data, dice.choice([4, 12]),
                             dice.choice([0, 1, len(data), 1 << 26, (1 << 27) + 1, 0xffffffff]))
        elif way == 1:
            for _ in range(dice.choice([1, 4, 30])):
                data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        elif way == 2:
            for _ in range(dice.choice([1, 2, 5])):  # in the header
                data[dice.randrange(body_at)] = dice.randrange(256)
        elif way == 3:  # descriptors, and a header that says another number of them
            said, sent = dice.choice([0, 1, 2, 17, 1000, 0xffffffff]), dice.choice([0, 1, 2, 16])
            return message(bus.ROOT, bus.MANAGER, "Acquire", "as", ([self.device],), fds=said)[0], sent
        elif way == 4:
            data = data[:dice.randrange(1, len(data))]  # and then the end
        elif way == 5:
            data = bytearray(dice.getrandbits(8) for _ in range(dice.choice([1, 16, 300])))
        elif way == 6:  # huge: an array of strings, or of bytes
            data, _ = message(bus.ROOT, bus.MANAGER, "Acquire", "asa{sv}", (["0000:00:04.0"] * dice.choice([33, 20000]), {}))
        else:
            data, _ = message(bus.ROOT, bus.MANAGER, "Explain", "a{sv}asa{sv}",
                              ({"user": ("s", "u" * dice.choice([1, 1 << 20]))}, [self.device], {"k": self.deep()}))
        return data, 0

    def deep(self):
        value = ("t", 1)
        for _ in range(self.dice.choice([5, 60, 200])):
            value = ("v", value)
        return value


def greeting(dice):
    """What is said before the first message: mostly right."""
    right = b"\0AUTH ANONYMOUS 78\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"
    external = b"\0AUTH EXTERNAL " + dice.choice([b"30", b"31303030", b"", b"zz", b"39" * 200]) + b"\r\n"
    luck = dice.random()
    if luck < 0.6:
        return right
    if luck < 0.7:  # somebody else's uid, then none
        return external + right[1:]
    if luck < 0.75:
        return right.replace(b"NEGOTIATE_UNIX_FD\r\n", b"")
    garbled = bytearray(dice.choice([right, external, right * 3]))
    for _ in range(dice.choice([1, 3, 10])):
        garbled[dice.randrange(len(garbled))] = dice.randrange(256)
    if luck < 0.9:
        return bytes(garbled)
    return dice.choice([b"\0" + b"AUTH " * 5000, b"\0AUTH\r\n" * 300, right[:-9] + b"DATA 78\r\nCANCEL\r\nERROR\r\nBEGIN\r\n",
                        b"\0BEGIN\r\n", b"A" * 300, right[:dice.randrange(1, len(right))]])


class Conversation:
    """One connection: what is to be written, and what came back."""

    def __init__(self, path, maker, most, tally, null):
        self.tally, self.null, dice = tally, null, maker.dice
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.connect(path)
        self.greeting, self.received, self.answered, self.greeted = greeting(dice), bytearray(), 0, False
        self.segments = collections.deque([(self.greeting, 0)])
        self.messages = dice.randrange(1, most)
        for serial in range(1, self.messages + 1):
            data, fds = maker.survivable() if serial < self.messages or dice.random() < 0.2 else maker.deadly()
            if len(data) >= 12:
                struct.pack_into("<I", data, 8, serial)
            self.segments.append((bytes(data), fds))
        self.leaves_early = dice.random() < 0.05
        self.reads = dice.random() > 0.03  # else it lets its answers lie, and goes
        self.heard = time.monotonic()

    def write(self):
        """False: all is written."""
        try:
            while self.segments:
                data, fds = self.segments[0]
                try:
                    sent = socket.send_fds(self.socket, [data], [self.null] * fds) if fds else self.socket.send(data)
                except PermissionError:  # SO_PASSRIGHTS: then its header tells of descriptors that do not come
                    self.tally["refused by the kernel"] += 1
                    self.segments[0] = (data, 0)
                    continue
                self.heard = time.monotonic()
                if sent < len(data):
                    self.segments[0] = (data[sent:], 0)
                else:
                    self.segments.popleft()
        except BlockingIOError:
            return True
        except (BrokenPipeError, ConnectionResetError):
            self.segments.clear()
        if not self.leaves_early:
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        return False

    def read(self):
        """False: it is over."""
        try:
            data, ancillary, _, _ = self.socket.recvmsg(1 << 18, socket.CMSG_SPACE(4 * 253))
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        self.heard = time.monotonic()
        for _, _, content in ancillary:
            numbers = array.array("i")
            numbers.frombytes(content[:len(content) // 4 * 4])
            self.tally["descriptors"] += len(numbers)
            for number in numbers:
                os.close(number)
        self.received += data
        self.parse()
        return bool(data)

    def parse(self):
        if not self.greeted:
            # The first byte of a message is no letter that the handshake begins a line with.
            begin = self.received.find(b"l")
            if begin < 0 or not self.received[:begin].endswith(b"\n"):
                return
            del self.received[:begin]
            self.greeted = True
        at, received = 0, self.received
        while len(received) - at >= 16:
            body_size, _, fields_size = struct.unpack_from("<III", received, at + 4)
            body_at = at + 16 + fields_size + -fields_size % 8
            if len(received) < body_at + body_size:
                break
            self.answer(received, at, body_at, body_size)
            at = body_at + body_size
        del received[:at]

    def answer(self, received, at, body_at, body_size):
        kind = received[at + 1]
        if kind == SIGNAL:
            self.tally["signals"] += 1
            return
        fields = dict(bus.Reader(bytes(received[at:body_at]), 12).get("a(yv)"))
        self.answered = max(self.answered, fields[5])
        self.tally[fields[4].rsplit(".", 1)[-1] if kind == ERROR else "answers"] += 1
        if fields.get(9):
            names = [name for name, _ in self.named(bytes(received[body_at:body_at + body_size]), fields[8])]
            self.tally["grants"] += 1
            self.tally["foreign"] += any(name not in ("lease", f"device:{DEVICE}") for name in names)

    @staticmethod
    def named(body, signature):
        reader = bus.Reader(body)
        return next(value for value in [reader.get(kind) for kind in bus.split(signature)] if isinstance(value, list))

    def close(self):
        self.socket.close()
        # One more than was answered: the connection ended for it, or it was let lie.
        self.tally["messages"] += min(self.answered + 1, self.messages) if self.greeted else 0
        self.tally["connections"] += 1


def fuzz(paths, count, seed):
    dice = random.Random(seed)
    maker, tally = Maker(dice, DEVICE), collections.Counter(messages=0, grants=0, foreign=0)
    null = os.open("/dev/null", os.O_RDONLY)
    selector, turn, most = selectors.DefaultSelector(), 0, max(2, count // 64)
    while tally["messages"] < count or selector.get_map():
        while tally["messages"] < count and len(selector.get_map()) < AT_ONCE:
            one = Conversation(paths[turn % len(paths)], maker, most, tally, null)
            turn += 1
            selector.register(one.socket, selectors.EVENT_WRITE | (selectors.EVENT_READ if one.reads else 0), one)
        for key, events in selector.select(1):
            one = key.data
            over = bool(events & selectors.EVENT_READ) and not one.read()
            if not over and events & selectors.EVENT_WRITE and not one.write():
                over = one.leaves_early or not one.reads
                if not over:
                    selector.modify(one.socket, selectors.EVENT_READ, one)
            if over:
                selector.unregister(one.socket)
                one.close()
        now = time.monotonic()
        for one in [key.data for key in list(selector.get_map().values()) if now - key.data.heard > PATIENCE]:
            selector.unregister(one.socket)
            one.close()
            tally["given up"] += 1
    tally["seed"] = seed
    return tally


if __name__ == "__main__":
    *sockets, how_many, start, DEVICE = sys.argv[1:]
    said = fuzz(sockets, int(how_many), int(start))
    print(json.dumps(said))
    sys.exit(1 if said["foreign"] else 0)
