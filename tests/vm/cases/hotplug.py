"""Removes a PCI device from the kernel and has it found again: hotplug.py DEVICE, as root. Fails when one connection does
not hear of either."""
import pathlib
import sys
import time

import bus

device = sys.argv[1]
client = bus.Bus()


def listed():
    (objects,) = client.call(bus.ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
    return bus.device_path(device) in objects


def explained():
    """Asked twice: what holds is answered without the monitor."""
    answers = []
    for _ in range(2):
        try:
            answers.append(client.call(bus.ROOT, bus.MANAGER, "Explain", "a{sv}asa{sv}", ({}, [device], {}))[0])
        except bus.BusError as error:
            answers.append(error.name)
    return answers


def becomes(is_listed, says):
    deadline = time.monotonic() + 10
    while (listed(), explained()) != (is_listed, [says, says]):
        if time.monotonic() > deadline:
            sys.exit(f"after 10 s: listed {listed()}, Explain says {explained()}, expected {is_listed} and {says}")
        time.sleep(0.05)


becomes(True, True)
pathlib.Path(f"/sys/bus/pci/devices/{device}/remove").write_text("1")
becomes(False, "NoSuchDevice")
pathlib.Path("/sys/bus/pci/rescan").write_text("1")
becomes(True, True)
