"""Somebody else's day: neighbour.py DEVICE [COUNT] says "ready", then acquires, maps, unmaps and releases again and again,
COUNT times, or until a line has come in, but once at least; then says how often, and how long one call took at most. Ends
with an error when one fails."""
import os
import select
import sys
import time

import bus
import lease

device, longest, rounds = sys.argv[1], 0.0, 0
most = int(sys.argv[2]) if len(sys.argv) > 2 else None
client = bus.Bus(timeout=300)


def timed(call, *arguments, **options):
    global longest
    start = time.monotonic()
    answer = call(*arguments, **options)
    longest = max(longest, time.monotonic() - start)
    return answer


memory = lease.memory(lease.PAGE)
print("ready", flush=True)
while rounds != most and (most or not rounds or not select.select([sys.stdin], [], [], 0)[0]):
    path, fds = timed(client.acquire, [device], memory=lease.PAGE)
    channel = lease.Lease(fds.pop("lease"))
    for want in (0, lease.MEMORY_LIMIT):
        if timed(channel.map, memory, lease.PAGE)[0] != want:
            sys.exit("a map: not what it should be")
    if timed(channel.unmap_all) != (0, lease.PAGE):
        sys.exit("unmap: not what it should be")
    for fd in fds.values():
        os.close(fd)
    timed(client.call, path, bus.LEASE, "Release", "a{sv}", ({},))
    channel.socket.close()
    while timed(client.get, bus.device_path(device), bus.DEVICE, "State") != "available":
        time.sleep(0.01)
    rounds += 1
print(f"{rounds} rounds, at most {int(longest * 1000)} ms", flush=True)
