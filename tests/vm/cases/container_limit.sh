#!/usr/bin/env bash
# needs: crun runc
# Containers of one account have its limit together, to the page, whichever of their uids asks: by the ledger, and by the
# kernel's own count.
# kernel: 6.12
# shellcheck source=tests/vm/cases/containers.bash
. "$IOMMUD_TREE/tests/vm/cases/containers.bash"
limit=$((1000 * 4096)) half=$((500 * 4096))
policy '{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "4000KiB" },
                { "match": { "uids": "100000-165535" }, "charge": "alice" } ],
  "rules": [ { "id": "hers", "effect": "allow", "allow_no_reset": true,
               "subjects": [ { "user": "alice" }, { "endpoint": "*", "uids": "100000-165535" } ],
               "devices": [ { "vendor": "1234", "device": "11e8" }, { "address": "0000:00:05.0" } ] } ]
}'
# container NAME ARGUMENT...: one whose root may become any of its uids, and does as subordinate.py is told.
container() {
    bundle "$1" --user-namespace 100000 --capability CAP_SETUID --annotation org.iommud.devices=all -- \
        python3 "$here/subordinate.py" --inside "${@:2}"
}
ready() {
    local line=
    read -r -t 120 line <&"$agent_out"
    [ "$line" = ready ] || { echo "FAIL $1: $line"; failures=$((failures + 1)); }
}
first() { agent_out=${ONE[0]} agent_in=${ONE[1]} agent_pid=$one_pid; }
second() { agent_out=${TWO[0]} agent_in=${TWO[1]} agent_pid=$two_pid; }
mapped_is() { iommuctl accounts --json | python3 -c 'import json, sys
a, = json.load(sys.stdin); sys.exit((a["Uid"], a["MemoryMapped"]) != (1000, int(sys.argv[1])))' "$1"; }
kernel_has() { # kernel_has PAGES WHAT: what the kernel would pin for the account, beside what is pinned
    expect 0 "$2" python3 "$here/kernel_count.py" "$(pgrep -o -x iommud-keeper)" $limit
    says "would pin $1 more" "$1 page(s)"
}

# A lease for each of the thousand would take minutes, on the emulator most of it the keepers' start: each holds a page,
# each tenth asks for a lease, and below 200 have one, in turn.
echo "== a thousand uids of two containers"
container one each-a-page 1 500 $edu_a
coproc ONE { crun run -b $bundles/one one 2>&1; }
one_pid=$ONE_PID
first
ready "500 uids with a page each, in one container"
container two each-a-page 501 500 $edu_b
coproc TWO { runc run -b $bundles/two two 2>&1; }
two_pid=$TWO_PID
second
ready "and 500 in another"
expect 0 "what they hold is all that alice has" reserved_is 1000 $limit
eventually 10 "and is known as mapped" mapped_is $limit
expect 5 "she gets not a page herself" as alice iommuctl run --device 0000:00:05.0 --memory 4KiB -- true
says "4000 KiB" "and is told the limit"
for container in first second; do
    $container
    ask one 5 "the next uid of the $container gets no page"
    ask ask "50 MemoryLimit" "and no tenth of its uids a lease of a page"
done
kernel_has 0 "nor does the kernel give one to a process of the account's"
first
ask back "0 4096" "a uid of the first gives its page back"
eventually 10 "the ledger knows" mapped_is $((limit - 4096))
kernel_has 1 "the kernel has exactly that one"
second
ask one 5 "the second's reservation is no larger for that"
first
ask one 0 "the first's next uid gets it"
ask one 5 "and no other"
kernel_has 0 "and the kernel has none again"
stop_agent
eventually 30 "the first has ended, and what it held is free" reserved_is 1000 $half

echo "== in turn, beside the second"
container one in-turn 200 $edu_a 0000:00:05.0 500
expect 0 "200 uids of another container get the other half in turn, and not a page more" timeout 240 runc run -b $bundles/one one
says "200 uids, 500 pages each" "to the page"
eventually 20 "they are gone" reserved_is 1000 $half
kernel_has 500 "the kernel has that half"
second
ask back "0 4096" "the second gives a page back"
ask one 0 "and takes it"
ask one 5 "and no other"
stop_agent
eventually 30 "nothing is left" reserved_is 1000 0
nothing_left
finish
