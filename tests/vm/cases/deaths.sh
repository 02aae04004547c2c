#!/usr/bin/env bash
# What each process's death costs: a worker its client's connection, a keeper its lease, the monitor nothing, the vault
# everything, in order.
# long: newest
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
policy "$alice_policy"

# ---- a worker
coproc HOLD { as alice $examples/edu_driver --memory 1MiB --hold $edu_b 2>&1; }
hold_in=${HOLD[1]} hold_pid=$HOLD_PID
read -r -t 30 line <&"${HOLD[0]}"
[ "$line" = "DMA OK" ] || { echo "FAIL the driver: $line"; failures=$((failures + 1)); }
pkill -9 iommud-worker
sleep 1
expect 0 "kill -9 of every worker costs no lease" device_is $edu_b leased
expect 0 "and the next connection gets a worker" as alice iommuctl status
exec {hold_in}>&-
eventually 20 "the driver ends" bash -c "! kill -0 $hold_pid"
eventually 15 "the lease ends with its client" no_leases

# ---- a keeper, under DMA
start_agent alice $edu_a 4MiB
ask "map 1048576" "0 0x1000000" "a lease whose keeper will die"
ask dma OK "does DMA"
keeper=$(pgrep -x iommud-keeper)
start_pid=$agent_pid start_out=$agent_out start_in=$agent_in
coproc SECOND { as alice $examples/edu_driver --memory 1MiB --hold $edu_b 2>&1; }
second_in=${SECOND[1]} second_pid=$SECOND_PID second_out=${SECOND[0]}
read -r -t 30 line <&"$second_out"
kill -9 "$keeper"
agent_pid=$start_pid agent_out=$start_out agent_in=$start_in
eventually 20 "the successor ends DMA" asked dma BLOCKED
eventually 15 "the device drains" device_is $edu_a draining
expect 0 "its bytes stay charged" reserved_is 1000 $((5 << 20))
expect 0 "another lease does not notice" device_is $edu_b leased
ask "query" "the lease has ended" "its channel is closed"
stop_agent
eventually 15 "the device is free when its descriptor is closed" device_is $edu_a available
exec {second_in}>&-
eventually 20 "the second driver ends" bash -c "! kill -0 $second_pid"
eventually 15 "no lease is left" no_leases

# ---- the monitor
controllers=$(cat /sys/fs/cgroup/system.slice/iommud-vault.service/cgroup.subtree_control)
[[ $controllers == *memory*pids* ]] || { echo "FAIL controllers of the vault's cgroup: $controllers"; failures=$((failures + 1)); }
start_agent alice $edu_a 4MiB
ask "map 1048576" "0 0x1000000" "a lease that outlives monitors"
pkill -9 -x iommud
ask "map 4096 0x2000000" "0 0x2000000" "Map works right after kill -9 of the monitor"
eventually 30 "the next monitor serves" iommuctl status
expect 0 "and knows the lease" device_is $edu_a leased
expect 0 "and its charge" reserved_is 1000 $((4 << 20))
expect 0 "systemctl restart iommud" systemctl restart iommud
ask "unmap 0x2000000" "0 4096" "Unmap works after a restart"
expect 0 "the lease is known again" device_is $edu_a leased
systemctl stop iommud.socket iommud.service
ask "map 4096 0x3000000" "0 0x3000000" "Map works while there is no monitor"
ask dma OK "and so does DMA"
systemctl start iommud.socket iommud.service
expect 0 "what was mapped meanwhile is known" reserved_is 1000 $((4 << 20))
stop_agent
eventually 15 "the lease ends after all that" no_leases

# ---- the vault
start_agent alice $edu_a 4MiB
ask "map 1048576" "0 0x1000000" "a lease that the vault's death ends"
ask dma OK "does DMA"
systemctl kill --kill-whom=main -s KILL iommud-vault
eventually 20 "keepers release when the vault is killed" asked dma BLOCKED
stop_agent
eventually 30 "vault and monitor come back" iommuctl status
eventually 15 "nothing is left of the lease" no_leases
eventually 15 "and no keeper" no_keepers
expect 0 "a new lease is given" as alice $examples/edu_driver $edu_a
says "DMA OK" "and does DMA"
finish
