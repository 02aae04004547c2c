#!/usr/bin/env bash
# A lease ends with the last copy of its descriptor; what a client keeps reaches nothing, and is waited for.
# processors: 2
# long: newest
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
policy "$alice_policy"

start_agent alice $edu_a 12MiB
ask "map 12582912" "0 0x1000000" "she maps all that she has"
ask dma OK "DMA goes through"
pkill -9 -f "agent.py"
wait "$agent_pid" 2>/dev/null
eventually 15 "kill -9 of the client frees the device" device_is $edu_a available
eventually 5 "and the lease" no_leases
expect 0 "the ledger is at zero" reserved_is 1000 0
expect 0 "and the kernel's count: she may map everything again" as alice env PYTHONPATH="$here" \
    iommuctl run --device $edu_a --memory 12MiB -- python3 "$here/limit.py" '{lease}' $((12 << 20))
eventually 15 "that lease has ended too" no_leases

# She ends her lease and keeps the device's descriptor.
start_agent alice $edu_a 12MiB
ask "map 1048576" "0 0x1000000" "a lease with memory"
ask dma OK "does DMA"
ask close-lease closed "its descriptor is closed, the device's is kept"
eventually 15 "the device drains" device_is $edu_a draining
# EINVAL: the device's own object, which is no address space; ENOENT: there is nothing else.
ask attach "Invalid argument, No such file or directory" "the kept descriptor can attach nothing"
ask dma BLOCKED "its DMA is blocked"
expect 0 "its bytes stay charged" reserved_is 1000 $((12 << 20))
expect 1 "nobody else gets the device" as alice iommuctl run --device $edu_a --memory 4KiB -- true
says "former holder" "and the message says why"
stop_agent
eventually 15 "it is free once the descriptor is closed" device_is $edu_a available
expect 0 "and so are the bytes" reserved_is 1000 0

# Revoked by the administrator, while the client is busy.
start_agent alice $edu_a 1MiB
ask "map 1048576" "0 0x1000000" "a lease to be revoked"
ask dma OK "does DMA"
lease=$(iommuctl leases --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["Id"])')
expect 0 "revoked" iommuctl lease revoke "$lease" --reason "a test"
ask dma BLOCKED "DMA has ended when the revocation is answered"
stop_agent
eventually 15 "and the device is free" device_is $edu_a available
expect 1 "she has no such verb herself" as alice iommuctl lease revoke 1
says "only on the administrators' socket" "and is told where it is"
eventually 10 "no keeper is left" no_keepers
finish
