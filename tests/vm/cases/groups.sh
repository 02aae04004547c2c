#!/usr/bin/env bash
# Two functions in one IOMMU group, behind a bridge to conventional PCI: what one of them is on decides for the other. And
# what programs outside of the daemon hold.
# kernel: newest
# long: 6.12
# qemu-args: -device pcie-pci-bridge,id=pci9,addr=9 -device edu,bus=pci9,addr=1.0,multifunction=on -device virtio-rng-pci,bus=pci9,addr=1.1
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
policy '{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "12MiB" } ],
  "rules": [ { "id": "edus", "effect": "allow", "subjects": [ { "user": "alice" } ],
               "devices": [ { "vendor": "1234" }, { "vendor": "1af4" } ], "allow_no_reset": true } ]
}'
devices=/sys/bus/pci/devices
one=$(cd $devices && for device in *:01.0; do [ "$(cat "$device/vendor")" != 0x1234 ] || echo "$device"; done)
two=${one%0}1
unbind() { echo "$1" >"$devices/$1/driver/unbind"; }
run() { as alice iommuctl run --device "$1" --memory 1MiB -- true; }
explained() { as alice iommuctl policy explain "$1"; }
shown() { iommuctl device show "$1"; }
listed() { iommuctl cdi generate; }

expect 0 "both functions are in one group" test "$(readlink "$devices/$one/iommu_group")" = "$(readlink "$devices/$two/iommu_group")"
eventually 20 "one is on no driver" device_is "$one" unbound
eventually 20 "the other on one of the host's" device_is "$two" host
expect 0 "which is shown" shown "$two"
says "virtio" "by its name"
expect 1 "a device on no driver is refused" run "$one"
says "vfio-pci" "and an administrator is told what to do"

echo "== One that VFIO has, beside one that the host has"
to_vfio "$one"
eventually 20 "it is blocked" device_is "$one" blocked
expect 0 "it is shown" shown "$one"
says "$two" "by whom"
expect 0 "the list" iommuctl devices
says "$one is blocked: $two in IOMMU group" "says so, too"
expect 1 "it is refused" run "$one"
says "$two" "and an administrator is told what to do"
expect 0 "Explain says that policy allows it" explained "$one"
says "$two" "and what is in the way"
expect 0 "the devices for containers" listed
expect 1 "it is not among them" grep -q "$one" <<<"$output"

echo "== Viable"
unbind "$two"
eventually 20 "beside one on no driver it is available" device_is "$one" available
expect 0 "and leased" run "$one"
eventually 20 "which ends" no_leases
to_vfio "$two"
eventually 20 "the other is available, too" device_is "$two" available
expect 0 "the devices for containers" listed
says "\"${two//:/-}\"" "have it under a name without colons"
expect 0 "that name is one for iommuctl" run "${two//:/-}"
eventually 20 "the lease ends" no_leases

echo "== A node that is not root's"
node=/dev/vfio/devices/$(ls $devices/$edu_a/vfio-dev)
chown alice "$node"
expect 1 "a device whose node was given away is refused" run "$edu_a"
says "it is not root's any more" "by that"
chown root "$node"
eventually 20 "and given when it is root's again" run "$edu_a"
eventually 20 "the lease ends" no_leases

echo "== Programs outside of the daemon"
# hold WHAT: by a program of root's, until its input ends.
hold() {
    coproc HOLDER { exec python3 "$here/vfio_holder.py" "$@"; }
    holder_in=${HOLDER[1]}
    read -r -t 60 line <&"${HOLDER[0]}"
    [ "$line" = held ] || { echo "FAIL the holder: $line"; failures=$((failures + 1)); }
}
let_go() { exec {holder_in}>&-; wait; }
hold device "$edu_a"
expect 1 "a device that another program has bound is refused" run "$edu_a"
says "a program outside of iommud has it bound" "by that"
let_go
eventually 20 "and given when it is not" run "$edu_a"
eventually 20 "the lease ends" no_leases
hold group "$edu_a"
expect 1 "one whose group is open is refused" run "$edu_a"
says "has its group open" "by that"
let_go
eventually 20 "and given when it is not" run "$edu_a"
hold device "$one"
expect 1 "one of whose group a member is bound elsewhere is refused" run "$two"
says "has a device of its IOMMU group" "by that"
let_go
eventually 20 "and given when it is not" run "$two"
eventually 20 "the lease ends" no_leases
finish
