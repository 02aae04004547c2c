#!/usr/bin/env bash
# A hostile client on the real thing: others are served meanwhile, the daemon lives, and nothing leaks.
# kernel: newest
# long: 6.12
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
export PYTHONPATH=$here
policy '{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "12MiB", "leases": 100 } ],
  "rules": [ { "id": "edu-for-alice", "effect": "allow", "subjects": [ { "user": "alice" } ],
               "devices": [ { "vendor": "1234", "device": "11e8" } ] } ]
}'
hostile() { as "$1" python3 "$here/hostile.py" "${@:2}"; }
main_pid() { systemctl show -p MainPID --value "$1"; }
monitor=$(main_pid iommud) vault=$(main_pid iommud-vault)
descriptors() { find "/proc/$1/fd" -mindepth 1 | wc -l; }
no_client_workers() { [ "$(pgrep -c -x iommud-worker)" -le 1 ]; } # one serves the system bus
as_before() { [ "$(descriptors "$monitor") $(descriptors "$vault")" = "$before" ]; }
served() { # served WHAT: alice and root are, now
    expect 0 "alice is served: $1" as alice $examples/edu_driver $edu_b
    expect 0 "root, too" iommuctl status
}
# What runs meanwhile: start_meanwhile WORD USER ACT..., which says WORD when it has begun; end_meanwhile: what it says at
# its end is in $said.
start_meanwhile() {
    coproc MEANWHILE { as "$2" python3 "$here/hostile.py" "${@:3}" 2>&1; }
    meanwhile_in=${MEANWHILE[1]} meanwhile_out=${MEANWHILE[0]} meanwhile_pid=$MEANWHILE_PID
    local line=
    read -r -t 120 line <&"$meanwhile_out"
    [ "$line" = "$1" ] || { echo "FAIL ${*:3}: $line"; failures=$((failures + 1)); }
}
end_meanwhile() {
    echo >&"$meanwhile_in"
    read -r -t 60 said <&"$meanwhile_out"
    exec {meanwhile_in}>&-
    eventually 60 "it ends" bash -c "! kill -0 $meanwhile_pid"
}

served "before anything"
eventually 30 "only the system bus's worker is left" no_client_workers
before="$(descriptors "$monitor") $(descriptors "$vault")"
echo "descriptors of monitor and vault: $before"
leaves_nothing() { eventually 60 "$1 leaves no descriptor behind" as_before; }

echo "== bytes that are no D-Bus"
expect 0 "garbage ends each connection" hostile bob garbage
says "all ended" "and nothing else"
leaves_nothing garbage

echo "== arguments that are none"
expect 0 "each gets an error" hostile alice bad-input $edu_a /org/iommud1/lease/99
printf '     %s\n' "${output//$'\n'/$'\n'     }"
[[ $(grep -c "InvalidArg" <<<"$output") -ge 19 ]] || { echo "FAIL not InvalidArgument"; failures=$((failures + 1)); }
leaves_nothing "bad input"

echo "== 2,000 connections that say nothing"
ulimit -n 4096
start_meanwhile open bob half-open 2000
served "while bob holds 2,000 connections"
end_meanwhile
output=$said
says "32 of 2000 were left open" "he was left 32 of them"
leaves_nothing "the flood"

echo "== a worker for each, as fast as can be"
start_meanwhile started bob workers
served "while bob wants workers without end"
served "and a second time"
end_meanwhile
echo "     $said"
eventually 60 "bob's workers have ended" no_client_workers
leaves_nothing "the workers"

echo "== connections without end, closed at once"
deep=/sys/fs/cgroup$(printf '/d%.0s' $(seq 30))
mkdir -p "$deep"
for where in "" "$deep"; do
    start_meanwhile started bob connects
    [ -z "$where" ] || echo "$meanwhile_pid" >"$where/cgroup.procs"
    for _ in 1 2 3 4 5; do
        expect 0 "alice's status is answered${where:+, while bob connects from a deep cgroup}" as alice iommuctl status
    done
    served "while bob connects without end"
    end_meanwhile
    echo "     $said"
done
leaves_nothing "the loop"

echo "== 200 times Acquire of one device, at once"
expect 0 "200 requests" hostile alice race $edu_a 10 20
says "1 won," "exactly one wins"
says "199 DeviceBusy" "and all others are told why not"
eventually 30 "it is free after that" device_is $edu_a available
leaves_nothing "the race"

echo "== the administrators' socket"
expect 1 "alice does not reach it" as alice python3 "$here/bus.py" --admin /org/iommud1 org.iommud1.Manager.Reload 'a{sv}' '[{}]'
says "PermissionError" "the folder is root's"
expect 1 "nor as root of a user namespace of her own" as alice unshare --user --map-root-user python3 "$here/bus.py" \
    --admin /org/iommud1 org.iommud1.Manager.Reload 'a{sv}' '[{}]'
says "PermissionError" "nor then"
expect 0 "root of another user namespace is refused" unshare --user --map-root-user python3 "$here/hostile.py" namespace
says refused "by the daemon"
expect 0 "root itself is not" python3 "$here/bus.py" --admin /org/iommud1 org.freedesktop.DBus.Properties.Get ss '["org.iommud1.Manager", "Version"]'

echo "== the daemon's processes are not alice's"
coproc HOLD { as alice $examples/edu_driver --memory 1MiB --hold $edu_a 2>&1; }
hold_in=${HOLD[1]} hold_pid=$HOLD_PID
read -r -t 60 line <&"${HOLD[0]}"
[ "$line" = "DMA OK" ] || { echo "FAIL the driver: $line"; failures=$((failures + 1)); }
keeper=$(pgrep -x iommud-keeper)
mapfile -t workers < <(pgrep -x iommud-worker)
expect 0 "she may do nothing to keeper, workers, monitor and vault" hostile alice processes "$keeper" "${workers[@]}" "$monitor" "$vault"
says "refused for $((3 + ${#workers[@]})) processes" "not one act"
expect 0 "the lease goes on" device_is $edu_a leased
exec {hold_in}>&-
eventually 30 "the driver ends" bash -c "! kill -0 $hold_pid"

served "after all that"
expect 0 "the monitor is the same process" test "$(main_pid iommud)" = "$monitor"
expect 0 "and so is the vault" test "$(main_pid iommud-vault)" = "$vault"
eventually 30 "no lease is left" no_leases
eventually 30 "no keeper is left" no_keepers
eventually 30 "no worker is left" no_client_workers
leaves_nothing "all of it"
finish
