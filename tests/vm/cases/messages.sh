#!/usr/bin/env bash
# Messages of somebody who means harm, on the real thing (tests/fuzz/dbus_messages.py): nothing breaks, and nothing is given
# that policy does not give. 10,000, because each takes a thousandth of a second under emulation;
# tests/integration/stack/messages_test.py has 100,000.
# kernel: newest
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
policy '{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "1MiB" } ],
  "rules": [ { "id": "the-one", "effect": "allow", "subjects": [ { "user": "alice" } ],
               "devices": [ { "address": "'$edu_a'" } ], "memory": "64KiB" },
             { "id": "no-other", "effect": "deny", "devices": [ { "address": "'$edu_b'" } ] } ]
}'
main_pid() { systemctl show -p MainPID --value "$1"; }
monitor=$(main_pid iommud) vault=$(main_pid iommud-vault)
descriptors() { find "/proc/$1/fd" -mindepth 1 | wc -l; }
as_before() { [ "$(descriptors "$monitor") $(descriptors "$vault")" = "$before" ]; }
no_client_workers() { [ "$(pgrep -c -x iommud-worker)" -le 1 ]; } # one serves the system bus
journal() { journalctl -b --no-pager -o cat -u iommud -u iommud-vault -t iommud -t iommud-vault -t iommud-worker; }
served() { expect 0 "alice is served" as alice iommuctl run --device $edu_a --memory 64KiB -- true; }

served
eventually 120 "only the system bus's worker is left" no_client_workers
before="$(descriptors "$monitor") $(descriptors "$vault")"
seed=$RANDOM$RANDOM
echo "seed $seed"
expect 0 "10,000 messages" as alice python3 "$IOMMUD_TREE/tests/fuzz/dbus_messages.py" /run/iommud/bus 10000 $seed $edu_a
echo "     $output"
[[ $output != *"given up"* ]] || { echo "FAIL a connection was neither answered nor ended"; failures=$((failures + 1)); }
eventually 120 "all workers have ended" no_client_workers
expect 0 "the monitor is the same process" test "$(main_pid iommud)" = "$monitor"
expect 0 "and so is the vault" test "$(main_pid iommud-vault)" = "$vault"
expect 1 "no process was killed, or failed" grep -E 'killed by|the worker of .* exited|a fault of the daemon' <(journal)
leases=$(journal | grep -c ' given to ')
expect 0 "all of $leases leases were alice's, by that rule, in its bounds" test "$leases" = "$(journal |
    grep -cE 'given to uid 1000 .*: 1 device\(s\), (4|8|12|16|32|64) KiB pinned at most, by rule the-one')"
eventually 120 "no lease is left" no_leases
eventually 120 "no keeper is left" no_keepers
eventually 120 "no descriptor is left behind" as_before
served
finish
