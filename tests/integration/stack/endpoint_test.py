#!/usr/bin/env python3
"""Containers' endpoints, on the simulated kernel: no cgroup is looked at, any process can be a container's first one."""
import os
import pathlib
import subprocess
import unittest

import dbus
import dbus.connection

from stack import EDU, OTHER, StackCase

INVALID = "org.iommud1.Error.InvalidArgument"


class Endpoints(StackCase):
    def setUp(self):
        super().setUp()
        self.containers = []

    def tearDown(self):
        for container in self.containers:
            container.kill()
            container.wait(30)
        super().tearDown()

    def container(self):
        self.containers.append(subprocess.Popen(["sleep", "600"]))
        return self.containers[-1]

    def admin(self, method, signature, *arguments):
        connection = dbus.connection.Connection(f"unix:path={self.run_folder}/admin/bus")
        try:
            return connection.call_blocking(None, "/org/iommud1", "org.iommud1.Manager", method, signature, arguments)
        finally:
            connection.close()

    def open(self, name, container, **options):
        facts = {"pid": dbus.UInt32(container.pid), "uid": dbus.UInt32(os.getuid())}
        return pathlib.Path(self.admin("OpenEndpoint", "sa{sv}", name, {**facts, **options}))

    def refused(self, call, *arguments, **options):
        with self.assertRaises(dbus.DBusException) as caught:
            call(*arguments, **options)
        return caught.exception

    def through(self, name, *arguments):
        """iommuctl as the container would run it."""
        environment = dict(os.environ, IOMMUD_ADDRESS=f"unix:path={self.run_folder}/endpoints/{name}/bus")
        return subprocess.run([os.environ["IOMMUCTL"], *arguments], env=environment, text=True, timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def holder(self, name, memory="1MiB"):
        """A process that has a lease through the endpoint, once it says so, until its input ends."""
        environment = dict(os.environ, IOMMUD_ADDRESS=f"unix:path={self.run_folder}/endpoints/{name}/bus")
        holder = subprocess.Popen([os.environ["IOMMUCTL"], "run", "--device", EDU, "--memory", memory, "--",
                                   "sh", "-c", "echo held; read x; exec sleep 0"], env=environment, text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(holder.stdout.readline(), "held\n")
        return holder

    def endpoints(self):
        return sorted(os.listdir(self.run_folder / "endpoints"))

    def admins_leases(self):
        environment = dict(os.environ, IOMMUD_ADDRESS=f"unix:path={self.run_folder}/admin/bus")
        return subprocess.run([os.environ["IOMMUCTL"], "leases", "--json"], env=environment, text=True,
                              stdout=subprocess.PIPE).stdout.strip()

    def test_a_container_has_its_own_leases_and_no_others(self):
        self.open("one", self.container())
        self.open("two", self.container())
        holder = self.holder("one")
        self.assertIn(EDU, self.through("one", "leases").stdout)
        self.assertNotIn(EDU, self.through("two", "leases").stdout, "another container of the same account")
        self.assertNotIn(EDU, self.ctl("leases").stdout, "the host's socket, the same uid")
        busy = self.through("two", "run", "--device", EDU, "--", "true")
        self.assertIn("somebody else's lease", busy.stderr)
        holder.communicate("go\n")

    def test_a_containers_end_closes_its_endpoint_and_ends_its_leases(self):
        container = self.container()
        self.open("one", container)
        holder = self.holder("one")
        container.kill()
        self.until(lambda: self.endpoints() == [])
        self.until(lambda: self.admins_leases() == "[]")
        container.wait()
        holder.communicate("go\n")

    def test_an_administrator_closes_an_endpoint(self):
        self.open("one", self.container())
        self.admin("CloseEndpoint", "sa{sv}", "one", {"if-ended": True})
        self.assertEqual(self.endpoints(), ["one"], "its container runs")
        self.admin("CloseEndpoint", "sa{sv}", "one", {})
        self.assertEqual(self.endpoints(), [])
        self.admin("CloseEndpoint", "sa{sv}", "one", {})

    def test_a_connection_owns_what_it_opened_and_no_other_endpoint_of_that_name(self):
        self.open("one", self.container())
        self.admin("CloseEndpoint", "sa{sv}", "one", {"own": True})
        self.assertEqual(self.endpoints(), ["one"], "another connection opened it")
        connection = dbus.connection.Connection(f"unix:path={self.run_folder}/admin/bus")
        facts = {"pid": dbus.UInt32(self.container().pid), "uid": dbus.UInt32(os.getuid())}
        for method, options in (("OpenEndpoint", facts), ("CloseEndpoint", {"own": True})):
            connection.call_blocking(None, "/org/iommud1", "org.iommud1.Manager", method, "sa{sv}", ("two", options))
        connection.close()
        self.assertEqual(self.endpoints(), ["one"])

    def test_endpoints_outlive_monitors(self):
        lives, dies = self.container(), self.container()
        self.open("lives", lives)
        self.open("dies", dies)
        holder = self.holder("lives")
        self.monitor.kill()
        self.monitor.wait(30)
        dies.kill()
        dies.wait(30)
        (self.run_folder / "endpoints" / "strange").mkdir()
        self.start_monitor()
        self.assertEqual(self.endpoints(), ["lives"])
        self.assertIn(EDU, self.through("lives", "leases").stdout, "the container knows its lease again")
        lives.kill()
        self.until(lambda: self.endpoints() == [])
        self.until(lambda: self.admins_leases() == "[]")
        holder.communicate("go\n")

    def test_leases_of_a_container_that_died_meanwhile_end(self):
        container = self.container()
        self.open("one", container)
        holder = self.holder("one")
        self.monitor.kill()
        self.monitor.wait(30)
        container.kill()
        container.wait(30)
        self.start_monitor()
        self.until(lambda: self.admins_leases() == "[]")
        self.assertEqual(self.endpoints(), [])
        holder.communicate("go\n")

    def test_a_name_that_comes_again_is_another_container(self):
        first = self.container()
        self.open("one", first)
        self.assertEqual(self.refused(self.open, "one", self.container()).get_dbus_name(), INVALID)
        first.kill()
        self.until(lambda: self.endpoints() == [])
        self.open("one", self.container())
        self.assertEqual(self.through("one", "status").returncode, 0)

    def test_a_container_gets_the_devices_and_memory_it_was_started_with(self):
        self.open("one", self.container(), devices=dbus.Array([EDU], signature="s"), memory=dbus.UInt64(2 << 20))
        self.assertEqual(self.through("one", "run", "--device", EDU, "--", "true").returncode, 0)
        other = self.through("one", "run", "--device", OTHER, "--memory", "1MiB", "--", "true")
        self.assertEqual(other.returncode, 3)
        self.assertIn("container one was started with", other.stderr)
        self.assertEqual(self.through("one", "run", "--device", EDU, "--memory", "3MiB", "--", "true").returncode, 5)

    def test_bad_arguments_are_refused_and_leave_nothing(self):
        container = self.container()
        for name in ("", ".", "..", "../x", "a/b", ".a", "a" * 129, "ä"):
            self.assertEqual(self.refused(self.open, name, container).get_dbus_name(), INVALID, name)
        long = "f" * 128
        self.assertTrue(self.open(long, container).joinpath("bus").exists(), "longer than a socket's path")
        self.admin("CloseEndpoint", "sa{sv}", long, {})
        for options in ({"colour": "red"}, {"memory": "lots"}, {"memory": dbus.UInt64(1)}, {"pid": dbus.UInt32(0)},
                        {"devices": dbus.Array([EDU] * 33, signature="s")}, {"pid": dbus.UInt32(1 << 30)},
                        {"annotations": dbus.Dictionary({str(i): "x" for i in range(33)}, signature="ss")},
                        {"annotations": dbus.Dictionary({"key": "x" * 1000000}, signature="ss")},
                        {"annotations": dbus.Dictionary({str(i): "x" * 1000 for i in range(200)}, signature="ss")}):
            self.assertEqual(self.refused(self.open, "one", container, **options).get_dbus_name(), INVALID, options)
        self.assertEqual(self.endpoints(), [])
        self.assertIsNone(self.monitor.poll(), "the monitor lives")

    def test_clients_have_no_such_verbs(self):
        self.open("one", self.container())
        for address in (f"{self.run_folder}/bus", f"{self.run_folder}/endpoints/one/bus"):
            connection = dbus.connection.Connection(f"unix:path={address}")
            refusal = self.refused(connection.call_blocking, None, "/org/iommud1", "org.iommud1.Manager",
                                   "CloseEndpoint", "sa{sv}", ("one", {}))
            self.assertEqual(refusal.get_dbus_name(), "org.freedesktop.DBus.Error.UnknownMethod")
            connection.close()


if __name__ == "__main__":
    unittest.main()
