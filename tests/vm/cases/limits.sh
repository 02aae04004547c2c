#!/usr/bin/env bash
# limits.sh [LIMIT...]: alice at each of her limits: memory, leases, connections, unread replies, queued requests, descriptors
# under way. Bob gets everything that is his, and she has it all back when she lets go.
# kernel: newest
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
export PYTHONPATH=$here
policy '{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "1MiB", "leases": 2 }, { "match": { "user": "bob" }, "memory": "1MiB" } ],
  "rules": [ { "id": "both", "effect": "allow", "subjects": [ { "user": "alice" }, { "user": "bob" } ], "allow_no_reset": true,
               "devices": [ { "vendor": "1234", "device": "11e8" }, { "address": "0000:00:05.0" } ] } ]
}'
monitor=$(systemctl show -P MainPID iommud) vault=$(systemctl show -P MainPID iommud-vault)
declare -A reached=([memory]="256 pages" [leases]=LeaseLimit [connections]="32 connections" [replies]="True for 8"
    [requests]="True for 8" [descriptors]="True for 8")

# at LIMIT: alice goes there, in the background; leave: she lets go of all.
at() {
    local line out
    coproc ALICE { exec setpriv --reuid alice --regid alice --init-groups --no-new-privs -- \
        python3 "$here/exhaust.py" "$1" $edu_a $edu_b 2>&1; }
    out=${ALICE[0]}
    pids+=("$ALICE_PID")
    read -r -t 180 line <&"$out"
    if [ "$line" = "${reached[$1]}" ]; then
        echo "ok   alice is at her limit of $1: $line"
    else
        echo "FAIL alice is not at her limit of $1: $line, expected ${reached[$1]}"
        failures=$((failures + 1))
    fi
}
leave() {
    kill "${pids[@]}"
    wait "${pids[@]}" 2>/dev/null
    pids=()
    eventually 60 "she has let go of everything" reserved_is 1000 0
    eventually 60 "no lease is left" no_leases
    eventually 60 "nor a worker of hers" workers_are 1 # that of the system bus
}
workers_are() { [ "$(pgrep -c -x iommud-worker)" -le "$1" ]; }
bob_goes_on() {
    expect 0 "bob acquires, maps up to his limit, unmaps and releases, three times" as bob python3 "$here/neighbour.py" 0000:00:05.0 3
    says "3 rounds" "no call of his failed"
}
pids=()
bob_goes_on

(($#)) || set -- memory leases connections replies requests descriptors
for limit in "$@"; do
    at "$limit"
    bob_goes_on
    leave
done

expect 0 "the monitor is the same process" test "$(systemctl show -P MainPID iommud)" = "$monitor"
expect 0 "and the vault" test "$(systemctl show -P MainPID iommud-vault)" = "$vault"
finish
