#!/usr/bin/env python3
"""100,000 D-Bus messages of somebody who means harm (tests/fuzz/dbus_messages.py), as a uid without any privilege where
the test can give itself one. IOMMUD_MESSAGES and IOMMUD_SEED repeat a run."""
import json
import os
import pathlib
import random
import re
import subprocess
import unittest

from stack import EDU, StackCase

FUZZER = pathlib.Path(__file__).resolve().parents[2] / "fuzz" / "dbus_messages.py"
NOBODY = 65534
GIVEN = re.compile(r"lease (\d+) given to uid (\d+) .*: (\d+) device\(s\), (.*) pinned at most, by rule (\S+)")


class Messages(StackCase):
    def setUp(self):
        self.uid = NOBODY if os.getuid() == 0 else os.getuid()
        super().setUp()
        for folder in (self.work, self.run_folder):
            folder.chmod(0o755)

    def start(self, program, *arguments):
        # Their words are looked at: nothing else says why a process ended.
        with open(self.work / f"{program}.log", "ab") as log:
            return subprocess.Popen([self.work / "libexec" / program, "--kernel=simulated", "--run", self.run_folder,
                                     *arguments], stderr=log)

    def default_policy(self):
        """All but one device is denied, and of that one little memory is given."""
        uids = {"uids": f"{self.uid}"}
        return {"version": 1, "accounts": [{"match": uids, "memory": "1MiB"}],
                "rules": [{"id": "the-one", "effect": "allow", "subjects": [uids], "devices": [{"address": EDU}],
                           "memory": "64KiB"},
                          {"id": "no-other", "effect": "deny", "devices": [{"address": "0000:00:06.0"}]}]}

    def descriptors(self):
        return {process.args[0].name: sorted(os.readlink(f"/proc/{process.pid}/fd/{fd}").split(":")[0]
                                             for fd in os.listdir(f"/proc/{process.pid}/fd"))
                for process in (self.monitor, self.vault)}

    def running(self, *names):
        """How many processes of the vault's have one of these names, of which the kernel keeps 15 characters."""
        said = subprocess.run(["ps", "--ppid", str(self.vault.pid), "-o", "comm="], stdout=subprocess.PIPE, text=True)
        return sum(name.strip() in names for name in said.stdout.splitlines())

    def children(self):
        """Whom clients and leases have; undertakers stay."""
        return self.running("iommud-worker", "iommud-keeper")

    def undertakers_are_there(self):
        return self.running("iommud-undertak") == 8

    def words(self):
        return "".join((self.work / f"{name}.log").read_text() for name in ("iommud", "iommud-vault"))

    def as_the_client(self, *command, **options):
        become = {"user": self.uid, "group": self.uid, "extra_groups": []} if os.getuid() == 0 else {}
        return subprocess.run([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=250, **become, **options)

    def test_nothing_breaks_and_nothing_is_given_that_policy_does_not_give(self):
        self.until(lambda: not self.children() and self.undertakers_are_there())
        before = self.descriptors()
        count = os.environ.get("IOMMUD_MESSAGES", "100000")
        seed = os.environ.get("IOMMUD_SEED", str(random.SystemRandom().randrange(1 << 32)))
        print(f"seed {seed}", flush=True)

        fuzzed = self.as_the_client("/usr/bin/python3", FUZZER, self.run_folder / "bus", count, seed, EDU)

        self.assertEqual(fuzzed.returncode, 0, fuzzed.stderr + fuzzed.stdout)
        tally = json.loads(fuzzed.stdout)
        print(tally, flush=True)
        self.assertGreaterEqual(tally["messages"], int(count))
        self.assertNotIn("given up", tally, "a connection was neither answered nor ended")
        self.assertGreater(tally["grants"], 0, "what policy gives is among what was asked for")
        for process in (self.monitor, self.vault):
            self.assertIsNone(process.poll(), f"{process.args[0].name} lives")
        # The ledger's own words, of every lease that there was.
        given = GIVEN.findall(self.words())
        self.assertGreaterEqual(len(given), tally["grants"])
        for lease, uid, devices, memory, rule in given:
            self.assertEqual((uid, devices, rule), (str(self.uid), "1", "the-one"), f"lease {lease}")
            self.assertRegex(memory, "^(4|8|12|16|32|64) KiB$", f"lease {lease}")
        self.until(lambda: not self.children())
        self.assertNotRegex(self.words(), "killed by|the worker of .* exited|SIGSYS|a fault of the daemon's own|Traceback")
        self.until(lambda: self.descriptors() == before)
        self.assertEqual(json.loads(self.ctl("leases", "--json", admin=True).stdout), [])
        honest = self.as_the_client(os.environ["IOMMUCTL"], "run", "--device", EDU, "--memory", "64KiB", "--", "true",
                                    env=dict(os.environ, IOMMUD_ADDRESS=f"unix:path={self.run_folder}/bus"))
        self.assertEqual(honest.returncode, 0, honest.stderr)


if __name__ == "__main__":
    unittest.main()
