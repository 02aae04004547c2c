# shellcheck shell=bash
# What the guest's cases share: expectations that print what they expect, and users without any privilege.
failures=0
examples=/usr/libexec/iommud/examples
edu_a=0000:00:04.0
edu_b=0000:00:06.0
here=$IOMMUD_TREE/tests/vm/cases

# expect STATUS WHAT COMMAND...: runs COMMAND and compares its exit status; its output stays in $output.
expect() {
    local want=$1 what=$2 got=0
    shift 2
    output=$("$@" 2>&1) || got=$?
    if [ "$got" = "$want" ]; then
        echo "ok   $what"
    else
        echo "FAIL $what: exit $got, expected $want: $*"
        printf '%s\n' "$output" | sed 's/^/     | /'
        failures=$((failures + 1))
    fi
}

# says TEXT WHAT: the last command's output contains TEXT.
says() {
    if [[ $output == *"$1"* ]]; then
        echo "ok   $2"
    else
        echo "FAIL $2: no \"$1\" in: $output"
        failures=$((failures + 1))
    fi
}

# as USER COMMAND...: with that user's groups, no capability in any set, no way to get one.
as() {
    setpriv --reuid "$1" --regid "$1" --init-groups --inh-caps=-all --ambient-caps=-all --bounding-set=-all \
        --no-new-privs -- "${@:2}"
}

# eventually SECONDS WHAT COMMAND...: COMMAND succeeds within SECONDS.
eventually() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS >= deadline)); then
            echo "FAIL $what: not within the time: $*"
            failures=$((failures + 1))
            return
        fi
        sleep 0.05
    done
    echo "ok   $what"
}

# policy JSON: puts it in force.
policy() {
    mkdir -p /etc/iommud/policy.d
    printf '%s\n' "$1" >/etc/iommud/policy.d/10-test.json
    iommuctl reload
}

# to_vfio DEVICE: from whatever driver it is on.
to_vfio() {
    [ ! -e "/sys/bus/pci/devices/$1/driver" ] || echo "$1" >"/sys/bus/pci/devices/$1/driver/unbind"
    echo vfio-pci >"/sys/bus/pci/devices/$1/driver_override"
    echo "$1" >/sys/bus/pci/drivers_probe
}

device_state() { iommuctl devices --json | python3 -c 'import json, sys
for d in json.load(sys.stdin): print(d["State"]) if d["Address"] == sys.argv[1] else None' "$1"; }
device_is() { [ "$(device_state "$1")" = "$2" ]; }
lease_count() { iommuctl leases --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))'; }
no_leases() { [ "$(lease_count)" = 0 ]; }
no_keepers() { ! pgrep -x iommud-keeper >/dev/null; }

alice_policy='{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "12MiB" } ],
  "rules": [ { "id": "edu-for-alice", "effect": "allow", "subjects": [ { "user": "alice" } ],
               "devices": [ { "vendor": "1234", "device": "11e8" }, { "address": "0000:00:08.0" } ] } ]
}'

# The co-process AGENT has been started: it says so itself, and is who ask, asked and stop_agent speak to.
agent_is_ready() {
    agent_out=${AGENT[0]} agent_in=${AGENT[1]} agent_pid=$AGENT_PID
    local line=
    read -r -t 120 line <&"$agent_out" || line="no answer"
    [ "$line" = ready ] || { echo "FAIL the agent: $line"; failures=$((failures + 1)); }
}

# ---- a client that stays (agent.py, or what agent_program says): start_agent USER DEVICE MEMORY, then ask LINE ANSWER
# WHAT.
start_agent() {
    coproc AGENT { as "$1" env PYTHONPATH="$here" iommuctl run --device "$2" --memory "$3" -- \
        python3 "$here/${agent_program:-agent.py}" '{lease}' "{device:$2}" 2>&1; }
    agent_is_ready
}

ask() {
    local answer=
    echo "$1" >&"$agent_in"
    read -r -t 120 answer <&"$agent_out" || answer="no answer"
    if [ "$answer" = "$2" ]; then
        echo "ok   $3"
    else
        echo "FAIL $3: \"$answer\", expected \"$2\""
        failures=$((failures + 1))
    fi
}

# asked LINE ANSWER: whether the agent answers so (for `eventually`).
asked() {
    local answer=
    echo "$1" >&"$agent_in"
    read -r -t 120 answer <&"$agent_out" && [ "$answer" = "$2" ]
}

# It is told to quit: a co-process started later holds its input open too, so that closing that would not end it.
stop_agent() {
    echo quit >&"$agent_in" 2>/dev/null
    exec {agent_in}>&-
    eventually 20 "the agent ends" bash -c "! kill -0 $agent_pid"
}

# reserved UID: bytes that the ledger has reserved for an account.
reserved() { iommuctl accounts --json | python3 -c 'import json, sys
print(sum(a["MemoryReserved"] for a in json.load(sys.stdin) if a["Uid"] == int(sys.argv[1])))' "$1"; }
reserved_is() { [ "$(reserved "$1")" = "$2" ]; }

finish() {
    # A system call outside of a process's list; a crash.
    local faults='SIG(SYS|SEGV|BUS|ABRT)|status=(31/SYS|11/SEGV|7/BUS|6/ABRT)'
    if journalctl -b --no-pager -o cat | grep -qE "$faults"; then
        echo "FAIL a process of the daemon's was killed by the kernel or itself:"
        journalctl -b --no-pager -o cat | grep -E "$faults" | head -5
        failures=$((failures + 1))
    fi
    if [ "$failures" -gt 0 ]; then
        journalctl -b --no-pager -u iommud -u iommud-vault -t iommud -t iommud-vault -t iommud-keeper \
            -t iommud-worker | tail -60
        echo "$failures expectation(s) failed"
        exit 1
    fi
    echo "all as expected"
}
