#!/usr/bin/env bash
# An account that goes round its lease: as its subordinate uids in a namespace where it is root, with limits raised, with its
# own count eaten up, and against the processes that hold it down. Each is refused, or changes nothing.
# processors: 2
# long: 6.12
# shellcheck source=tests/vm/cases/attacks.bash
. "$IOMMUD_TREE/tests/vm/cases/attacks.bash"

echo "== subordinate uids in turn, each root of the namespace once, with all of its capabilities and no limit"
start_attacker alice $edu_a $((limit - 3 * 4096))
ask fill "3069, then 5" "alice has mapped all but three pages"
start_neighbour
expect 0 "ten of her uids, one after the other" prlimit --memlock=unlimited:unlimited -- \
    env PYTHONPATH="$here" python3 "$here/attack_namespace.py" 10 $edu_b 3
says "10 uids, 3 pages each" "got those three pages, and not one more"
end_neighbour
eventually 30 "they are gone" reserved_is 1000 $((limit - 3 * 4096))
kernel_has $((limit - 3 * 4096)) "the kernel counts what she has, and no more"

echo "== against the processes of the daemon's"
keeper=$(pgrep -o -x iommud-keeper)
mapfile -t workers < <(pgrep -x iommud-worker)
processes=("$keeper" "${workers[@]}" "$monitor" "$vault")
expect 0 "alice may do nothing to them" as alice env PYTHONPATH="$here" python3 "$here/hostile.py" processes "${processes[@]}"
says "refused for ${#processes[@]} processes" "not one act"
expect 0 "nor as root of her namespace, with every capability" env PYTHONPATH="$here" python3 -c '
import runpy, sys, namespace
namespace.enter("alice", [])
status = open("/proc/self/status").read()
assert "CapEff:\t000001ffffffffff" in status, status
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")' "$here/hostile.py" processes "${processes[@]}"
says "refused for ${#processes[@]} processes" "not one act"
expect 0 "the keeper is the same" test "$(pgrep -o -x iommud-keeper)" = "$keeper"
ask mapped $((limit - 3 * 4096)) "and serves"
stop_agent
nothing_gained

echo "== her own count is eaten up"
coproc EAT { as alice prlimit --memlock=262144:262144 -- attacker eat; }
eat_in=${EAT[1]} eat_pid=$EAT_PID
read -r -t 120 alone <&"${EAT[0]}"
echo "     $alone"
# Her own limit is 64 pages, by user and by process; newer kernels do not count secret memory in it.
[[ $alone == "io_uring 64, secret "[1-9]* ]] || { echo "FAIL nothing was eaten"; failures=$((failures + 1)); }
start_attacker alice $edu_a 12MiB
ask fill "3072, then 5" "all of her limit is still there"
ask dma "not mapped: 5" "and not two pages more"
kernel_has $limit "by the kernel's count, too"
echo >&"$eat_in"
eventually 20 "she gives her own back" bash -c "! kill -0 $eat_pid"
coproc EAT { as alice prlimit --memlock=262144:262144 -- attacker eat; }
eat_in=${EAT[1]} eat_pid=$EAT_PID
read -r -t 120 beside <&"${EAT[0]}"
expect 0 "and what is mapped for her takes nothing of that" test "$beside" = "$alone"
echo >&"$eat_in"
ask unmap-all 0 "she gives that back, too"
stop_agent
nothing_gained
finish
