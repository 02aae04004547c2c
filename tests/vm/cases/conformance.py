"""What any D-Bus binding may expect of a service, asked by bindings that are not ours.

conformance.py libdbus|gdbus ADDRESS looks|refusals|lease DEVICE|bus-lease DEVICE: prints a line for each expectation and fails with
the first that does not hold. ADDRESS is "system" for org.iommud1 on the system bus."""
import os
import stat
import sys
import xml.etree.ElementTree as XML

import bindings
import bus
import lease

DBUS = "org.freedesktop.DBus"
INTROSPECTION = os.path.join(os.environ["IOMMUD_TREE"], "systemd/introspection")
EDU = "0000:00:04.0"
STANDARD = {f"{DBUS}.{name}" for name in ("Peer", "Introspectable", "Properties", "ObjectManager")}


def ok(holds, what, found=""):
    if not holds:
        sys.exit(f"FAIL {what}: {found}")
    print("ok  ", what, flush=True)


def declared(interface, administrator=False):
    """({method: (arguments in, out)}, {property: signature}) of the XML that is the truth."""
    node = XML.parse(f"{INTROSPECTION}/{interface}.xml").getroot().find("interface")
    return members(node, administrator)


def members(node, administrator=False):
    methods = {}
    for method in node.findall("method"):
        marks = {mark.get("name") for mark in method.findall("annotation")}
        if administrator or "org.iommud1.AdminSocketOnly" not in marks:
            methods[method.get("name")] = tuple("".join(
                argument.get("type") for argument in method.findall("arg") if argument.get("direction") == way)
                for way in ("in", "out"))
    return methods, {value.get("name"): value.get("type") for value in node.findall("property")}


def introspected(client, path):
    """{interface: its element} and the names of the nodes below."""
    node = XML.fromstring(client.call(path, f"{DBUS}.Introspectable", "Introspect")[0])
    return ({interface.get("name"): interface for interface in node.findall("interface")},
            [child.get("name") for child in node.findall("node")])


def looks(client):
    device = bus.device_path(EDU)
    below, seen = "/", []
    for part in ("org", "iommud1", "device"):
        nodes = introspected(client, below)[1]
        # A path that is itself an object may be listed in one piece.
        ok(any(node == part or node.startswith(part + "/") for node in nodes), f"{below} has {part} below it", nodes)
        below = below.rstrip("/") + "/" + part
        seen.append(below)
    for path, interface in ((bus.ROOT, bus.MANAGER), (device, bus.DEVICE)):
        interfaces, _ = introspected(client, path)
        ok(set(interfaces) >= {interface, *STANDARD} - {f"{DBUS}.ObjectManager"}, f"{path} has its interfaces", interfaces)
        ok(members(interfaces[interface]) == declared(interface), f"{interface} is as declared",
           members(interfaces[interface]))
        values = client.properties(path, interface)
        ok({name: kind for name, (kind, _) in values.items()} == declared(interface)[1],
           f"GetAll of {interface} has every property, of its type", values)
        for name, (_, value) in values.items():
            one = client.call(path, bindings.PROPERTIES, "Get", ("s", "s"), (interface, name))
            ok(one == [value], f"Get of {name} says the same", (one, value))
    ok(client.properties(device, bus.DEVICE)["Address"][1] == EDU, "a device's path is its address")
    ok(client.properties(bus.ROOT, f"{DBUS}.Peer") == {}, "an interface without properties has none")
    objects = client.call(bus.ROOT, f"{DBUS}.ObjectManager", "GetManagedObjects")[0]
    ok(device in objects and bus.DEVICE in objects[device], "GetManagedObjects has the device", list(objects))
    ok(objects[device][bus.DEVICE]["Address"] == EDU, "with its properties")
    ok(bus.ROOT not in objects, "and not the manager, at which it is")
    for path in ("/", bus.ROOT, device, "/no/such/path"):
        ok(client.call(path, f"{DBUS}.Peer", "Ping") == [], f"Ping of {path}")


