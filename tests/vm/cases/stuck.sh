#!/usr/bin/env bash
# stuck.sh [PART...]: without arguments all of them.
# A keeper that waits in the kernel, where no signal reaches it: its lease is taken back all the same, and the daemon
# stops and starts beside it (hazards C15, C21).
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
export agent_program=hazard_client.py
policy '{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "12MiB" }, { "match": { "user": "bob" }, "memory": "12MiB" } ],
  "rules": [ { "id": "edu-for-both", "effect": "allow", "subjects": [ { "user": "alice" }, { "user": "bob" } ],
               "devices": [ { "vendor": "1234", "device": "11e8" } ], "allow_no_reset": true } ]
}'

lease_of() { iommuctl leases --json | python3 -c 'import json, sys
for l in json.load(sys.stdin): print(l["Id"]) if sys.argv[1] in l["Devices"] else None' "$1"; }
# A wait that a process does not wake up from when it is killed.
asleep() { grep -q '^State:.*D' "/proc/$1/status"; }
took_at_most() { # took_at_most SECONDS WHAT COMMAND...
    local most=$1 what=$2 began=$SECONDS
    shift 2
    expect 0 "$what" "$@"
    expect 0 "in at most $most s ($((SECONDS - began)))" test $((SECONDS - began)) -le "$most"
}

start_server() { # start_server WHAT-IT-DOES-NOT-ANSWER
    mkdir -p /tmp/fuse
    coproc FUSE { exec python3 "$here/fuse_server.py" /tmp/fuse "$1"; }
    fuse_pid=$FUSE_PID fuse_out=${FUSE[0]}
    server_says ready
}
server_says() {
    local line=
    read -r -t 60 line <&"$fuse_out" || line="nothing"
    [ "$line" = "$1" ] || { echo "FAIL the FUSE server: \"$line\", not \"$1\""; failures=$((failures + 1)); }
}
stop_server() {
    kill "$fuse_pid"
    wait "$fuse_pid"
    umount -l /tmp/fuse
}

# What the issue's own attacks have in common: `ask-map NAME` waits, or did, for a lock that the client holds.
locked() {
    echo "== $1"
    start_server reads
    start_agent alice $edu_a 1MiB
    ask "map memory plain 65536 0x1000000" "0 0x1000000" "a lease"
    ask "dma memory 0x1000000" OK "does DMA"
    [ "$2" = socket ] || ask "map $2 plain 65536 0x2000000" "0 0x2000000" "another map"
    ask "$3" holding "a process of the client's takes the lock and waits"
    server_says "a read waits"
    ask "ask-map $2" asked "the keeper is asked to look at that"
    took_at_most 5 "the lease is revoked" iommuctl lease revoke "$(lease_of $edu_a)"
    ask "dma memory 0x1000000" BLOCKED "its DMA has ended"
    expect 0 "others get leases" as bob $examples/edu_driver --memory 1MiB $edu_b
    says "DMA OK" "that do DMA"
    stop_server
    stop_agent
    eventually 30 "nothing is left of the lease" no_leases
}
inode() { locked "The inode's lock of a memfd is held by a write that never ends" held "hold-inode held /tmp/fuse/file"; }
socket() { locked "The lock of a socket's readers is held by a read that never ends" socket "hold-socket /tmp/fuse/file"; }

injected() {
    echo "== A keeper sleeps uninterruptibly, wherever that was"
    keeper_path=/usr/libexec/iommud/iommud-keeper
    cp $keeper_path /tmp/keeper
    mkdir -p /run/systemd/system/iommud-vault.service.d
    # It closes what it was sent, which a keeper never does: the server of that file does not answer.
    printf '[Service]\nEnvironment=IOMMUD_FAILPOINT=park:close=63\n' >/run/systemd/system/iommud-vault.service.d/failpoint.conf
    systemctl daemon-reload
    systemctl restart iommud-vault
    eventually 60 "the daemon is back" iommuctl status
    swap() { cp "$1" $keeper_path.new && mv $keeper_path.new $keeper_path; }
    start_server closes
    swap /usr/libexec/iommud-tests/iommud-keeper-failpoints
    start_agent alice $edu_a 1MiB
    stuck=$(pgrep -x iommud-keeper)
    swap /tmp/keeper
    local sick_pid=$agent_pid sick_in=$agent_in sick_out=$agent_out
    coproc WELL { as bob $examples/edu_driver --memory 1MiB --hold $edu_b 2>&1; }
    well_in=${WELL[1]} well_out=${WELL[0]} well_pid=$WELL_PID
    read -r -t 60 line <&"$well_out"
    [ "$line" = "DMA OK" ] || { echo "FAIL bob's driver: $line"; failures=$((failures + 1)); }
    agent_pid=$sick_pid agent_in=$sick_in agent_out=$sick_out
    ask "map memory plain 65536 0x1000000" "0 0x1000000" "a lease"
    ask "dma memory 0x1000000" OK "does DMA"
    ask "map-fd /tmp/fuse/file" "11 0x2" "a file is refused as memory"
    server_says "a close waits"
    ask "dma memory 0x1000000" OK "its DMA goes on"
    took_at_most 5 "the lease is revoked" iommuctl lease revoke "$(lease_of $edu_a)"
    ask "dma memory 0x1000000" BLOCKED "its DMA has ended"
    expect 0 "the keeper sleeps still" asleep "$stuck"
    expect 0 "the journal names it" bash -c "journalctl -b -o cat -u iommud-vault | grep 'process $stuck waits in the kernel'"
    expect 0 "another lease does not notice" device_is $edu_b leased
    expect 0 "the monitor is restarted" systemctl restart iommud
    expect 0 "and knows the other lease" device_is $edu_b leased
    expect 0 "and the one that drains" device_is $edu_a draining
    exec {well_in}>&-
    eventually 30 "bob's driver ends" bash -c "! kill -0 $well_pid"
    rm /run/systemd/system/iommud-vault.service.d/failpoint.conf
    systemctl daemon-reload
    took_at_most 20 "the vault is restarted beside it" systemctl restart iommud-vault
    expect 0 "the keeper sleeps still" asleep "$stuck"
    eventually 20 "the daemon is back" iommuctl status
    expect 0 "and gives leases" as bob $examples/edu_driver --memory 1MiB $edu_b
    says "DMA OK" "that do DMA"
    expect 0 "the journal names what was left behind" bash -c "journalctl -b -o cat -u iommud-vault | grep 'left behind: process $stuck'"
    vault=/sys/fs/cgroup/system.slice/iommud-vault.service
    expect 0 "it is in its account's cgroup" grep -qx "$stuck" "$vault"/account-*/cgroup.procs
    expect 0 "which is limited" grep -q memory $vault/cgroup.subtree_control
    before=$(systemctl show -p MainPID --value iommud-vault)
    systemctl kill --kill-whom=main -s KILL iommud-vault
    eventually 60 "a vault that is killed beside it comes back" \
        bash -c "[ \$(systemctl show -p MainPID --value iommud-vault) != $before ] && iommuctl status"
    stop_server
    stop_agent
    eventually 30 "the keeper ends with its wait" bash -c "! test -e /proc/$stuck"
    expect 0 "its device can be had again" as alice $examples/edu_driver --memory 1MiB $edu_a
    says "DMA OK" "and does DMA"
}

(($#)) || set -- inode socket injected
for part in "$@"; do
    $part
done
finish
