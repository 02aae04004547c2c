"""Who makes it hard for others on the system bus: bus_senders.py vanish DEVICE TIMES | flood."""
import select
import sys

import bus


def vanish(device, times):
    """Asks for a lease and is gone before the answer, each time by another name."""
    for _ in range(int(times)):
        client = bus.Bus(bus.SYSTEM_BUS)
        client.send(bus.ROOT, bus.MANAGER, "Acquire", "asa{sv}", ([device], {"memory": ("t", 4096)}))
        client.socket.close()


def flood():
    """Twenty connections, each asking and asking, until a line comes in."""
    clients = [bus.Bus(bus.SYSTEM_BUS) for _ in range(20)]
    print("asking", flush=True)
    asked, answers = 0, 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        for client in clients:
            serials = [client.send(bus.ROOT, bus.MANAGER, "GetAccounts", "a{sv}", ({},)) for _ in range(20)]
            asked += len(serials)
            for serial in serials:
                try:
                    client.answer(serial)
                except bus.BusError:
                    pass
                answers += 1
    print(f"{answers} answers to {asked} requests")


{"vanish": vanish, "flood": flood}[sys.argv[1]](*sys.argv[2:])