def refusals(client):
    device = bus.device_path(EDU)
    get, put = (bindings.PROPERTIES, "Get", ("s", "s")), (bindings.PROPERTIES, "Set", ("s", "s", "v"))
    acquire = (bus.ROOT, bus.MANAGER, "Acquire")
    ours = "org.iommud1.Error."
    there = client.destination is None  # on the system bus the methods may be closed
    wrong = [
        ("a method that is none", "UnknownMethod", bus.ROOT, bus.MANAGER, "Nonsense"),
        ("a method of a device that is none", "UnknownMethod", device, bus.DEVICE, "Nonsense"),
        ("an interface that is none", "UnknownMethod", bus.ROOT, "org.iommud1.Nonsense", "Acquire"),
        ("another object's interface", "UnknownMethod", bus.ROOT, bus.LEASE, "Release", ("a{sv}",), ({},)),
        ("an object that is none", "UnknownObject", "/no/such/path", bus.MANAGER, "Acquire"),
        ("a device that is none", ours + "NoSuchDevice", bus.device_path("ffff:00:00.0"), bus.DEVICE, "Nonsense"),
        ("to be told of one", ours + "NoSuchDevice", bus.device_path("ffff:00:00.0"), f"{DBUS}.Introspectable",
         "Introspect"),
        ("an administrator's method", "UnknownMethod", bus.ROOT, bus.MANAGER, "Reload", ("a{sv}",), ({},)),
        ("arguments of another type", "InvalidArgs", *acquire, ("t",), (1,)),
        ("an argument too few", "InvalidArgs", *acquire, ("as",), ([EDU],)),
        ("an argument too many", "InvalidArgs", *acquire, ("as", "a{sv}", "s"), ([EDU], {}, "")),
        ("no argument", "InvalidArgs", *acquire),
        ("a property that is none", "UnknownProperty", bus.ROOT, *get, (bus.MANAGER, "Nonsense")),
        ("a property of an interface that is none", "UnknownProperty", bus.ROOT, *get, ("org.iommud1.Nonsense", "Version")),
        ("all properties of one", "UnknownInterface", bus.ROOT, bindings.PROPERTIES, "GetAll", ("s",),
         ("org.iommud1.Nonsense",)),
        ("a property to write", "PropertyReadOnly", bus.ROOT, *put, (bus.MANAGER, "Version", ("s", "9"))),
        ("a device's property to write", "PropertyReadOnly", device, *put, (bus.DEVICE, "Tainted", ("b", True))),
        ("a property to write that is none", "UnknownProperty", bus.ROOT, *put, (bus.MANAGER, "Nonsense", ("s", "9"))),
        ("the machine's id", "NotSupported", bus.ROOT, f"{DBUS}.Peer", "GetMachineId"),
    ]
    if there:
        wrong += [
            ("an unknown key", ours + "InvalidArgument", *acquire, ("as", "a{sv}"), ([EDU], {"colour": ("s", "red")})),
            ("a key of another type", ours + "InvalidArgument", *acquire, ("as", "a{sv}"), ([EDU], {"memory": ("s", "1")})),
            ("a key of a list's type", ours + "InvalidArgument", *acquire, ("as", "a{sv}"), ([EDU], {"memory": ("as", ["1"])})),
            ("no such device to acquire", ours + "NoSuchDevice", *acquire, ("as", "a{sv}"), (["ffff:00:00.0"], {})),
            ("an unknown key of GetAccounts", ours + "InvalidArgument", bus.ROOT, bus.MANAGER, "GetAccounts", ("a{sv}",),
             ({"all": ("b", True)},)),
            ("a lease that is none", ours + "NoSuchLease", f"{bus.ROOT}/lease/4711", bus.LEASE, "Release", ("a{sv}",),
             ({},)),
        ]
    for what, name, *call in wrong:
        try:
            said = client.call(*call)
        except bindings.Refused as refusal:
            said = refusal
        expected = name if "." in name else f"{DBUS}.Error.{name}"
        ok(isinstance(said, bindings.Refused) and said.name == expected and said.message, f"{what}: {name}", said)
    ok(client.call(bus.ROOT, f"{DBUS}.Peer", "Ping") == [], "the connection goes on after all that")


def take(client, device):
    """A lease of the device, by its path, and what came with it."""
    path, named, info = client.call(bus.ROOT, bus.MANAGER, "Acquire", ("as", "a{sv}"),
                                    ([device], {"memory": ("t", lease.MIB), "label": ("s", "conformance")}))
    return path, dict(named), info


