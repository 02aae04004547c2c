#!/usr/bin/env python3
"""iommud-rebind on a sysfs of the test's own, whose `unbind` is a pipe: a write to it waits until somebody reads."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

EDU, OTHER, HOSTS = "0000:00:04.0", "0000:00:06.0", "0000:00:08.0"
PATIENCE = 60


class Rebind(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp())
        self.requests = self.work / "run/rebind"
        self.requests.mkdir(parents=True)
        for device, driver in ((EDU, "vfio-pci"), (OTHER, "mlx5_vfio_pci"), (HOSTS, "e1000e")):
            folder = self.driver(driver)
            folder.mkdir(parents=True)
            os.mkfifo(folder / "unbind")
            (folder / "bind").touch()
            (self.work / "sys/bus/pci/devices" / device).mkdir(parents=True)
            (self.work / "sys/bus/pci/devices" / device / "driver").symlink_to(folder)
        self.process = None

    def tearDown(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        for driver in ("vfio-pci", "mlx5_vfio_pci", "e1000e"):  # whoever still waits is let go
            os.close(os.open(self.driver(driver) / "unbind", os.O_RDONLY | os.O_NONBLOCK))
        shutil.rmtree(self.work)

    def driver(self, name):
        return self.work / "sys/bus/pci/drivers" / name

    def start(self, linger=3600_000):
        self.process = subprocess.Popen([os.environ["IOMMUD_REBIND"], "--run", self.work / "run", "--sysfs",
                                         self.work / "sys", "--linger", str(linger)], stderr=subprocess.DEVNULL)

    def ask(self, name):
        (self.requests / name).mkdir()

    def until(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), deadline, "not within the time")
            time.sleep(0.02)

    def bound(self, driver):
        return (self.driver(driver) / "bind").read_text()

    def test_a_device_is_unbound_and_bound_again(self):
        self.ask(EDU)
        self.start()
        self.assertEqual((self.driver("vfio-pci") / "unbind").read_text(), EDU)
        self.until(lambda: self.bound("vfio-pci") == EDU)
        self.assertEqual(os.listdir(self.requests), [])

    def test_it_is_bound_when_it_was_unbound_and_not_before(self):
        self.start()
        self.ask(EDU)
        self.until(lambda: os.listdir(self.requests) == [])
        self.ask(OTHER)
        self.assertEqual((self.driver("mlx5_vfio_pci") / "unbind").read_text(), OTHER)
        self.until(lambda: self.bound("mlx5_vfio_pci") == OTHER)
        self.assertEqual(self.bound("vfio-pci"), "", "one that waits holds up no other, and is not bound")
        self.assertEqual((self.driver("vfio-pci") / "unbind").read_text(), EDU)
        self.until(lambda: self.bound("vfio-pci") == EDU)

    def test_only_vfios_drivers_are_touched(self):
        for name in (HOSTS, "0000:00:1f.7", "..evil", "x" * 200):
            self.ask(name)
        self.start()
        self.until(lambda: os.listdir(self.requests) == [])
        self.ask(EDU)
        self.assertEqual((self.driver("vfio-pci") / "unbind").read_text(), EDU)
        self.until(lambda: self.bound("vfio-pci") == EDU)
        self.assertEqual(self.bound("e1000e"), "")

    def test_it_outlives_the_program_that_started_it(self):
        self.ask(EDU)
        self.start()
        self.until(lambda: os.listdir(self.requests) == [])
        self.until(lambda: subprocess.run(["pgrep", "-P", str(self.process.pid)], stdout=subprocess.DEVNULL).returncode == 0)
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.assertEqual((self.driver("vfio-pci") / "unbind").read_text(), EDU)
        self.until(lambda: self.bound("vfio-pci") == EDU)

    def test_it_goes_when_there_is_nothing_to_do(self):
        self.start(linger=10)
        self.assertEqual(self.process.wait(PATIENCE), 0)

    def test_it_fails_when_a_request_cannot_be_taken_away(self):
        self.ask(EDU)
        (self.requests / EDU / "in the way").touch()
        self.start()
        self.assertEqual(self.process.wait(PATIENCE), 1)


if __name__ == "__main__":
    unittest.main()
