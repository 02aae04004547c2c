#!/usr/bin/env bash
# limits.sh [floods|LIMIT...]: alice at each of her limits: memory, leases, connections, unread replies, queued requests, descriptors
# under way; and floods by her subordinate uids. Bob gets everything that is his, and she has it all back when she lets go.
# kernel: newest
# long: 6.12
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

# The floods: alice as each of thirty subordinate uids, in a user namespace of hers.
flood() { # flood KIND PATTERN: what she is left with, and bob is as he was
    local line
    coproc FLOOD { exec python3 "$here/flood.py" "$1" 2>&1; }
    flood_in=${FLOOD[1]} flood_out=${FLOOD[0]}
    read -r -t 300 line <&"$flood_out" || line="no answer"
    if [[ $line =~ $2 ]]; then
        echo "ok   alice floods with $1: $line"
    else
        echo "FAIL alice floods with $1: $line, expected $2"
        failures=$((failures + 1))
    fi
}
# line_is FD LINE WHAT: the next line there.
line_is() {
    local line
    read -r -t 300 line <&"$1" || line="no answer"
    if [ "$line" = "$2" ]; then
        echo "ok   $3: $line"
    else
        echo "FAIL $3: $line, expected $2"
        failures=$((failures + 1))
    fi
}
after_flood() { # after_flood LINE WHAT: what she says then
    echo >&"$flood_in"
    line_is "$flood_out" "$1" "$2"
    exec {flood_in}>&-
}
start_bob() {
    coproc BOB { as bob python3 "$here/flood.py" bob 2>&1; }
    bob_in=${BOB[1]} bob_out=${BOB[0]}
    line_is "$bob_out" ready "bob has a connection"
}
(($#)) || set -- floods memory leases connections replies requests descriptors
if [ "$1" = floods ]; then
    shift
    echo "== thirty subordinate uids"
    flood silence '^32 of 960 connections$'
    bob_goes_on
    after_flood "0 connections" "who says nothing is not listened to for long"
    start_bob
    flood messages '^32 workers$'
    bob_goes_on
    echo >&"$bob_in"
    line_is "$bob_out" alive "bob's worker lives"
    after_flood "done" "she lets go"
    workers=/sys/fs/cgroup$(systemctl show -P ControlGroup iommud-vault)/workers
    expect 0 "no worker was killed for its memory" grep -qx "oom_kill 0" "$workers/memory.events"
    exec {bob_in}>&-
    eventually 60 "nor is one left of hers, or of his" workers_are 1
fi

for limit in "$@"; do
    at "$limit"
    bob_goes_on
    leave
done

expect 0 "the monitor is the same process" test "$(systemctl show -P MainPID iommud)" = "$monitor"
expect 0 "and the vault" test "$(systemctl show -P MainPID iommud-vault)" = "$vault"
finish
