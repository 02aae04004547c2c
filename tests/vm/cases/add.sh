#!/usr/bin/env bash
# Lease.Add: a second device in the same context, with the same memory, in both modes; and what cannot be added.
# long: newest
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
# shellcheck source=tests/vm/cases/direct.bash
. "$here/direct.bash"
testdev=0000:00:05.0
policy '{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "12MiB", "devices": 2 }, { "match": { "user": "bob" }, "memory": "12MiB" } ],
  "rules": [ { "id": "all-direct", "effect": "allow", "subjects": [ { "user": "alice" }, { "user": "bob" } ],
               "devices": [ { "vendor": "1234", "device": "11e8" }, { "address": "'$testdev'" } ], "modes": [ "managed", "direct" ], "allow_uncleared_memory": true,
               "allow_no_reset": true } ]
}'
start_adder() { # start_adder USER
    coproc AGENT { as "$1" env PYTHONPATH="$here" python3 "$here/add_agent.py" 2>&1; }
    agent_is_ready
}
# refuses LINE NAME WHAT: the agent's answer to LINE begins with NAME.
refuses() {
    echo "$1" >&"$agent_in"
    read -r -t 120 output <&"$agent_out" || output="no answer"
    if [[ $output == "$2"* ]]; then
        echo "ok   $3"
    else
        echo "FAIL $3: \"$output\", expected $2"
        failures=$((failures + 1))
    fi
}
leased_devices() { iommuctl leases --json | python3 -c 'import json, sys
print(" ".join(d for l in json.load(sys.stdin) for d in l["Devices"]))'; }

for mode in managed direct; do
    echo "== mode $mode"
    start_adder alice
    ask "acquire $mode 0x200000 $edu_a" acquired "a lease"
    ask "map 8192 0x1000000" mapped "with memory"
    ask "dma $edu_a 0x1000000" OK "does DMA"
    refuses "add $edu_a" DeviceBusy "what the lease has cannot be added"
    refuses "add 0000:00:08.0" AccessDenied "nor what no rule gives"
    refuses "add $edu_b $testdev" DeviceLimit "nor more than the account may have"
    says "limit of 2" "which is said"
    as bob env PYTHONPATH="$here" iommuctl run --device $edu_b --memory 1MiB -- sleep 1000 &
    eventually 20 "somebody else takes a device" device_is $edu_b leased
    refuses "add $edu_b" DeviceBusy "it cannot be added meanwhile"
    says "somebody else" "and whose it is is not said"
    pkill -KILL -x -u bob sleep
    eventually 20 "he lets go" device_is $edu_b available
    ask "dma $edu_a 0x1000000" OK "the lease is what it was"
    ask "add $edu_b" added "then it is added"
    ask "dma $edu_b 0x1000000" OK "its DMA meets the same memory at the same place"
    ask "dma $edu_a 0x1000000" OK "and so does the first one's"
    ask "map 8192 0x2000000" mapped "memory that is mapped later"
    ask "dma $edu_b 0x2000000" OK "is the second's"
    ask "dma $edu_a 0x2000000" OK "and the first's"
    refuses "add $testdev" DeviceLimit "a third is one too many"
    expect 0 "the lease has both" test "$(leased_devices)" = "$edu_a $edu_b"
    expect 0 "the monitor is restarted" systemctl restart iommud.service
    expect 0 "and knows both" test "$(leased_devices)" = "$edu_a $edu_b"
    if [ $mode = direct ]; then
        expect 0 "the first is tainted" tainted $edu_a True
        expect 0 "and the second" tainted $edu_b True
    fi
    ask "dma $edu_b 0x1000000" OK "DMA goes on"
    ask end ended "the lease ends"
    eventually 20 "and is gone" no_leases
    expect 0 "the first device is free" device_is $edu_a available
    expect 0 "and the second" device_is $edu_b available
    expect 0 "nothing is reserved" reserved_is 1000 0
    stop_agent
done
eventually 10 "no keeper is left" no_keepers
finish
