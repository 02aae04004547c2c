#!/usr/bin/env python3
"""Every row of "When a device is bound" in docs/REFUSALS.md, from the errno at the call to what iommuctl's user reads."""
import json
import pathlib
import re
import unittest

from stack import StackCase, policy

CALLS = {"BIND": "bind", "ATTACH": "attach", "SET_CONTAINER": "set-container", "SET_IOMMU": "set-iommu",
         "GET_DEVICE_FD": "get-device"}
DOC = pathlib.Path(__file__).resolve().parents[3] / "docs/REFUSALS.md"


def rows():
    """(call, errno, error) for each errno of each row; of a row that says "as for BIND" BIND's."""
    section = DOC.read_text().split("## When a device is bound")[1].split("##")[0]
    known = {}
    for line in re.findall(r"^\| [A-Z_]+ \|.*$", section, re.MULTILINE):
        call, numbers, cause, error = (cell.strip() for cell in line.split("|")[1:5])
        for number in re.findall(r"E[A-Z0-9]+", numbers):
            as_for = re.search(r"as for ([A-Z_]+)", cause)
            known[call, number] = known[as_for[1], number] if as_for else error
    return [(call, number, error) for (call, number), error in known.items()]


class Refusals(StackCase):
    def default_policy(self):
        (self.work / "etc/simulated-devices.json").write_text(json.dumps({"version": 1, "devices": [
            {"address": f"0000:00:{index // 8:02x}.{index % 8}", "vendor": "1234", "device": "11e8", "class": "00ff00",
             "group": index + 1, "faults": [f"{CALLS[call]} {number}"]}
            for index, (call, number, _) in enumerate(rows())]}))
        return policy()

    def test_each_is_said_by_its_cause(self):
        self.assertGreater(len(rows()), 30)
        for index, (call, number, error) in enumerate(rows()):
            with self.subTest(call=call, number=number):
                device = f"0000:00:{index // 8:02x}.{index % 8}"
                refusal = self.refusal("Acquire", "asa{sv}", [device], {})
                self.until(self.no_leases)  # the answer comes before the end of what was tried
                self.assertEqual(refusal.get_dbus_name(), "org.iommud1.Error." + error)
                self.assertIn(f"({number}): ", refusal.get_dbus_message())
                asked = self.ctl("run", "--device", device, "--memory", "1MiB", "--", "true")
                self.assertIn(refusal.get_dbus_message(), asked.stderr)
                self.assertEqual(asked.returncode, {"AccessDenied": 3, "MemoryLimit": 5}.get(error, 1), asked.stderr)
                self.until(self.no_leases)


if __name__ == "__main__":
    unittest.main()
