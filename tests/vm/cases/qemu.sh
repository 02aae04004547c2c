#!/usr/bin/env bash
# An unmodified QEMU that knows iommufd, as alice without any capability, by `iommuctl run --mode direct`. Inside this
# machine there is no KVM: its guest is firmware that looks for something to boot.
# uses: qemu
# kernel: newest
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
# shellcheck source=tests/vm/cases/direct.bash
. "$here/direct.bash"
policy "${direct_policy//12MiB/96MiB}"
qmp=/tmp/alice/qmp
install -d -o alice -g alice /tmp/alice
firmware=/opt/qemu/usr/share
program=(/opt/qemu/usr/bin/qemu-system-x86_64 -L "$firmware/qemu" -L "$firmware/seabios" -M pc -accel tcg -nodefaults
    -no-user-config -display none -qmp "unix:$qmp,server=on,wait=off")

# start_qemu MEMORY ARGUMENT...: with a lease of device A and MEMORY.
start_qemu() {
    as alice iommuctl run --mode direct --device $edu_a --memory "$1" -- "${program[@]}" "${@:2}" >/tmp/alice/log 2>&1 &
    eventually 90 "QEMU answers" monitor "info version"
    qemu=$(pgrep -u alice -x qemu-system-x86)
}
monitor() { as alice python3 "$here/qmp.py" $qmp hmp "$1"; }
monitor_shows() { monitor "$1" | grep -F -- "$2"; }
qemu_is_gone() { ! kill -0 "$qemu" 2>/dev/null; }

echo "== The device in a guest"
start_qemu 64MiB -m 32 -object 'iommufd,id=i,fd={iommu}' -device "vfio-pci,id=d,fd={device:$edu_a},iommufd=i"
expect 0 "info pci shows the device" monitor_shows "info pci" "1234:11e8"
eventually 120 "the guest's firmware has given it an address" monitor_shows "info pci" "BAR0: 32 bit memory at 0xf"
expect 0 "QEMU has alice's uid" [ "$(stat -c %u "/proc/$qemu")" = 1000 ]
expect 1 "and not one capability" grep -E '^Cap(Inh|Prm|Eff|Amb):.*[1-9a-f]' "/proc/$qemu/status"
expect 0 "the kernel counts the guest's memory for her" [ "$(awk '/VmPin/ { print ($2 >= 32 * 1024) }' "/proc/$qemu/status")" = 1 ]
expect 0 "the device is leased" device_is $edu_a leased
kill -KILL "$qemu"
eventually 20 "QEMU is killed" qemu_is_gone
rm -f $qmp
eventually 20 "its lease ends" no_leases
eventually 20 "the device is free" device_is $edu_a available
expect 0 "and nothing is charged" reserved_is 1000 0

echo "== A guest larger than the limit"
start_qemu 32MiB -m 64 -object 'iommufd,id=i,fd={iommu}'
fd=$(find "/proc/$qemu/fd" -lname '/dev/vfio/devices/*' -printf '%f')
expect 1 "cannot be pinned" as alice python3 "$here/qmp.py" $qmp device_add \
    "{ \"driver\": \"vfio-pci\", \"id\": \"d\", \"fd\": \"$fd\", \"iommufd\": \"i\" }"
says "Cannot allocate memory" "the kernel refuses it"
expect 0 "the lease is there" as alice iommuctl leases
says "32 MiB" "and says what the limit is"
says "the kernel refuses it more than its user has RESERVED" "and who refuses more"
monitor quit
eventually 20 "QEMU ends" qemu_is_gone
rm -f $qmp
eventually 20 "its lease too" no_leases
expect 5 "a lease of more is not alice's to have" as alice iommuctl run --mode direct --device $edu_a --memory 97MiB -- true
says "the account's limit is 96 MiB" "and is told why"

echo "== A second device by hotplug"
start_qemu 64MiB -m 32 -object 'iommufd,id=i,fd={iommu}' -device "vfio-pci,id=d,fd={device:$edu_a},iommufd=i"
eventually 60 "one device" monitor_shows "info pci" "1234:11e8"
expect 0 "Lease.Add, getfd and device_add" as alice python3 "$here/qmp.py" $qmp device_add \
    '{ "driver": "vfio-pci", "id": "e", "fd": "added", "iommufd": "i", "addr": "9" }' "$(lease_number)" $edu_b
expect 0 "two devices" [ "$(monitor "info pci" | grep -c 1234:11e8)" = 2 ]
expect 0 "of one lease" device_is $edu_b leased
kill -KILL "$qemu"
eventually 20 "QEMU is killed" qemu_is_gone
rm -f $qmp
eventually 20 "the lease ends" no_leases
eventually 20 "the first device is free" device_is $edu_a available
eventually 20 "and the second" device_is $edu_b available
finish
