#!/usr/bin/env python3
"""iommud-serial on a sysfs of the test's own, whose `config` files are what a device, also a broken one, may say."""
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import unittest

CARD = "0000:03:00.0"
NUMBER = struct.pack("<II", 0xFF123456, 0x525400FF)


def config(capabilities, size=4096):
    """A configuration space with `capabilities`: offset, number, offset of the next, what follows."""
    space = bytearray(size)
    for at, number, following, data in capabilities:
        space[at:at + 4 + len(data)] = struct.pack("<I", number | 1 << 16 | following << 20) + data
    return bytes(space)


class Serials(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp())
        self.device = self.work / "sys/bus/pci/devices" / CARD
        self.file = self.work / "run/serials" / CARD
        self.device.mkdir(parents=True)
        self.file.parent.mkdir(parents=True)

    def tearDown(self):
        shutil.rmtree(self.work)

    def left(self, space, status=0):
        (self.device / "config").write_bytes(space)
        done = subprocess.run([os.environ["IOMMUD_SERIAL"], CARD, self.work / "sys", self.work / "run"], timeout=30,
                              stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, status, done.stderr)
        return self.file.read_text() if self.file.exists() else done.stderr

    def of_this(self, number):
        return f"{os.stat(self.device).st_ino} {number}\n"

    def test_the_number_is_found_behind_other_capabilities(self):
        space = config([(0x100, 1, 0x140, b""), (0x140, 3, 0, NUMBER)])
        self.assertEqual(self.left(space), self.of_this("52-54-00-ff-ff-12-34-56"))
        self.assertEqual(os.stat(self.file).st_mode & 0o777, 0o640)

    def test_a_device_without_one_has_none(self):
        self.assertEqual(self.left(config([(0x100, 1, 0, b"")])), self.of_this("none"))
        self.assertEqual(self.left(bytes(4096)), self.of_this("none"))
        self.assertEqual(self.left(bytes(256)), self.of_this("none"))  # conventional PCI

    def test_a_list_without_end_ends(self):
        self.assertEqual(self.left(config([(0x100, 1, 0x140, b""), (0x140, 2, 0x100, b"")])), self.of_this("none"))

    def test_of_a_device_that_does_not_answer_nothing_is_known(self):
        self.assertIn("all bits are set", self.left(b"\xff" * 4096, 1))
        gone = bytearray(config([(0x100, 3, 0, NUMBER)]))
        gone[0x108:] = b"\xff" * (4096 - 0x108)  # in the middle of its number
        self.assertIn("all bits are set", self.left(bytes(gone), 1))
        self.assertFalse(self.file.exists())

    def test_an_offset_below_the_list_ends_it(self):
        self.assertEqual(self.left(config([(0x100, 1, 0x40, b""), (0x40, 3, 0, NUMBER)])), self.of_this("none"))

    def test_a_number_that_runs_over_the_end_is_an_error(self):
        self.assertIn("nothing at offset", self.left(config([(0x100, 1, 0xFFC, b""), (0xFFC, 3, 0, b"")]), 1))

    def test_what_is_left_of_a_device_goes_with_it(self):
        self.left(config([(0x100, 3, 0, NUMBER)]))
        shutil.rmtree(self.device)
        subprocess.run([os.environ["IOMMUD_SERIAL"], CARD, self.work / "sys", self.work / "run"], timeout=30, check=True)
        self.assertFalse(self.file.exists())

    def test_what_is_no_address_is_refused(self):
        self.assertEqual(subprocess.run([os.environ["IOMMUD_SERIAL"], "../" + CARD, self.work / "sys", self.work / "run"],
                                        timeout=30, stderr=subprocess.DEVNULL).returncode, 2)


if __name__ == "__main__":
    unittest.main()