def hold(client, device):
    path, fds, info = take(client, device)
    ok(sorted(fds) == [f"device:{device}", "lease"], "Acquire gives descriptors by name", fds)
    ok(stat.S_ISCHR(os.fstat(fds[f"device:{device}"]).st_mode), "a device's node")
    ok(info["memory"] == lease.MIB, "and says how much may be mapped", info)
    channel = lease.Lease(fds["lease"])
    error, _ = channel.map(lease.memory(lease.MIB), lease.MIB)
    ok(error == 0, "the lease maps", error)
    ok(channel.query()["mapped"] == lease.MIB, "as its keeper says, too")
    added, interfaces = client.hear(bus.ROOT, f"{DBUS}.ObjectManager", "InterfacesAdded")[:2]
    ok(added == path and interfaces[bus.LEASE]["Label"] == "conformance", "InterfacesAdded is heard", added)
    interface, changed, _ = client.hear(bus.device_path(device), bindings.PROPERTIES, "PropertiesChanged")
    ok((interface, changed["State"], changed["Lease"]) == (bus.DEVICE, "leased", path), "and PropertiesChanged", changed)
    values = client.properties(path, bus.LEASE)
    ok({name: kind for name, (kind, _) in values.items()} == declared(bus.LEASE)[1], "GetAll of the lease", values)
    ok(path in client.call(bus.ROOT, f"{DBUS}.ObjectManager", "GetManagedObjects")[0], "GetManagedObjects has it")
    accounts = client.call(bus.ROOT, bus.MANAGER, "GetAccounts", ("a{sv}",), ({},))[0]
    ok([account["MemoryReserved"] for account in accounts] == [lease.MIB], "GetAccounts has it", accounts)
    allowed, why, trace = client.call(bus.ROOT, bus.MANAGER, "Explain", ("a{sv}", "as", "a{sv}"), ({}, [device], {}))
    ok(allowed and why and trace, "Explain says by which rule", why)
    ok(client.call(path, bus.LEASE, "Release", ("a{sv}",), ({},)) == [], "Release")
    os.close(fds[f"device:{device}"])
    gone = client.hear(bus.ROOT, f"{DBUS}.ObjectManager", "InterfacesRemoved")
    ok(gone[0] == path, "InterfacesRemoved is heard", gone)


def hold_on_bus(client, device):
    """On the system bus, where policy says "bus_acquire": a lease is its holder's, and nobody else hears of it."""
    path, fds, info = take(client, device)
    ok(sorted(fds) == [f"device:{device}", "lease"], "Acquire gives descriptors by name", fds)
    ok(stat.S_ISCHR(os.fstat(fds[f"device:{device}"]).st_mode), "a device's node")
    channel = lease.Lease(fds["lease"])
    ok(channel.map(lease.memory(lease.MIB), lease.MIB)[0] == 0, "the lease maps")
    values = client.properties(path, bus.LEASE)
    ok({name: kind for name, (kind, _) in values.items()} == declared(bus.LEASE)[1], "GetAll of the lease", values)
    ok(values["Holder"][1] == os.getuid() and values["Label"][1] == "conformance", "is about it", values)
    ok(client.call(path, bindings.PROPERTIES, "Get", ("s", "s"), (bus.LEASE, "State")) == ["active"], "Get, too")
    again = type(client)(bindings.SYSTEM).properties(path, bus.LEASE)
    ok(again["Id"] == values["Id"], "and from another connection of the same uid", again)
    objects = client.call(bus.ROOT, f"{DBUS}.ObjectManager", "GetManagedObjects")[0]
    ok(path not in objects, "it is not listed", list(objects))
    ok(client.properties(bus.device_path(device), bus.DEVICE)["Lease"][1] == "/", "nor is its device's lease")
    accounts = client.call(bus.ROOT, bus.MANAGER, "GetAccounts", ("a{sv}",), ({},))[0]
    ok([account["MemoryReserved"] for account in accounts] == [lease.MIB], "GetAccounts has it", accounts)
    allowed, why, trace = client.call(bus.ROOT, bus.MANAGER, "Explain", ("a{sv}", "as", "a{sv}"), ({}, [device], {}))
    ok(allowed and why and trace, "Explain says by which rule", why)
    print(path, flush=True)
    sys.stdin.readline()
    ok(client.call(path, bus.LEASE, "Release", ("a{sv}",), ({},)) == [], "Release")


def main():
    binding, address, what, *rest = sys.argv[1:]
    client = bindings.BINDINGS[binding](address)
    {"looks": looks, "refusals": refusals, "lease": hold, "bus-lease": hold_on_bus}[what](client, *rest)


if __name__ == "__main__":
    main()
