#!/usr/bin/env bash
# A device that goes and comes back: a connection that stays hears of it, in its list and in what Explain says.
# kernel: newest
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
policy '{ "version": 1, "accounts": [ { "match": { "user": "root" }, "memory": "12MiB" } ],
  "rules": [ { "id": "edu", "effect": "allow", "subjects": [ { "user": "root" } ], "devices": [ { "vendor": "1234" } ] } ] }'
expect 0 "a device that is removed and found again" python3 "$here/hotplug.py" $edu_b
finish
