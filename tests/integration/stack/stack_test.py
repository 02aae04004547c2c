#!/usr/bin/env python3
"""All processes together, seen from outside: by iommuctl and Python's dbus module."""
import os
import signal
import subprocess
import time
import unittest

from stack import EDU, LIMIT, OTHER, StackCase, lease, policy


class Stack(StackCase):
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

    def test_a_policy_that_loads_kills_nobody(self):
        """Whatever `policy check` takes, monitor, vault and keeper take too; what it refuses, it refuses by the bound."""
        for change, bound in (({"maps": 4097}, ""), ({"maps": 16384}, ""), ({"maps": 32000}, ""), ({"maps": 32001}, "32000"),
                              ({"maps": 65535}, "32000"), ({"memory": "1024TiB"}, ""), ({"memory": "1025TiB"}, "1024 TiB"),
                              ({"memory": "4194304TiB"}, "1024 TiB"), ({"memory": "16777215TiB"}, "1024 TiB")):
            with self.subTest(change):
                wanted = policy(change.get("memory", "12MiB"))
                wanted["host"] = {"memory": change.get("memory", "12MiB")}
                wanted["rules"][0].update(change)
                self.write_policy(wanted)
                checked = self.ctl("policy", "check", self.work / "etc/policy.d")
                reloaded = self.ctl("reload", admin=True)
                self.assertEqual(checked.returncode, reloaded.returncode, checked.stdout + reloaded.stderr)
                self.assertIn(bound, checked.stdout + checked.stderr)
                self.assertEqual(checked.returncode, 1 if bound else 0, checked.stdout + checked.stderr)
                for _ in range(2):  # with the policy in force, or with the one before; and with a lease held
                    given = self.ctl("run", "--device", EDU, "--memory", "4KiB", "--", "true")
                    self.assertEqual(given.returncode, 0, given.stderr)
                    self.assertIsNone(self.monitor.poll(), "the monitor lives")
                    other = self.hold(OTHER, "4KiB")
                    self.monitor.kill()
                    self.monitor.wait(30)
                    self.write_policy(policy()) if bound else None
                    self.start_monitor()
                    self.assertEqual([held["Devices"] for held in self.json("leases")], [[OTHER]])
                    other.socket.close()
                    self.until(self.no_leases)

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
