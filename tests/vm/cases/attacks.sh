#!/usr/bin/env bash
# An account that wants more than its lease: maps and unmaps at once from many threads, memory that changes while it is
# mapped, a device that is attached in a loop. It gains no page and no DMA, and nobody else notices.
# processors: 2
# long: 6.12
# shellcheck source=tests/vm/cases/attacks.bash
. "$IOMMUD_TREE/tests/vm/cases/attacks.bash"
seconds=10

echo "== maps and unmaps from eight threads on one channel, and on two leases"
start_attacker alice $edu_a 8MiB
first_out=$agent_out first_in=$agent_in first_pid=$agent_pid
coproc SECOND { as alice iommuctl run --device $edu_b --memory 4MiB -- attacker '{lease}' "{device:$edu_b}" 2>&1; }
second_out=${SECOND[0]} second_in=${SECOND[1]} second_pid=$SECOND_PID
read -r -t 120 line <&"$second_out"
[ "$line" = ready ] || { echo "FAIL the second attacker: $line"; failures=$((failures + 1)); }
ask dma OK "the first does DMA"
start_neighbour
echo "race $seconds $((seed + 100))" >&"$second_in"
told "race $seconds $seed"
only "0|5|10|65|66" "each is done, or refused by a name that fits"
agent_out=$second_out agent_in=$second_in agent_pid=$second_pid
read -r -t 180 said <&"$agent_out"
only "0|5|10|65|66" "on the other lease, too"
end_neighbour
ask dma OK "the second does DMA"
told mapped
second_mapped=$said
agent_out=$first_out agent_in=$first_in agent_pid=$first_pid
told mapped
eventually 20 "the ledger has what both say" mapped_is $((said + second_mapped))
kernel_has $((said + second_mapped)) "and so has the kernel"
ask unmap-all 0 "the first gives all back"
ask dma BLOCKED "and reaches nothing then"
ask fill "2048, then 5" "it can have its 8 MiB, and no page more"
agent_out=$second_out agent_in=$second_in agent_pid=$second_pid
ask fill "1024, then 5" "the second its 4 MiB"
kernel_has $limit "the kernel has all, and gives not a page more"
stop_agent
agent_out=$first_out agent_in=$first_in agent_pid=$first_pid
stop_agent
nothing_gained

echo "== memory that changes while it is mapped"
start_attacker alice $edu_a 12MiB
start_neighbour
told "replace $seconds $seed"
# 11: memory that has a hole, or is no memory any more
only "0|5|11" "each map is done, or refused by a name that fits"
[[ $said == *"resized: "*" of 0" && $said != *"of 1"[!0-9]* ]] || { echo "FAIL resized"; failures=$((failures + 1)); }
end_neighbour
told mapped
eventually 20 "the ledger has what was mapped" mapped_is "$said"
kernel_has "$said" "and so has the kernel"
ask unmap-all 0 "all is given back"
kernel_has 0 "to the last page"
ask fill "3072, then 5" "and can be had again, no page more"
ask unmap-all 0 "and given back"
ask dma OK "DMA goes through what is mapped"
stop_agent
nothing_gained

echo "== a device that is attached in a loop while its lease ends"
for ending in close revoke; do
    start_attacker alice $edu_a 12MiB
    ask dma OK "DMA goes through ($ending)"
    ask storm storm "eight threads attach and detach"
    start_neighbour
    if [ $ending = close ]; then
        ask close-lease closed "the lease's descriptor is closed"
    else
        lease=$(iommuctl leases --json | python3 -c 'import json, sys
print(*(l["Id"] for l in json.load(sys.stdin) if l["Account"] == 1000))')
        expect 0 "the lease is revoked" iommuctl lease revoke "$lease"
    fi
    eventually 120 "it drains" device_is $edu_a draining
    ask dma BLOCKED "its DMA is blocked, though the storm goes on"
    expect 0 "its bytes stay charged" reserved_is 1000 $limit
    ask calm calm "the storm is over"
    ask dma BLOCKED "and still is"
    end_neighbour
    stop_agent
    nothing_gained
done
finish
