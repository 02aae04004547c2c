#!/usr/bin/env bash
# Policy is loaded anew under clients: no wrong decision, no lease lost. Limits that are lowered take nothing away, give
# nothing more, and are told.
# kernel: newest
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
export PYTHONPATH=$here
with_limit() { # with_limit MEMORY: alice's, and who else may
    policy "{ \"version\": 1, \"accounts\": [ { \"match\": { \"user\": \"alice\" }, \"memory\": \"$1\" },
                                              { \"match\": { \"group\": \"vfio\" }, \"memory\": \"4MiB\" } ],
      \"rules\": [ { \"id\": \"edu\", \"effect\": \"allow\", \"allow_no_reset\": true, \"devices\": [ { \"vendor\": \"1234\", \"device\": \"11e8\" } ],
                     \"subjects\": [ { \"user\": \"alice\" }, { \"group\": \"vfio\" } ] } ] }"
}
figures() { # figures UID: limit, reserved and mapped, as an administrator sees them
    iommuctl accounts --json | python3 -c 'import json, sys
for a in json.load(sys.stdin):
    if a["Uid"] == int(sys.argv[1]): print(a["MemoryLimit"] >> 20, a["MemoryReserved"] >> 20, a["MemoryMapped"] >> 20)' "$1"
}
figures_are() { [ "$(figures "$1")" = "$2" ]; }
journal_has() { journalctl -b --no-pager -o cat -u iommud | grep -qF -- "$1"; }

echo "== fifty clients, and a policy that changes"
with_limit 12MiB
start_agent alice $edu_a 8MiB
ask "map 6291456" "0 0x1000000" "a lease that is older than all of it"
expect 0 "no wrong decision, no lease lost" python3 "$here/reload_storm.py" 12 $edu_b 0000:00:05.0
echo "$output"
says "50 clients" "among fifty"
ask dma OK "the old lease does DMA"
ask query 6291456 "with all of its memory"
ask "map 1048576 0x4000000" "0 0x4000000" "and maps more"
ask "unmap 0x4000000" "0 1048576" "and unmaps it"
eventually 20 "the storm has left no lease" test "$(lease_count)" = 1

echo "== a limit that is lowered under a lease"
with_limit 4MiB
eventually 10 "what she holds stays, above the limit" figures_are 1000 "4 8 6"
expect 0 "the journal says so" journal_has "account 1000 holds 8 MiB of memory, the limit is 4 MiB"
ask dma OK "her DMA goes on"
ask "map 4096 0x4000000" "5 0x200000" "she maps nothing more: the kernel's count is above the limit"
expect 5 "and gets no other lease" as alice iommuctl run --device $edu_b --memory 4KiB -- true
says "4 MiB" "the message has the new limit"
says "8 MiB" "and what she holds"
expect 0 "systemctl restart iommud" systemctl restart iommud
expect 0 "the next monitor says the same" figures_are 1000 "4 8 6"
ask "map 4096 0x4000000" "5 0x200000" "and so does the kernel"
ask "unmap 0x1000000" "0 6291456" "she gives all back"
ask "map 4194304" "0 0x1000000" "she may map up to the limit"
ask "map 4096 0x4000000" "5 0x400000" "and not a page more"
expect 0 "an account that is gone from policy" policy '{ "version": 1 }'
eventually 10 "keeps what it holds" figures_are 1000 "0 8 4"
expect 0 "the journal says so" journal_has "account 1000 holds 8 MiB of memory, the limit is 0 B"
ask query 4194304 "its memory is still mapped"
with_limit 12MiB
ask "map 4096 0x4000000" "0 0x4000000" "a limit that is raised again is used again"
stop_agent
eventually 20 "no lease is left" no_leases

echo "== an account by a group that only the process has"
coproc AGENT { setpriv --reuid bob --regid bob --groups vfio --no-new-privs -- iommuctl run --device $edu_a --memory 4MiB -- \
    python3 "$here/agent.py" '{lease}' "{device:$edu_a}" 2>&1; }
agent_is_ready
ask "map 1048576" "0 0x1000000" "bob has the group's limit"
expect 0 "the same policy is loaded again" iommuctl reload
eventually 5 "his limit is what it was" figures_are 1001 "4 4 1"
ask "map 3145728 0x4000000" "0 0x4000000" "and he maps up to it"
expect 0 "systemctl restart iommud" systemctl restart iommud
eventually 5 "the next monitor knows it, too" figures_are 1001 "4 4 4"
stop_agent
eventually 20 "no lease is left" no_leases
eventually 20 "no keeper is left" no_keepers
finish
