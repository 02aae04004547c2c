"""What policy says to whoever runs this, asked twice on one connection: verdict.py DEVICE prints "given", or the name of
the error that Acquire answers with; fails when Explain says otherwise."""
import os
import sys
import time

import bus


def verdict(client, device, patience=60):
    """A lease that is given is given back. While another has not ended, it is waited for."""
    allowed, decision, _ = client.call(bus.ROOT, bus.MANAGER, "Explain", "a{sv}asa{sv}", ({}, [device], {}))
    deadline = time.monotonic() + patience
    while True:
        try:
            for fd in client.acquire([device], memory=4096)[1].values():
                os.close(fd)
            answer = "given"
        except bus.BusError as error:
            answer = error.name
        if answer not in ("DeviceBusy", "Draining") or time.monotonic() >= deadline:
            break
        time.sleep(0.002)
    if allowed != (answer != "AccessDenied"):
        sys.exit(f"Explain says {allowed} ({decision}), and Acquire {answer}")
    return answer


if __name__ == "__main__":
    print(verdict(bus.Bus(), sys.argv[1]))
