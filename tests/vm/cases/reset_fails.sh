#!/usr/bin/env bash
# A device whose reset works for one holder and fails before the next one has it: it goes to nobody else.
# kernel: newest
# long: 6.12
# qemu-args: -device pcie-root-port,id=port9,addr=9,chassis=9,x-speed=2_5,hotplug=off -device e1000e,bus=port9,addr=0.0 -device virtio-rng-pci,bus=port9,addr=1.0,disable-legacy=on
# append: pci=pcie_scan_all
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
policy '{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "12MiB" }, { "match": { "user": "bob" }, "memory": "12MiB" } ],
  "rules": [ { "id": "cards", "effect": "allow", "subjects": [ { "user": "alice" }, { "user": "bob" } ],
               "devices": [ { "path": "00:09.0/01.0" } ] } ]
}'
device=$(basename /sys/devices/pci0000:00/0000:00:09.0/*:01.0)
to_vfio "$device"
eventually 20 "it is available" device_is "$device" available
run() { as "$1" iommuctl run --device "$device" --memory 1MiB -- python3 "$here/virtio_register.py" "{device:$device}" "${@:2}"; }

expect 0 "alice leaves something in it" run alice deadbeef
eventually 20 "her lease ends" no_leases
expect 0 "bob has it with a reset that works" run bob
says "found 00000000" "and without what she left"
eventually 20 "his lease ends" no_leases

echo "== Its reset fails from now on, while alice has it"
coproc ALICE { run alice deadbeef stay 2>&1; }
alice_in=${ALICE[1]}
read -r -t 60 line <&"${ALICE[0]}"
expect 0 "alice leaves something in it again" [ "$line" = "found 00000000, left deadbeef" ]
echo >"/sys/bus/pci/devices/$device/reset_method"
exec {alice_in}>&-
eventually 20 "her lease ends" no_leases
expect 3 "bob does not get it" run bob
says "cannot be reset between holders" "for that reason"
eventually 20 "nothing is left of that" no_leases
expect 0 "alice does, who had it last" run alice
eventually 20 "her lease ends" no_leases
systemctl restart iommud
expect 3 "nor does bob after a restart of the monitor" run bob
eventually 20 "nothing is left of that" no_leases
finish
