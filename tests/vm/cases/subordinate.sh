#!/usr/bin/env bash
# A thousand subordinate uids that are charged to alice have her limit together, to the page: by the ledger, and by the
# kernel's own count.
# kernel: newest
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
limit=$((1000 * 4096))
hers() { # hers MORE: the rule, with MORE in it
    policy '{
      "version": 1,
      "accounts": [ { "match": { "user": "alice" }, "memory": "4000KiB" },
                    { "match": { "uids": "100000-165535" }, "charge": "alice" } ],
      "rules": [ { "id": "hers", "effect": "allow", "subjects": [ { "user": "alice" }, { "uids": "100000-165535" } ],
                   "devices": [ { "vendor": "1234", "device": "11e8" }, { "address": "0000:00:05.0" } ]'"$1"' } ]
    }'
}
mapped_is() { iommuctl accounts --json | python3 -c 'import json, sys
a, = json.load(sys.stdin); sys.exit((a["Uid"], a["MemoryMapped"]) != (1000, int(sys.argv[1])))' "$1"; }
kernel_has() { # kernel_has PAGES WHAT: what the kernel would pin for the account, beside what is pinned
    expect 0 "$2" python3 "$here/kernel_count.py" "$(pgrep -o -x iommud-keeper)" $limit
    says "would pin $1 more" "$1 page(s)"
}

echo "== a device that cannot be reset"
subordinate=(setpriv --reuid 100001 --regid 100001 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs --)
has_a() { "$@" iommuctl run --device $edu_a --memory 4KiB -- true; }
hers ""
expect 0 "alice has it" has_a as alice
eventually 20 "and gives it back" no_leases
expect 3 "another uid of her account does not get it" has_a "${subordinate[@]}"
says "cannot be reset" "and is told why"
expect 0 "she herself does" has_a as alice
expect 0 "the vault restarts" systemctl restart iommud-vault
eventually 30 "and serves" iommuctl status
expect 3 "the other uid does not get it then, either" has_a "${subordinate[@]}"
hers ', "allow_no_reset": true'
expect 0 "but where a rule says so" has_a "${subordinate[@]}"
eventually 20 "it gives it back" no_leases
hers ""
expect 3 "and then alice does not" has_a as alice
hers ', "allow_no_reset": true'

echo "== a thousand at a time"
coproc AGENT { PYTHONPATH="$here" python3 "$here/subordinate.py" each-a-page 1 1000 $edu_a $edu_b 2>&1; }
agent_is_ready
expect 0 "what they hold is all that alice has" reserved_is 1000 $limit
eventually 10 "and is known as mapped" mapped_is $limit
expect 5 "she gets not a page herself" as alice iommuctl run --device 0000:00:05.0 --memory 4KiB -- true
says "4000 KiB" "and is told the limit"
ask one "5 5" "the next uid gets no page of theirs"
ask ask "100 MemoryLimit" "and no tenth of them a lease of a page"
kernel_has 0 "nor does the kernel give one to a process of the account's"
ask back "0 4096" "one gives its page back"
eventually 10 "the ledger knows" mapped_is $((limit - 4096))
kernel_has 1 "the kernel has exactly that one"
ask one "0 5" "the next uid gets it, and no other"
kernel_has 0 "and the kernel has none again"
stop_agent
eventually 20 "nothing is left of that" no_leases
expect 0 "nothing is charged" reserved_is 1000 0

echo "== in turn"
start_agent alice $edu_a $((limit - 3 * 4096))
ask "map $((limit - 3 * 4096))" "0 0x1000000" "alice maps all but three pages"
expect 0 "forty uids in turn get those, and not one more" \
    python3 "$here/subordinate.py" in-turn 40 $edu_b 0000:00:05.0 3
says "40 uids" "to the page"
eventually 20 "they are gone" reserved_is 1000 $((limit - 3 * 4096))
kernel_has 3 "the kernel has those three pages"
ask dma OK "hers does DMA"
stop_agent
eventually 20 "no lease is left" no_leases
eventually 20 "no keeper is left" no_keepers
finish
