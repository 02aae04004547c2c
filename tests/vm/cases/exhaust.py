"""An account at its limits: exhaust.py LIMIT DEVICE DEVICE; goes there, says how, and stays until a line comes in. LIMIT is

memory: all of it mapped | leases: as many as it may have | connections: as many as are left open
replies: of large answers, unread, until nobody reads its calls | requests: many of Acquire, of which nothing is read
descriptors: in answers of a lease that are unread, and in calls that nobody reads"""
import itertools
import select
import socket
import sys

import bus
import lease

MANY = 8


def connect():
    return bus.Bus(timeout=120)


def until_stuck(client, calls):
    """Sends until nobody takes any more: how many went."""
    client.socket.settimeout(3)
    count = 0
    try:
        for count, (call, options) in enumerate(calls):
            client.send(*call, **options)
    except (TimeoutError, ConnectionError, OSError):
        pass
    return count


def forever(call, **options):
    while True:
        yield call, options


def memory(device, _):
    _, fds = connect().acquire([device])
    channel, count = lease.Lease(fds["lease"]), 0
    page = lease.memory(lease.PAGE)
    while channel.map(page, lease.PAGE)[0] == 0:
        count += 1
    return f"{count} pages", fds, channel


def leases(*devices):
    client, held = connect(), []
    for device in devices:
        held.append(client.acquire([device], memory=lease.PAGE))
    try:
        client.acquire(["0000:00:05.0"], memory=lease.PAGE)
    except bus.BusError as error:
        return error.name, client, held
    return "one more", client, held


def connections(*_):
    held, closed = [], 0
    for _ in range(300):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.connect(bus.CLIENTS)
        held.append(client)
    poll = select.poll()
    for client in held:
        poll.register(client, select.POLLRDHUP)
    while len(held) - closed > 32:
        closed = len(poll.poll(1000))
    return f"{len(held) - closed} connections", held


def replies(*_):
    clients = [connect() for _ in range(MANY)]
    everything = (bus.ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
    sent = [until_stuck(client, forever(everything)) for client in clients]
    return f"{min(sent) > 0} for {len(sent)}", clients


def requests(*devices):
    clients = [connect() for _ in range(MANY)]
    acquire = (bus.ROOT, bus.MANAGER, "Acquire", "asa{sv}", (list(devices), {"memory": ("t", lease.PAGE)}))
    # Each takes the daemon's time, too, which is not what is to be used up here.
    sent = [until_stuck(client, itertools.islice(forever(acquire), 300)) for client in clients]
    return f"{min(sent) > 0} for {len(sent)}", clients


def descriptors(device, _):
    """250 with each call, beyond those calls that a worker still reads."""
    _, fds = connect().acquire([device], memory=lease.PAGE)
    channel = lease.Lease(fds.pop("lease"))
    for _ in range(14):
        channel.socket.send(bytes([lease.DUP]) + bytes(39))
    said, clients = replies()
    ping = (bus.ROOT, "org.freedesktop.DBus.Peer", "Ping")
    some = list(fds.values()) * 250
    for client in clients:
        client.socket.setblocking(False)
        until_stuck(client, forever(ping, fds=some[:250]))
    return said, fds, channel, clients


said, *held = globals()[sys.argv[1]](*sys.argv[2:])
print(said, flush=True)
sys.stdin.readline()
