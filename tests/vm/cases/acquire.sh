#!/usr/bin/env bash
# An unprivileged user gets the device that policy grants, DMA through it, and memory up to the limit; nobody else does.
# long: 6.12
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"

expect 3 "without a policy nobody gets anything" as alice iommuctl run --device $edu_a -- true
policy "$alice_policy"

expect 0 "alice's driver does DMA" as alice $examples/edu_driver $edu_a
says "DMA OK" "and says so"
expect 0 "exactly up to her limit" as alice env PYTHONPATH="$here" iommuctl run --device $edu_a --memory 12MiB -- \
    python3 "$here/limit.py" '{lease}' $((12 << 20))
says "exactly the limit" "to the page, in a fork too"
expect 5 "a page above the limit cannot be reserved" as alice iommuctl run --device $edu_a --memory $(((12 << 20) + 4096)) -- true
says "12 MiB" "and the message says the limit"

# A second process of hers shares the limit.
coproc FIRST { as alice $examples/edu_driver --memory 8MiB --hold $edu_a 2>&1; }
first_out=${FIRST[0]} first_in=${FIRST[1]}
read -r -t 20 line <&"$first_out"
[ "$line" = "DMA OK" ] || { echo "FAIL the first process: $line"; failures=$((failures + 1)); }
expect 5 "a second process gets not one page more than what is left" as alice iommuctl run --device $edu_b --memory $(((4 << 20) + 4096)) -- true
expect 0 "but exactly what is left" as alice iommuctl run --device $edu_b --memory 4MiB -- true
expect 1 "a device in use is busy" as alice iommuctl run --device $edu_a --memory 1MiB -- true
says "$edu_a is held by lease" "and she is told that it is her own lease"
expect 0 "the lease is listed for her" as alice iommuctl leases
says "$edu_a" "with its device"
first_pid=$FIRST_PID
exec {first_in}>&-
eventually 20 "the first process ends" bash -c "! kill -0 $first_pid"
eventually 10 "the device is free once its holder has ended" device_is $edu_a available

expect 3 "bob has no rule" as bob iommuctl run --device $edu_a -- true
says "bob" "the message names him"
says "$edu_a" "and the device"
expect 1 "an unknown device" as alice iommuctl run --device 0000:00:1e.7 -- true
says "no PCI device 0000:00:1e.7" "is named"
expect 1 "a device on a host driver" as alice iommuctl run --device 0000:00:08.0 -- true
says "e1000e" "the driver is named"
eventually 10 "no lease is left" no_leases
eventually 10 "no keeper is left" no_keepers
finish
