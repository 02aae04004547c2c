#!/usr/bin/env bash
# An account that wants the IOMMU's page tables to be large: as many maps as there may be, as far from each other as can be.
# The account's own cgroup pays for them, and when that is full its maps are refused, and nobody is killed.
# processors: 2
# long: newest
# shellcheck source=tests/vm/cases/attacks.bash
. "$IOMMUD_TREE/tests/vm/cases/attacks.bash"
export limit=$((32 << 20))
policy "${attack_policy/\"12MiB\"/\"32MiB\"}"
echo 8 >/proc/sys/vm/nr_hugepages

start_attacker alice $edu_a 20MiB
cgroup=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(pgrep -o -x iommud-keeper)/cgroup")
value() { cat "$cgroup/memory.$1"; }
nobody_killed() { grep -qx 'oom_kill 0' "$cgroup/memory.events"; }
before=$(value current)
echo "     $cgroup: $before of $(value max)"

echo "== as many maps as there may be"
start_neighbour
ask sparse "4096 of 4096, then 64" "the bound on maps is reached, not the cgroup's"
end_neighbour
echo "     $(value current), at most $(value peak)"
expect 0 "the tables are charged to the account's cgroup" test "$(($(value current) - before))" -gt $((4096 * 4096))
ask mapped $((4096 * 4096)) "each is a page"
kernel_has $((4096 * 4096)) "by the kernel's count, too"
ask unmap-all 0 "they are given back"
ask dma OK "and DMA goes through what is mapped then"

stop_agent
nothing_gained

echo "== maps and unmaps without end take no memory for good"
start_attacker alice $edu_a 20MiB
of_keeper() { sed -n "s/^$1:[^0-9]*\([0-9]*\) kB/\1/p" "/proc/$(pgrep -o -x iommud-keeper)/status"; }
ask "pairs 2000" "done" "two thousand"
before=$(value current) tables=$(of_keeper VmPTE) data=$(of_keeper VmData)
ask "pairs 10000" "done" "and ten thousand more"
echo "     memory.current $before, now $(value current); VmPTE $tables, $(of_keeper VmPTE); VmData $data, $(of_keeper VmData) KB"
expect 0 "the account's cgroup has what it had, give or take what the kernel keeps for each processor" \
    test "$(($(value current) - before))" -lt $((1 << 20))
expect 0 "the keeper's page tables are no larger" test "$(of_keeper VmPTE)" -le "$tables"
expect 0 "nor is its memory" test "$(of_keeper VmData)" -le "$data"
ask beyond 11 "a page beyond a file's end is refused as memory that is not there"
ask "holes 1" 0 "a file without a page gets its pages"
stop_agent
nothing_gained

echo "== a cgroup that is full"
start_attacker alice $edu_a 20MiB
# A thousand tables' worth is left, as if others had the rest.
echo $(($(value current) + (4 << 20))) >"$cgroup/memory.max"
start_neighbour
ask "holes 16" 5 "what has no page yet, and no room in the cgroup, is refused"
ask dma OK "and the keeper goes on"
told sparse
# Refused, or else the answer itself found no memory: then the lease ends, as with any answer that does not fit.
[[ $said =~ ^([1-9][0-9]*)\ of\ 4096,\ then\ (5|-1)$ ]] || { echo "FAIL neither refused nor ended: $said"; failures=$((failures + 1)); }
maps=${BASH_REMATCH[1]:-4096}
expect 0 "some maps fit, not all" test "$maps" -lt 4000
end_neighbour
expect 0 "nobody was killed for it" nobody_killed
stop_agent
nothing_gained
echo max >"$cgroup/memory.max"

echo "== huge pages"
start_attacker alice $edu_a 8MiB
ask "fill huge" "4, then 5" "four of 2 MiB are 8 MiB"
kernel_has $((8 << 20)) "by the kernel's count, too"
ask unmap-all 0 "given back"
ask fill "2048, then 5" "and as many bytes in small pages"
stop_agent
nothing_gained
finish
