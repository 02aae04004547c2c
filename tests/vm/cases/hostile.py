"""What a hostile client does: hostile.py ACT ARGUMENT...; says what came of it, and fails where it got its way."""
import ctypes
import os
import resource
import select
import signal
import socket
import sys
import time

import bus

def fail(text):
    sys.exit(f"hostile.py: {text}")


def connection(path=bus.CLIENTS):
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(60)
    client.connect(path)
    return client


def garbage():
    """Bytes that are no D-Bus: the connection ends, each in its own way, and nothing else does."""
    zeroes, noise = bytes(1 << 20), os.urandom(1 << 20)
    hello = bus.HANDSHAKE
    wrong = [noise, zeroes, b"\0" + b"A" * (1 << 20), b"\0AUTH " + b"41" * 100000, hello + noise, hello + zeroes,
             hello + b"l\1\0\1" + b"\xff" * 12 + noise, b"GET / HTTP/1.1\r\n\r\n", hello[:20]]
    for number, data in enumerate(wrong):
        client = connection()
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
        except (BrokenPipeError, ConnectionResetError):
            pass
        except TimeoutError:
            fail(f"garbage {number}: the connection goes on")
    print("all ended")


def half_open(count):
    """Many connections that say nothing, until a line comes in; the daemon may close what is too much."""
    held = []
    for _ in range(int(count)):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.setblocking(False)
        try:
            client.connect(bus.CLIENTS)
        except BlockingIOError:  # the queue is full; the next may find room
            time.sleep(0.001)
        held.append(client)
    poll = select.poll()
    for client in held:
        poll.register(client, select.POLLRDHUP)
    # Not at the end: who says nothing is dropped after half a minute.
    deadline, left = time.monotonic() + 60, len(held)
    while left > 32 and time.monotonic() < deadline:
        left = len(held) - len(poll.poll(0))
        time.sleep(0.01)
    print("open", flush=True)
    sys.stdin.readline()
    print(f"{left} of {len(held)} were left open")


def workers():
    """A worker for each connection, as many as are to be had, until a line comes in."""
    held, had = [], 0
    print("started", flush=True)
    while not select.select([sys.stdin], [], [], 0.005)[0]:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.setblocking(False)
        try:
            client.connect(bus.CLIENTS)
            client.send(bus.HANDSHAKE)
            held.append(client)
            had += 1
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            client.close()
        if len(held) > 30:
            held.pop(0).close()
    print(f"{had} connections were tried")


def connects():
    """A connection after the other, closed at once, until a line comes in."""
    had = full = 0
    print("started", flush=True)
    while had % 64 or not select.select([sys.stdin], [], [], 0)[0]:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.setblocking(False)
        try:
            client.connect(bus.CLIENTS)
        except BlockingIOError:
            full += 1
        client.close()
        had += 1
    print(f"{had} connections were tried, {full} found the queue full")


def race(device, connections, each):
    """Acquire of one device, many times at once: how many got it, and what the others heard."""
    clients = [bus.Bus() for _ in range(int(connections))]
    asked = [(client, client.send(bus.ROOT, bus.MANAGER, "Acquire", "asa{sv}", ([device], {"memory": ("t", 4096)})))
             for _ in range(int(each)) for client in clients]
    won, lost = 0, {}
    for client, serial in asked:
        try:
            client.answer(serial)
            won += 1
        except bus.BusError as error:
            lost[error.name] = lost.get(error.name, 0) + 1
    print(f"{won} won,", ", ".join(f"{count} {name}" for name, count in sorted(lost.items())))


def root_of_a_namespace():
    """Uid 0 that is root of its own user namespace only, at the administrators' socket."""
    print(open("/proc/self/uid_map").read().split(), flush=True)
    try:
        version = bus.Bus(bus.ADMINS).get(bus.ROOT, bus.MANAGER, "Version")
    except ConnectionError as error:
        print(f"refused: {error}")
        return
    fail(f"served: {version}")


