# shellcheck shell=bash
# What the cases of attacks share: the attacker (attacker.cpp), who runs beside it, and what must be true afterwards.
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
neighbour_device=0000:00:05.0
attack_policy='{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "12MiB" }, { "match": { "user": "bob" }, "memory": "1MiB" },
                { "match": { "uids": "100000-165535" }, "charge": "alice" } ],
  "rules": [ { "id": "alices", "effect": "allow", "subjects": [ { "user": "alice" }, { "uids": "100000-165535" } ],
               "devices": [ { "vendor": "1234", "device": "11e8" }, { "address": "0000:00:05.0" } ], "allow_no_reset": true },
             { "id": "bobs", "effect": "allow", "subjects": [ { "user": "bob" } ], "allow_no_reset": true,
               "devices": [ { "address": "0000:00:05.0" } ] } ]
}'
limit=$((12 << 20))
seed=${IOMMUD_SEED:-$((RANDOM))}
echo "seed $seed"

# start_attacker USER DEVICE MEMORY: to be asked by `ask`, as any agent.
start_attacker() {
    coproc AGENT { as "$1" iommuctl run --device "$2" --memory "$3" -- attacker '{lease}' "{device:$2}" 2>&1; }
    agent_is_ready
}
# told LINE: its answer is in $said.
told() {
    echo "$1" >&"$agent_in"
    read -r -t 180 said <&"$agent_out" || said="no answer"
    echo "     $1: $said"
}
# only ERRORS WHAT: no error in $said is another one. ERRORS: a pattern for a number.
only() {
    if grep -qE '[0-9] of ' <<<"$said" && ! grep -oE ' of -?[0-9]+' <<<"$said" | grep -qvE "^ of ($1)$"; then
        echo "ok   $2"
    else
        echo "FAIL $2: $said"
        failures=$((failures + 1))
    fi
}

# The neighbour: acquires, maps, unmaps and releases while others are attacked, and is told when to stop. How long it waits
# on an emulator says nothing, so it is counted: every call succeeds, and no call waits as long as the attack lasts, as one
# would that had to wait for its end. It goes on for a round after the attack's end: a short one is met in any case.
start_neighbour() {
    coproc NEIGHBOUR { as bob env PYTHONPATH="$here" python3 "$here/neighbour.py" $neighbour_device 2>&1; }
    neighbour_in=${NEIGHBOUR[1]} neighbour_out=${NEIGHBOUR[0]}
    local line=
    read -r -t 120 line <&"$neighbour_out" || line="no answer"
    [ "$line" = ready ] || { echo "FAIL bob: $line"; failures=$((failures + 1)); }
    neighbour_start=$(date +%s%3N)
}
end_neighbour() {
    local line= lasted
    echo >&"$neighbour_in"
    read -r -t 120 line <&"$neighbour_out" || line="no answer"
    exec {neighbour_in}>&-
    lasted=$(($(date +%s%3N) - neighbour_start))
    if [[ $line =~ ^([0-9]+)\ rounds,\ at\ most\ ([0-9]+)\ ms$ ]] && ((BASH_REMATCH[1] > 0 && BASH_REMATCH[2] < lasted)); then
        echo "ok   bob went on: $line each call, of $lasted ms"
    else
        echo "FAIL bob, in $lasted ms: $line"
        failures=$((failures + 1))
    fi
}

# kernel_has BYTES WHAT: the kernel's own count of the account is exactly that: it would pin what is left to the limit.
kernel_has() {
    eventually 60 "bob's device is free" device_is 0000:00:05.0 available
    expect 0 "$2" python3 "$here/kernel_count.py" "$(pgrep -o -x iommud-keeper)" $limit
    says "would pin $(((limit - $1) / 4096)) more" "$(($1 / 4096)) pages"
}
mapped_is() { iommuctl accounts --json | python3 -c 'import json, sys
print(sum(a["MemoryMapped"] for a in json.load(sys.stdin) if a["Uid"] == 1000))' | grep -qx "$1"; }
nothing_gained() {
    eventually 60 "nothing is left of it" no_leases
    eventually 60 "no keeper" no_keepers
    expect 0 "nothing is charged" reserved_is 1000 0
    expect 0 "the monitor is the same process" test "$(systemctl show -P MainPID iommud)" = "$monitor"
    expect 0 "and the vault" test "$(systemctl show -P MainPID iommud-vault)" = "$vault"
}
policy "$attack_policy"
monitor=$(systemctl show -P MainPID iommud) vault=$(systemctl show -P MainPID iommud-vault)
