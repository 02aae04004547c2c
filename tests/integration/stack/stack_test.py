#!/usr/bin/env python3
"""Monitor, vault, workers and keepers together on the simulated kernel, seen from outside: by iommuctl and Python's dbus module."""
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import dbus.connection

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "vm" / "cases"))
import lease  # noqa: E402

EDU, OTHER = "0000:00:04.0", "0000:00:06.0"
LIMIT = 12 << 20


def policy(memory="12MiB"):
    return {"version": 1, "accounts": [{"match": {"user": pwd.getpwuid(os.getuid()).pw_name}, "memory": memory}],
            "rules": [{"id": "edu", "effect": "allow", "subjects": [{"user": pwd.getpwuid(os.getuid()).pw_name}],
                       "devices": [{"vendor": "1234", "device": "11e8"}]}]}


class Stack(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp())
        self.run_folder = self.work / "run"
        for folder in ("run", "etc/policy.d", "libexec"):
            (self.work / folder).mkdir(parents=True, mode=0o755)
        for program in os.environ["IOMMUD_PROGRAMS"].split(":"):
            (self.work / "libexec" / pathlib.Path(program).name).symlink_to(program)
        self.write_policy(policy())
        self.vault = self.start("iommud-vault", "--libexec", self.work / "libexec")
        self.until(lambda: (self.run_folder / "vault/monitor").exists())
        self.start_monitor()

    def tearDown(self):
        for process in (self.monitor, self.vault):
            process.terminate()
            process.wait(30)
        shutil.rmtree(self.work)

    def start(self, program, *arguments):
        return subprocess.Popen([self.work / "libexec" / program, "--kernel=simulated", "--run", self.run_folder,
                                 *arguments], stderr=subprocess.DEVNULL)

    def start_monitor(self):
        self.monitor = self.start("iommud", "--config", self.work / "etc")
        self.until(lambda: self.ctl("status").returncode == 0)

    def write_policy(self, value):
        path = self.work / "etc/policy.d/10.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        path.chmod(0o644)

    def until(self, condition):
        deadline = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), deadline, "not within the time")
            time.sleep(0.02)

    def ctl(self, *arguments, admin=False, **options):
        socket = "admin/bus" if admin else "bus"
        environment = dict(os.environ, IOMMUD_ADDRESS=f"unix:path={self.run_folder}/{socket}")
        return subprocess.run([os.environ["IOMMUCTL"], *map(str, arguments)], env=environment, text=True, timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def json(self, *arguments):
        return json.loads(self.ctl(*arguments, "--json").stdout)

    def hold(self, device=EDU, memory="12MiB"):
        """A lease of ours: (process that holds it, its channel). The process passes the lease's descriptor to us."""
        import socket
        ours, theirs = socket.socketpair()
        code = ("import socket, sys, time; s = socket.socket(fileno=int(sys.argv[2]));"
                "socket.send_fds(s, [b'x'], [int(sys.argv[1])]); sys.stdin.read()")
        environment = dict(os.environ, IOMMUD_ADDRESS=f"unix:path={self.run_folder}/bus")
        holder = subprocess.Popen([os.environ["IOMMUCTL"], "run", "--device", device, "--memory", memory, "--",
                                   "python3", "-c", code, "{lease}", str(theirs.fileno())],
                                  env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.PIPE)
        theirs.close()
        _, fds, _, _ = socket.recv_fds(ours, 16, 1)
        ours.close()
        channel = lease.Lease(fds[0])
        holder.stdin.close()
        holder.wait(60)
        return channel

    def no_leases(self):
        return self.json("leases") == []

    def refusal(self, method, signature, *arguments):
        """The D-Bus error of a raw call. By Python's module: busctl and gdbus say Hello to a bus that is not there."""
        connection = dbus.connection.Connection(f"unix:path={self.run_folder}/bus")
        try:
            connection.call_blocking(None, "/org/iommud1", "org.iommud1.Manager", method, signature, arguments)
        except dbus.DBusException as error:
            return error
        finally:
            connection.close()
        self.fail(f"{method} {arguments} was not refused")

    def test_it_says_everywhere_that_it_is_simulated(self):
        self.assertEqual(self.json("status")["KernelInterface"], "simulated")
        self.assertIn("SIMULATED", self.ctl("status").stderr + self.ctl("status").stdout)

    def test_the_limit_holds_to_the_page(self):
        channel = self.hold()
        self.assertEqual(channel.map(lease.memory(LIMIT), LIMIT)[0], 0)
        self.assertEqual(channel.map(lease.memory(lease.PAGE), lease.PAGE), (lease.MEMORY_LIMIT, 0))
        self.assertEqual(self.ctl("run", "--device", OTHER, "--memory", "4KiB", "--", "true").returncode, 5)
        channel.socket.close()
        self.until(self.no_leases)
        self.assertEqual(self.ctl("run", "--device", OTHER, "--memory", "12MiB", "--", "true").returncode, 0)

    def test_a_lease_outlives_monitors(self):
        channel = self.hold()
        self.monitor.kill()
        self.monitor.wait(30)
        self.assertEqual(channel.map(lease.memory(lease.MIB), lease.MIB)[0], 0)
        self.start_monitor()
        self.assertEqual([held["Devices"] for held in self.json("leases")], [[EDU]])
        self.assertEqual(self.json("accounts")[0]["MemoryReserved"], LIMIT)
        self.until(lambda: self.json("accounts")[0]["MemoryMapped"] == lease.MIB)
        channel.socket.close()
        self.until(self.no_leases)

    def test_a_keepers_death_ends_its_lease_and_no_other(self):
        first, second = self.hold(EDU, "1MiB"), self.hold(OTHER, "1MiB")
        children = subprocess.run(["pgrep", "-P", str(self.vault.pid), "-x", "iommud-keeper"], stdout=subprocess.PIPE,
                                  text=True).stdout.split()
        os.kill(int(children[0]), signal.SIGKILL)
        self.until(lambda: len(self.json("leases")) == 1)
        self.assertEqual(second.query()["mapped"], 0)
        first.socket.close(), second.socket.close()
        self.until(self.no_leases)

    def test_a_revocation_is_heard_and_ends_the_lease(self):
        channel = self.hold()
        number = self.json("leases")[0]["Id"]
        self.assertNotEqual(self.ctl("lease", "revoke", number).returncode, 0, "a client has no such verb")
        self.assertEqual(self.ctl("lease", "revoke", number, "--reason", "a test", admin=True).returncode, 0)
        self.until(self.no_leases)
        with self.assertRaises(ConnectionError):
            while channel.call(lease.QUERY)[0] != lease.REVOKED:
                pass
            raise ConnectionError("revoked")

    def test_a_bad_policy_is_refused_whole_and_named(self):
        self.write_policy('{"version": 1, "rules": [{"id": "x", "effect": "alow"}]}')
        refused = self.ctl("reload", admin=True)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("10.json:1:", refused.stderr)
        self.assertTrue(any("10.json" in reason for reason in self.json("status")["Degraded"]))
        self.assertEqual(self.ctl("run", "--device", EDU, "--memory", "1MiB", "--", "true").returncode, 0)
        self.write_policy(policy("8MiB"))
        self.monitor.send_signal(signal.SIGHUP)
        self.until(lambda: not any("10.json" in reason for reason in self.json("status")["Degraded"]))
        self.assertEqual(self.ctl("run", "--device", EDU, "--memory", "12MiB", "--", "true").returncode, 5)

    def test_bad_input_has_a_name_and_leaks_nothing(self):
        def descriptors():
            return [len(os.listdir(f"/proc/{process.pid}/fd")) for process in (self.monitor, self.vault)]

        self.until(self.no_leases)
        time.sleep(0.5)
        before = descriptors()
        for devices, options, named in (([EDU], {"memory": "lots"}, "memory"), ([EDU], {"colour": "red"}, "colour"),
                                        (["04.0"], {}, "04.0"), ([], {}, "device"), ([EDU] * 10000, {}, "10000"),
                                        ([EDU], {"label": "x" * 1000000}, "label"), ([EDU, EDU], {}, EDU)):
            refusal = self.refusal("Acquire", "asa{sv}", devices, options)
            self.assertEqual(refusal.get_dbus_name(), "org.iommud1.Error.InvalidArgument", named)
            self.assertIn(named, refusal.get_dbus_message())
        refusal = self.refusal("Explain", "a{sv}asa{sv}", {"user": "4294967295"}, [EDU], {})
        self.assertIn(refusal.get_dbus_name(), ("org.iommud1.Error.InvalidArgument", "org.iommud1.Error.AccessDenied"))
        self.assertIsNone(self.monitor.poll(), "the monitor lives")
        deadline = time.monotonic() + 30
        while descriptors() != before and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(descriptors(), before)


if __name__ == "__main__":
    unittest.main()
