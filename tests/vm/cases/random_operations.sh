#!/usr/bin/env bash
# random_operations.sh [SEED]: a thousand random operations over many leases of one account. What the ledger says is mapped
# and what the kernel counts are the same all along: to the page, found where the kernel says ENOMEM.
# processors: 2
# long: 6.12
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
limit=$((4 << 20))
seed=${1:-$((RANDOM))}
echo "seed $seed"
policy '{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "4MiB" } ],
  "rules": [ { "id": "hers", "effect": "allow", "subjects": [ { "user": "alice" } ],
               "devices": [ { "vendor": "1234", "device": "11e8" }, { "address": "0000:00:05.0" } ] } ]
}'
figures() { iommuctl accounts --json | python3 -c 'import json, sys
accounts = json.load(sys.stdin)
print(sum(a["MemoryMapped"] for a in accounts), sum(a["MemoryReserved"] for a in accounts))'; }
figures_are() { [ "$(figures)" = "$1" ]; }
# The uid that pays for alice, from her first lease on.
slot() { sed -n 's/^1000 //p' /run/iommud/slots; }
# told LINE: does it, and compares all three counts.
told() {
    local mapped reserved what
    echo "$1" >&"$agent_in"
    read -r -t 240 mapped reserved <&"$agent_out" || mapped="no answer"
    [[ $mapped =~ ^[0-9]+$ ]] || { echo "FAIL $1: $mapped $reserved"; finish; }
    read -r -t 60 what <&"$agent_out"
    echo "     $what: $mapped of $reserved bytes"
    eventually 20 "the ledger says the same" figures_are "$mapped $reserved"
    expect 0 "the kernel is asked" python3 "$here/kernel_count.py" --uid "$(slot)" $limit
    says "would pin $(((limit - mapped) / 4096)) more" "it counts $((mapped / 4096)) pages"
}

coproc AGENT { as alice env PYTHONPATH="$here" python3 "$here/random_operations.py" $limit "$seed" $edu_a $edu_b 0000:00:05.0 2>&1; }
agent_is_ready
for _ in {1..10}; do
    told "go 100"
done
told end
eventually 20 "nothing is mapped or reserved" figures_are "0 0"
stop_agent
eventually 20 "no keeper is left" no_keepers
finish
