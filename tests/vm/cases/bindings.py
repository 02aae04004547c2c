"""Clients that are not ours: libdbus, by Python's dbus module, and GDBus, by its introspection. Both with one face:

call() gives a list of plain values, or raises Refused; in what it is given, a variant is a pair (signature, value).
properties() gives {name: (signature, value)}; descriptors in an answer are numbers, the caller's own."""
import time

SYSTEM, OURS = "system", "org.iommud1"
PROPERTIES = "org.freedesktop.DBus.Properties"


class Refused(Exception):
    def __init__(self, name, message):
        super().__init__(f"{name}: {message}")
        self.name, self.message = name, message


def deadline_of(seconds):
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


class Client:
    def hear(self, path, interface, member, seconds=60):
        """The arguments of the next such signal; those that came before it are forgotten."""
        in_time = deadline_of(seconds)
        while in_time():
            while self.signals:
                at, said = self.signals.pop(0)
                if at == (path, interface, member):
                    return said
            self.turn()
        raise TimeoutError(f"no {interface}.{member} of {path}")


class LibDBus(Client):
    def __init__(self, address):
        import dbus
        import dbus.connection
        import dbus.mainloop.glib
        from gi.repository import GLib
        self.dbus, self.context = dbus, GLib.MainContext.default()
        loop = dbus.mainloop.glib.DBusGMainLoop()
        self.signals = []
        if address == SYSTEM:
            self.destination, self.connection = OURS, dbus.SystemBus(private=True, mainloop=loop)
            self.connection.add_match_string(f"type='signal',sender='{OURS}'")
        else:
            self.destination, self.connection = None, dbus.connection.Connection(address, mainloop=loop)
        self.connection.add_message_filter(self.signal)

    def signal(self, _, message):
        if message.get_type() == 4:
            at = str(message.get_path()), str(message.get_interface()), str(message.get_member())
            self.signals.append((at, [self.plain(value) for value in message.get_args_list()]))
        return 1  # not handled: others may look, too

    def turn(self):
        self.context.iteration(False) or time.sleep(0.01)

    def value(self, kind, value):
        simple = {"s": "String", "o": "ObjectPath", "t": "UInt64", "u": "UInt32", "q": "UInt16", "i": "Int32",
                  "b": "Boolean", "d": "Double", "y": "Byte"}
        if kind == "v":
            kind, value = value
        if kind == "a{sv}":
            return self.dbus.Dictionary({key: self.value("v", item) for key, item in value.items()}, signature="sv")
        if kind[0] == "a":
            return self.dbus.Array([self.value(kind[1:], item) for item in value], signature=kind[1:])
        return getattr(self.dbus, simple[kind])(value)

    def plain(self, value):
        dbus = self.dbus
        if isinstance(value, dbus.types.UnixFd):
            return value.take()
        if isinstance(value, dbus.Dictionary):
            return {self.plain(key): self.plain(item) for key, item in value.items()}
        if isinstance(value, (dbus.Array, dbus.Struct)):
            return type(()) (map(self.plain, value)) if isinstance(value, dbus.Struct) else list(map(self.plain, value))
        if isinstance(value, dbus.Boolean):
            return bool(value)
        return str(value) if isinstance(value, str) else int(value) if isinstance(value, int) else float(value)

    def raw(self, path, interface, member, kinds, arguments):
        # To `destination`; as libdbus takes them, `kinds` are the arguments' signatures one by one.
        values = [self.value(kind, value) for kind, value in zip(kinds, arguments, strict=True)]
        try:
            return self.connection.call_blocking(self.destination, path, interface, member, "".join(kinds), values,
                                                 timeout=120)
        except self.dbus.DBusException as error:
            raise Refused(error.get_dbus_name(), error.get_dbus_message()) from None

    def call(self, path, interface, member, kinds=(), arguments=()):
        answer = self.raw(path, interface, member, kinds, arguments)
        if answer is None:
            return []
        return [self.plain(value) for value in (answer if isinstance(answer, tuple) and
                                                not isinstance(answer, self.dbus.Struct) else (answer,))]

    def kind_of(self, value):
        kinds = {"String": "s", "ObjectPath": "o", "UInt64": "t", "UInt32": "u", "UInt16": "q", "Int32": "i",
                 "Boolean": "b"}
        return "a" + str(value.signature) if isinstance(value, self.dbus.Array) else kinds[type(value).__name__]

    def properties(self, path, interface):
        answer = self.raw(path, PROPERTIES, "GetAll", ("s",), (interface,))
        return {str(name): (self.kind_of(value), self.plain(value)) for name, value in answer.items()}


class GDBus(Client):
    def __init__(self, address):
        from gi.repository import Gio, GLib
        self.Gio, self.GLib, self.context = Gio, GLib, GLib.MainContext.default()
        self.signals = []
        if address == SYSTEM:
            self.destination, self.connection = OURS, Gio.bus_get_sync(Gio.BusType.SYSTEM, None)
        else:
            self.destination = None
            self.connection = Gio.DBusConnection.new_for_address_sync(
                address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT, None, None)
        self.connection.signal_subscribe(self.destination, None, None, None, None, Gio.DBusSignalFlags.NONE,
                                         lambda _, sender, *signal: self.signals.append(
                                             (signal[:3], list(signal[3].unpack()))))

    def turn(self):
        self.context.iteration(False) or time.sleep(0.01)

    def value(self, kind, value):
        if kind == "v":
            return self.GLib.Variant("v", self.value(*value))
        if kind == "a{sv}":
            return self.GLib.Variant(kind, {key: self.value(*item) for key, item in value.items()})
        return self.GLib.Variant(kind, value)

    def raw(self, path, interface, member, kinds, arguments):
        values = [self.value(kind, value) for kind, value in zip(kinds, arguments, strict=True)]
        try:
            return self.connection.call_with_unix_fd_list_sync(
                self.destination, path, interface, member, self.GLib.Variant.new_tuple(*values), None,
                self.Gio.DBusCallFlags.NONE, 120000, None, None)
        except self.GLib.Error as error:
            name = self.Gio.DBusError.get_remote_error(error)
            raise Refused(name, error.message) from None

    def call(self, path, interface, member, kinds=(), arguments=()):
        answer, fds = self.raw(path, interface, member, kinds, arguments)
        return [self.with_fds(answer.get_child_value(at), fds) for at in range(answer.n_children())]

    def with_fds(self, variant, fds):
        kind = variant.get_type_string()
        if kind == "h":
            return fds.get(variant.get_handle())
        if kind[0] in "a(" and "h" in kind:
            children = [self.with_fds(variant.get_child_value(at), fds) for at in range(variant.n_children())]
            return tuple(children) if kind[0] == "(" else children
        return variant.unpack()

    def properties(self, path, interface):
        entries = self.raw(path, PROPERTIES, "GetAll", ("s",), (interface,))[0].get_child_value(0)
        pairs = [entries.get_child_value(at) for at in range(entries.n_children())]
        values = {pair.get_child_value(0).get_string(): pair.get_child_value(1).get_variant() for pair in pairs}
        return {name: (value.get_type_string(), value.unpack()) for name, value in values.items()}


BINDINGS = {"libdbus": LibDBus, "gdbus": GDBus}
