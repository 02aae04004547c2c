"""Monitor, vault, workers and keepers together on the simulated kernel, as a place for tests to start from."""
import json
import os
import pathlib
import pwd
import shutil
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
            "rules": [{"id": "edu", "effect": "allow", "subjects": [{"user": pwd.getpwuid(os.getuid()).pw_name}, {"endpoint": "*"}],
                       "devices": [{"vendor": "1234", "device": "11e8"}]}]}


class StackCase(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp())
        self.run_folder = self.work / "run"
        for folder in ("run", "etc/policy.d", "libexec"):
            (self.work / folder).mkdir(parents=True, mode=0o755)
        for program in os.environ["IOMMUD_PROGRAMS"].split(":"):
            (self.work / "libexec" / pathlib.Path(program).name).symlink_to(program)
        self.write_policy(self.default_policy())
        self.vault = self.start("iommud-vault", "--libexec", self.work / "libexec")
        self.until(lambda: (self.run_folder / "vault/monitor").exists())
        self.start_monitor()

    def tearDown(self):
        for process in (self.monitor, self.vault):
            process.terminate()
            process.wait(30)
        shutil.rmtree(self.work)

    def default_policy(self):
        return policy()

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
