"""How long others wait: latency.py DEVICE COUNT prints the milliseconds of COUNT times Acquire, and of as many reads of
a property; latency.py --compare BEFORE DURING RATIO compares two such files' 99th percentiles."""
import json
import os
import sys
import time

import bus


def p99(values):
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]


def measure(device, count):
    client = bus.Bus()
    path = bus.device_path(device)
    times = {"Acquire": [], "property": []}
    for _ in range(count):
        start = time.monotonic()
        _, fds = client.acquire([device], memory=4096)
        times["Acquire"].append(time.monotonic() - start)
        for fd in fds.values():
            os.close(fd)
        state = ""
        while state != "available":  # the end of the lease is not what is measured
            start = time.monotonic()
            state = client.get(path, bus.DEVICE, "State")
            times["property"].append(time.monotonic() - start)
            time.sleep(0.01)
    return times


if sys.argv[1] == "--compare":
    before, during = (json.load(open(path)) for path in sys.argv[2:4])
    worst = 0
    for what in before:
        worst = max(worst, p99(during[what]) / p99(before[what]))
        print(f"{what}: p99 {p99(before[what]) * 1000:.1f} ms before, {p99(during[what]) * 1000:.1f} ms during")
    sys.exit(worst >= float(sys.argv[4]))
json.dump(measure(sys.argv[1], int(sys.argv[2])), sys.stdout)
