#!/usr/bin/env bash
# Nothing in monitor or vault waits (I10, hazard C20): descriptors whose close waits, in the queues of every socket that a
# stranger reaches, while another user's calls go on as they did. Arguments: parts to run (tcp fuse children folders
# crowd box before); all of them without any.
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
export PYTHONPATH=$here agent_program=hazard_client.py
policy '{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "12MiB" }, { "match": { "user": "bob" }, "memory": "12MiB" },
                { "match": { "user": "root" }, "memory": "12MiB" } ],
  "rules": [ { "id": "edu", "effect": "allow", "subjects": [ { "user": "alice" }, { "user": "bob" }, { "user": "root" } ],
               "devices": [ { "vendor": "1234", "device": "11e8" }, { "address": "0000:00:05.0" } ],
               "allow_no_reset": true } ]
}'
ulimit -n 8192
chosen=" ${*:-tcp fuse children folders crowd box before} "
part() { [[ $chosen == *" $1 "* ]]; }
main_pid() { systemctl show -p MainPID --value "$1"; }
restarts() { systemctl show -p NRestarts --value iommud iommud-vault | tr -d '\n'; }
descriptors() { find "/proc/$1/fd" -mindepth 1 | wc -l; }
endpoint=/run/iommud/endpoints/box/bus
# Since 6.16 the kernel can refuse descriptors on a socket, and the daemon has it do that.
refuses=$(python3 -c 'import socket
try: socket.socket(socket.AF_UNIX).setsockopt(1, 83, 0); print(1)
except OSError: print(0)')

to_monitor() { local pid; pid=$(main_pid iommud); [ "$pid" = 0 ] || kill "$1" "$pid"; }
freeze() { to_monitor -STOP; }
thaw() { to_monitor -CONT; }

fuse() { # fuse writes|reads: a FUSE server that answers none
    mkdir -p /tmp/fuse
    python3 "$here/fuse_server.py" /tmp/fuse "$1" >/tmp/fuse.log 2>&1 &
    fuse_pid=$!
    eventually 60 "a FUSE server serves" grep -q ready /tmp/fuse.log
}
end_fuse() {
    kill "$fuse_pid"
    eventually 60 "the FUSE server ends" bash -c "! kill -0 $fuse_pid"
    umount -l /tmp/fuse
}

# attack USER KIND SOCKET COUNT [close]: says how many descriptors were taken, in $taken, and stays until relieve. The
# monitor stands still while they are queued, for as short as can be: it has a watchdog. thaw is the caller's.
attackers=()
attack() {
    local fifo kind=$2
    # A file for each: who opens or writes one whose pages are on their way to the server waits as its closer does.
    [ "$kind" != fuse ] || kind=/tmp/fuse/${#attackers[@]}
    fifo=$(mktemp -u /tmp/attack.XXXXXX)
    mkfifo "$fifo"
    as "$1" python3 "$here/waiting.py" "$kind" "${@:3}" <"$fifo" >"$fifo.out" 2>&1 &
    attackers+=("$!")
    exec {hold}>"$fifo"
    holds+=("$hold")
    eventually 120 "an attacker ($2) has what it needs" grep -q ready "$fifo.out"
    taken=-1
    grep -q ready "$fifo.out" || return # a monitor that is stopped for long is its watchdog's
    freeze
    echo >&"$hold"
    eventually 120 "and has queued what it could" grep -q taken "$fifo.out"
    ! grep -q taken "$fifo.out" || taken=$(sed -n 's/ taken//p' "$fifo.out")
}
# attack_in_box UID: 40 descriptors to the box's endpoint, by a process of the box without a capability.
attack_in_box() {
    local fifo file=/tmp/fuse/${#attackers[@]}
    fifo=$(mktemp -u /tmp/attack.XXXXXX)
    mkfifo "$fifo"
    bash -c 'echo $$ >/sys/fs/cgroup/box/cgroup.procs; exec "$@"' box setpriv --reuid "$1" --regid 0 --clear-groups \
        --inh-caps=-all --ambient-caps=-all --bounding-set=-all --no-new-privs -- \
        python3 "$here/waiting.py" "$file" $endpoint 40 <"$fifo" >"$fifo.out" 2>&1 &
    attackers+=("$!")
    exec {hold}>"$fifo"
    holds+=("$hold")
    eventually 120 "an attacker (uid $1 of the box) has what it needs" grep -q ready "$fifo.out"
    freeze
    echo >&"$hold"
    eventually 120 "and has queued what it could" grep -q taken "$fifo.out"
    thaw
    sleep 3 # longer than an undertaker has
}
relieve() {
    local fd
    for fd in "${holds[@]}"; do
        echo >&"$fd" # an agent that started later holds it open, too
        exec {fd}>&-
    done
    holds=()
    wait "${attackers[@]}"
    attackers=()
}
holds=()

# undisturbed WHAT: bob's calls take as long as they did, and nobody was restarted.
undisturbed() {
    for _ in 1 2 3; do # one slow moment of the emulator is nobody's fault; a daemon that waits is slow each time
        timeout 200 setpriv --reuid bob --regid bob --init-groups -- env PYTHONPATH="$here" \
            python3 "$here/latency.py" $edu_b 10 >/tmp/during
        python3 "$here/latency.py" --compare /tmp/before /tmp/during 5 >/dev/null 2>&1 && break
    done
    expect 0 "$1: bob's p99 is what it was" python3 "$here/latency.py" --compare /tmp/before /tmp/during 5
    echo "     ${output//$'\n'/; }"
    expect 0 "$1: monitor and vault are the same processes" test \
        "$(main_pid iommud) $(main_pid iommud-vault) $(restarts)" = "$daemon"
    expect 0 "$1: the lease goes on" device_is $edu_a leased
}
open_box() { # a cgroup with a process of its own, and an endpoint for it
    mkdir -p /sys/fs/cgroup/box
    sleep infinity &
    box=$!
    echo $box >/sys/fs/cgroup/box/cgroup.procs
    expect 0 "an endpoint is opened" python3 "$here/bus.py" --admin /org/iommud1 org.iommud1.Manager.OpenEndpoint \
        'sa{sv}' "[\"box\", {\"pid\": [\"u\", $box], \"uid\": [\"u\", 1000]}]"
}
no_box() { [ ! -e /run/iommud/endpoints/box ]; }
quiet() { all_undertakers && [ "$(descriptors "$(main_pid iommud)") $(descriptors "$(main_pid iommud-vault)")" = "$before" ]; }

start_agent alice $edu_a 1MiB
ask "map memory plain 65536 0x1000000" "0 0x1000000" "alice has a lease"
all_undertakers() { [ "$(pgrep -c -x iommud-undertak)" = 8 ]; }
eventually 30 "all undertakers are there" all_undertakers
as bob env PYTHONPATH="$here" python3 "$here/latency.py" $edu_b 20 >/tmp/before
bob_is_gone() { [ "$(pgrep -c -x iommud-worker)" -le 2 ]; } # one is alice's, one serves the system bus
eventually 30 "bob's workers have ended" bob_is_gone
daemon="$(main_pid iommud) $(main_pid iommud-vault) $(restarts)"
before="$(descriptors "$(main_pid iommud)") $(descriptors "$(main_pid iommud-vault)")"

# Who waits for a server waits on through all three attacks: bob measures once.
for kind in tcp fuse; do
    part $kind || continue
    [ $kind = tcp ] || fuse writes
    echo "== $kind: the host's socket, refused: more connections than a user may have"
    attack alice $kind /run/iommud/bus 45
    ((taken == (refuses ? 0 : 45))) || { echo "FAIL $taken of 45 descriptors were taken"; failures=$((failures + 1)); }
    thaw
    [ $kind = fuse ] || undisturbed "$kind at the host's socket"

    echo "== $kind: a container's endpoint, refused: from the host"
    open_box
    attack alice $kind $endpoint 20
    ((taken == (refuses ? 0 : 20))) || { echo "FAIL $taken of 20 descriptors were taken"; failures=$((failures + 1)); }
    thaw
    [ $kind = fuse ] || undisturbed "$kind at an endpoint"

    echo "== $kind: a container's endpoint that is closed with connections in its queue"
    attack alice $kind $endpoint 100
    kill $box
    wait $box 2>/dev/null
    thaw
    eventually 60 "the endpoint is closed" no_box
    undisturbed "$kind in the queue of a socket that is closed"
    [ $kind = tcp ] || end_fuse # first: an attacker's own end waits for the server, too
    relieve
    eventually 120 "monitor and vault keep no descriptor of it, and have their undertakers" quiet
done

if part children; then
    echo "== channels of children that an attacker runs"
    libexec=/usr/libexec/iommud
    # become WHO PROGRAM: what the vault starts as WHO from now on.
    become() { cp "$2" $libexec/new && mv $libexec/new "$libexec/iommud-$1"; }
    cp $libexec/iommud-worker $libexec/iommud-keeper /tmp
    expelled() { [ "$(journalctl -b -o cat | grep -c 'too many descriptors: killed')" -ge "$1" ]; }
    become worker /usr/libexec/iommud-tests/hostile_child
    attack alice tcp /run/iommud/bus 5
    thaw
    ((refuses)) || eventually 60 "the monitor kills workers that send it descriptors" expelled 5
    become worker /tmp/iommud-worker
    undisturbed "descriptors of a worker"
    relieve
    become keeper /usr/libexec/iommud-tests/hostile_child
    as alice timeout 60 iommuctl run --device 0000:00:05.0 --memory 4KiB -- true >/tmp/hostile 2>&1 &
    hostile=$!
    ((refuses)) || eventually 60 "the monitor kills a keeper that sends it the device" expelled 6
    ((!refuses)) || eventually 60 "a keeper that may not send it the device keeps nothing else" pgrep -f iommud-keeper
    become keeper /tmp/iommud-keeper
    undisturbed "descriptors of a keeper"
    lease=$(iommuctl leases --json | python3 -c 'import json, sys
print(*(lease["Id"] for lease in json.load(sys.stdin) if "0000:00:05.0" in lease["Devices"]))')
    [ -z "$lease" ] || iommuctl lease revoke "$lease"
    eventually 120 "its lease ends" device_is 0000:00:05.0 available
    wait "$hostile"
fi

if part folders; then
    echo "== folders that monitor and vault change, and that somebody lists for ever"
    open_box
    fuse reads
    vaults=/sys/fs/cgroup$(systemctl show -p ControlGroup --value iommud-vault)
    for folder in /run/iommud /run/iommud/endpoints /run/iommud/endpoints/box /run/iommud/rebind "$vaults"; do
        as alice python3 "$here/waiting.py" list "$folder" /tmp/fuse/file >/tmp/list 2>&1 &
        eventually 60 "alice tries to list $folder" grep -q . /tmp/list
        expect 0 "and may not" grep -x refused /tmp/list
    done
    kill $box
    wait $box 2>/dev/null
    eventually 60 "the endpoint is closed" no_box
    open_box # in the folder of endpoints
    expect 0 "an account is new: the vault makes a cgroup" iommuctl run --device $edu_b --memory 4KiB -- true
    undisturbed "folders that somebody would list"
    kill $box
    end_fuse
fi

# What a signal does not end either: each of these would keep an undertaker for good.
in_d() { for pid in $(pgrep -x iommud-undertak); do grep -h ^State "/proc/$pid/status"; done | grep -c 'D ('; }
if part crowd && ((!refuses)); then
    echo "== a user without any rule, with many servers that do not answer"
    fuse writes
    for _ in {1..20}; do
        attack bob fuse /run/iommud/bus 45 >/dev/null
        thaw
        sleep 0.3
    done
    expect 0 "which keep a few undertakers: $(in_d)" test "$(in_d)" -le 4
    as bob python3 "$here/waiting.py" /dev/null /run/iommud/bus 5000 close </dev/null >/dev/null 2>&1
    expect 0 "an administrator is served" timeout 30 iommuctl leases
    expect 0 "another user, too" as alice timeout 30 iommuctl status
    expect 0 "monitor and vault are the same processes" test \
        "$(main_pid iommud) $(main_pid iommud-vault) $(restarts)" = "$daemon"
    expect 0 "the monitor starts again as fast as ever" timeout 30 systemctl restart iommud
    expect 0 "and serves" as alice timeout 30 iommuctl status
    daemon="$(main_pid iommud) $(main_pid iommud-vault) $(restarts)"
    end_fuse
    relieve
    eventually 120 "all undertakers are there again" all_undertakers
fi

# Its uid 0 is not the host's, and all of its uids together are one owner.
if part box && ((!refuses)); then
    echo "== a container's root and its other users, with many servers that do not answer"
    open_box
    fuse writes
    for uid in 0 0 0 0 0 0 1001 1002 1003 1004 1005 1006; do
        attack_in_box $uid
    done
    expect 0 "which keep a few undertakers: $(in_d)" test "$(in_d)" -le 2
    expect 0 "an administrator is served" timeout 30 iommuctl leases
    undisturbed "a container that waits before every close"
    kill $box
    end_fuse
    relieve
    wait $box 2>/dev/null
    eventually 120 "all undertakers are there again" all_undertakers
fi

if part before; then
    echo "== what connected before the monitor could refuse anything"
    stop_agent
    systemctl stop iommud iommud.socket iommud-admin.socket
    systemctl start iommud.socket
    attack alice tcp /run/iommud/bus 40
    expect 0 "the kernel takes them on every version" test "$taken" = 40
    expect 0 "the monitor starts" systemctl start iommud
    start_agent root $edu_a 1MiB # alice has her share of connections
    daemon="$(main_pid iommud) $(main_pid iommud-vault) $(restarts)"
    undisturbed "descriptors from before the start"
    relieve
fi
stop_agent
expect 0 "no watchdog had anything to do" bash -c '! journalctl -b -o cat | grep -i "watchdog timeout"'
finish