def bad_input(device, lease_path):
    """Arguments that are none. Each gets an error's name, on a connection that then still works."""
    acquire = lambda devices, options=None: (bus.ROOT, bus.MANAGER, "Acquire", "asa{sv}", (devices, options or {}))
    explain = lambda user, devices: (bus.ROOT, bus.MANAGER, "Explain", "a{sv}asa{sv}", (user, devices, {}))
    wrong = {
        "an option of the wrong type": acquire([device], {"memory": ("s", "4096")}),
        "an option of another wrong type": acquire([device], {"label": ("t", 1)}),
        "an unknown option": acquire([device], {"colour": ("s", "red")}),
        "a mode that is none": acquire([device], {"mode": ("s", "nonsense")}),
        "more memory than there is": acquire([device], {"memory": ("t", 2**64 - 1)}),
        "an address that is none": acquire(["../../etc/passwd"]),
        "an address that is too long": acquire(["0" * (1 << 20)]),
        "no device": acquire([]),
        "the same device twice": acquire([device, device]),
        "10,000 devices": acquire([f"{n:04x}:00:00.0" for n in range(10000)]),
        "1 MB in a label": acquire([device], {"label": ("s", "x" * (1 << 20))}),
        "control characters in a label": acquire([device], {"label": ("s", "a\nb")}),
        "1 MB in an option's name": acquire([device], {"y" * (1 << 20): ("s", "")}),
        "10,000 options": acquire([device], {str(n): ("s", "") for n in range(10000)}),
        "a uid beyond 2^31": explain({"user": ("s", "2147483648")}, [device]),
        "a uid beyond 2^64": explain({"user": ("s", "9" * 30)}, [device]),
        "1 MB in a user's name": explain({"user": ("s", "u" * (1 << 20))}, [device]),
        "no arguments at all": (bus.ROOT, bus.MANAGER, "Acquire"),
        "other arguments": (bus.ROOT, bus.MANAGER, "Acquire", "t", (1,)),
        "a lease that is none": (lease_path, bus.LEASE, "Release", "a{sv}", ({},)),
        "a lease's number with zeroes": ("/org/iommud1/lease/007", bus.LEASE, "Release", "a{sv}", ({},)),
        "a method that is none": (bus.ROOT, bus.MANAGER, "Nonsense"),
        "an administrator's method": (bus.ROOT, bus.MANAGER, "Reload", "a{sv}", ({},)),
    }
    client = bus.Bus()
    for what, call in wrong.items():
        try:
            client.call(*call)
        except bus.BusError as error:
            print(f"{what}: {error.name}")
            continue
        fail(f"{what}: was taken")
    # A NUL inside a string is no D-Bus at all: the connection may end.
    for call in (acquire(["0000:00:04.0\0"]), acquire([device], {"label": ("s", "a\0b")})):
        client = bus.Bus()
        try:
            client.call(*call)
        except (bus.BusError, ConnectionError) as error:
            print(f"NUL in a string: {type(error).__name__}")
            continue
        fail("NUL in a string was taken")
    # Descriptors that nobody asked for, up to what one message carries.
    client = bus.Bus()
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(250)]
    try:
        client.call(*acquire(["nonsense"]), fds=fds)
        fail("250 descriptors: was taken")
    except (bus.BusError, ConnectionError, PermissionError) as error:  # EPERM: since 6.16 the kernel refuses them
        print(f"250 descriptors: {type(error).__name__}")


def fuse(path):
    """A descriptor whose close never ends, to the worker."""
    fd = os.open(path, os.O_RDWR)
    client = bus.Bus(timeout=300)
    try:
        client.call(bus.ROOT, bus.MANAGER, "Acquire", "asa{sv}", (["nonsense"], {}), fds=[fd])
    except (bus.BusError, ConnectionError, TimeoutError) as error:
        print(error)


def processes(*pids):
    """What one may do to one's own processes, done to the daemon's: each has to be refused."""
    libc = ctypes.CDLL(None, use_errno=True)

    def ptrace(pid):
        if libc.ptrace(16, pid, None, None) != 0:  # PTRACE_ATTACH
            raise OSError(ctypes.get_errno(), "ptrace")

    def system_call(number, *arguments):
        if libc.syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments)) < 0:
            raise OSError(ctypes.get_errno(), str(number))

    # Where its first page of code lies does not matter: who may not look is refused before that is looked at.
    buffer = ctypes.create_string_buffer(16)
    vector = (ctypes.c_long * 2)(ctypes.addressof(buffer), 16)
    vectors = (ctypes.addressof(vector), 1, ctypes.addressof(vector), 1, 0)
    acts = {
        "PTRACE_SEIZE": lambda pid: system_call(101, 0x4206, pid, 0, 0),
        "pidfd_getfd": lambda pid: system_call(438, os.pidfd_open(pid), 3, 0),
        "process_vm_readv": lambda pid: system_call(310, pid, *vectors),
        "process_vm_writev": lambda pid: system_call(311, pid, *vectors),
        "prlimit": lambda pid: resource.prlimit(pid, resource.RLIMIT_MEMLOCK, (1 << 40, 1 << 40)),
        "prlimit, to look": lambda pid: resource.prlimit(pid, resource.RLIMIT_MEMLOCK),
        "ioprio_set": lambda pid: system_call(251, 1, pid, 3 << 13),
        "kcmp": lambda pid: system_call(312, os.getpid(), pid, 0, 0, 0),
        "process_madvise": lambda pid: system_call(440, os.pidfd_open(pid), ctypes.addressof(vector), 1, 20, 0),
        "SIGKILL": lambda pid: os.kill(pid, signal.SIGKILL),
        "SIGSTOP": lambda pid: os.kill(pid, signal.SIGSTOP),
        "SIGKILL by pidfd": lambda pid: signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGKILL),
        "renice": lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 19),
        "affinity": lambda pid: os.sched_setaffinity(pid, {0}),
        "scheduler": lambda pid: os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0)),
        "ptrace": ptrace,
        "memory": lambda pid: os.open(f"/proc/{pid}/mem", os.O_RDWR),
        "descriptors": lambda pid: os.listdir(f"/proc/{pid}/fd"),
        "oom_score_adj": lambda pid: os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY),
    }
    for pid in map(int, pids):
        for name, act in acts.items():
            try:
                act(pid)
            except PermissionError:
                continue
            fail(f"{name} of {pid} was allowed")
    print(f"{len(acts)} acts refused for {len(pids)} processes")


{"garbage": garbage, "half-open": half_open, "workers": workers, "connects": connects, "race": race, "namespace": root_of_a_namespace,
 "bad-input": bad_input, "fuse": fuse, "processes": processes}[sys.argv[1]](*sys.argv[2:])
