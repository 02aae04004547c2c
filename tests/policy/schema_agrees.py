#!/usr/bin/env python3
"""The schema that editors use and the loader agree over the corpora.

What the loader takes the schema takes. What the loader refuses the schema refuses too, but for what no schema can see:
those files are listed here, and each is checked to be one of them.
"""

import json
import pathlib
import sys
import unittest

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "policy/schema/policy.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

# Names of this machine, one entry against another, arithmetic, duplicate keys, patterns no address can match.
BEYOND_A_SCHEMA = {
    "account-of-two-groups", "account-range-inside-another", "account-ranges-overlap", "account-twice",
    "address-glob-of-function-9", "charge-to-nobody", "charge-to-oneself", "charge-to-the-charged",
    "charge-without-account", "deny-unknown-group", "deny-unknown-user", "duplicate-key", "id-twice",
    "host-memory-above-all-machines", "memory-above-all-machines", "memory-of-2-to-62", "memory-overflow", "nul-escaped", "uid-2-to-31", "uid-2-to-32-less-1", "uid-beyond-64-bits", "uids-reversed",
}


def bad_policies():
    """The bad files that are JSON at all, by name."""
    for path in sorted((ROOT / "tests/policy/bad").glob("*.json")):
        try:
            yield path.stem, json.loads(path.read_bytes().decode("utf-8"))
        except ValueError:
            continue


class SchemaAndLoader(unittest.TestCase):
    def test_the_schema_is_one(self):
        jsonschema.Draft202012Validator.check_schema(SCHEMA)

    def test_what_the_loader_takes_the_schema_takes(self):
        for folder in ("tests/policy/good", "tests/policy/warned", "policy/examples"):
            for path in sorted((ROOT / folder).glob("*.json")):
                with self.subTest(path.name):
                    self.assertEqual([e.message for e in VALIDATOR.iter_errors(json.loads(path.read_text()))], [])

    def test_what_the_loader_refuses_the_schema_refuses(self):
        for name, policy in bad_policies():
            with self.subTest(name):
                self.assertEqual(VALIDATOR.is_valid(policy), name in BEYOND_A_SCHEMA)

    def test_every_exception_is_still_in_the_corpus(self):
        self.assertEqual(BEYOND_A_SCHEMA - {name for name, _ in bad_policies()}, set())


if __name__ == "__main__":
    sys.exit(unittest.main())
