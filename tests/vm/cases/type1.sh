#!/usr/bin/env bash
# A kernel whose VFIO makes no nodes of devices, so that its iommufd is of no use: the same leases, by VFIO groups and type1
# containers, one of them for each lease.
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
policy "$alice_policy"

expect 0 "there is an iommufd" test -c /dev/iommu
expect 1 "and no node of a device for it" test -e /dev/vfio/devices
expect 0 "the daemon says which kernel interface it uses" as alice iommuctl status
says type1 "type1"
expect 0 "alice's driver does DMA" as alice $examples/edu_driver $edu_a
says "DMA OK" "and says so"
eventually 20 "the device is free again" device_is $edu_a available
expect 3 "bob has no rule" as bob iommuctl run --device $edu_a -- true
expect 1 "mode direct is refused" as alice iommuctl run --mode direct --device $edu_a -- true
says "type1" "because of the kernel's interface"
expect 1 "a device on a host driver is refused" as alice iommuctl run --device 0000:00:08.0 -- true
says e1000e "by its driver's name"
expect 0 "exactly up to her limit" as alice env PYTHONPATH="$here" iommuctl run --device $edu_a --memory 12MiB -- \
    python3 "$here/limit.py" '{lease}' $((12 << 20))
says "exactly the limit" "to the page, in a fork too"
expect 5 "a page above the limit cannot be reserved" as alice iommuctl run --device $edu_a --memory $(((12 << 20) + 4096)) -- true
eventually 20 "that lease has ended" no_leases

echo "== maps and unmaps without end take no memory for good"
start_agent alice $edu_a 8MiB
of_keeper() { sed -n "s/^$1:[^0-9]*\([0-9]*\) kB/\1/p" "/proc/$(pgrep -o -x iommud-keeper)/status"; }
ask "pairs 1000" "done" "a thousand"
tables=$(of_keeper VmPTE) data=$(of_keeper VmData)
ask "pairs 10000" "done" "and ten thousand more"
expect 0 "the keeper's page tables are no larger" test "$(of_keeper VmPTE)" -le "$tables"
expect 0 "nor is its memory" test "$(of_keeper VmData)" -le "$data"
stop_agent
eventually 20 "it is free" device_is $edu_a available

echo "== two leases"
start_agent alice $edu_a 8MiB
ask "map 8388608" "0 0x1000000" "a lease with all of its memory mapped"
ask dma OK "does DMA"
expect 1 "its device is busy" as alice iommuctl run --device $edu_a --memory 4KiB -- true
says "$edu_a is held by lease" "by name"
expect 5 "another lease gets not one page more than what is left" as alice iommuctl run --device $edu_b --memory $(((4 << 20) + 4096)) -- true
expect 0 "and all of what is left, to the page" as alice env PYTHONPATH="$here" \
    iommuctl run --device $edu_b --memory 4MiB -- python3 "$here/limit.py" '{lease}' $((4 << 20))
eventually 20 "the second has ended" reserved_is 1000 $((8 << 20))
ask dma OK "the first still does DMA"
expect 0 "policy is loaded again" iommuctl reload
ask "unmap 0x1000000" "0 8388608" "it unmaps"
ask "map 8388608" "0 0x1000000" "and maps to its last page again"
stop_agent
eventually 20 "it is free" device_is $edu_a available

echo "== released, the device's descriptor kept"
start_agent alice $edu_a 4MiB
ask "map 1048576" "0 0x1000000" "a lease"
ask dma OK "does DMA"
ask close-lease closed "it is released, the device's descriptor kept"
eventually 20 "the device drains" device_is $edu_a draining
ask dma BLOCKED "its DMA has ended"
expect 0 "its bytes stay charged" reserved_is 1000 $((4 << 20))
expect 1 "nobody else gets the device" as alice iommuctl run --device $edu_a --memory 4KiB -- true
stop_agent
eventually 20 "the device is free once the descriptor is closed" device_is $edu_a available
expect 0 "and so are the bytes" reserved_is 1000 0

echo "== kill -9 of the keeper"
start_agent alice $edu_a 4MiB
ask "map 1048576" "0 0x1000000" "a lease whose keeper will die"
ask dma OK "does DMA"
pkill -9 -x iommud-keeper
eventually 30 "its DMA ends" asked dma BLOCKED
eventually 30 "the device drains" device_is $edu_a draining
expect 0 "its bytes stay charged" reserved_is 1000 $((4 << 20))
ask query "the lease has ended" "its channel is closed"
stop_agent
eventually 20 "the device is free once the descriptor is closed" device_is $edu_a available

echo "== revoked, and the monitor restarted"
start_agent alice $edu_a 4MiB
ask "map 1048576" "0 0x1000000" "a lease"
expect 0 "systemctl restart iommud" systemctl restart iommud
expect 0 "it is known to the next monitor" device_is $edu_a leased
ask dma OK "and does DMA"
expect 0 "revoked" iommuctl lease revoke \
    "$(iommuctl leases --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["Id"])')"
ask dma BLOCKED "DMA has ended when the revocation is answered"
stop_agent
eventually 20 "the device is free" device_is $edu_a available
expect 0 "a new lease is given" as alice $examples/edu_driver $edu_a
says "DMA OK" "and does DMA"
eventually 20 "no lease is left" no_leases
eventually 20 "no keeper is left" no_keepers
finish
