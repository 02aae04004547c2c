#!/bin/bash
# What README.md promises a script, looked at from inside the guest.
#   devices.sh iommufd|type1
# shellcheck disable=SC2016,SC2317 # functions and expressions are arguments of expect
set -u
failures=0
expect() { # expect WHAT COMMAND...
    if "${@:2}"; then
        echo "ok   $1"
    else
        echo "FAIL $1"
        failures=$((failures + 1))
    fi
}
driver() { [[ $(basename "$(readlink "/sys/bus/pci/devices/0000:00:$1.0/driver")") == "$2" ]]; }
alone() { [[ $(echo "/sys/bus/pci/devices/0000:00:$1.0/iommu_group/devices/"*) == *"/devices/0000:00:$1.0" ]]; }
refused() { ! "$@" 2>/dev/null; }
vfio_number() { [[ -e /sys/bus/pci/devices/0000:00:$1.0/vfio-dev/$2 ]]; }

if [[ $1 == iommufd ]]; then
    expect "/dev/iommu is there" test -c /dev/iommu
    expect "the device nodes are in order" eval 'vfio_number 04 vfio0 && vfio_number 05 vfio1 && vfio_number 06 vfio2'
    expect "the device nodes are there" test -c /dev/vfio/devices/vfio0 -a -c /dev/vfio/devices/vfio2
else
    expect "there is no /dev/iommu" test ! -e /dev/iommu
    expect "there are no device nodes" test ! -e /dev/vfio/devices
fi
expect "/dev/vfio/vfio is there" test -c /dev/vfio/vfio
for slot in 04 05 06; do
    expect "$slot.0 is bound to vfio-pci" driver $slot vfio-pci
    expect "$slot.0 has an IOMMU group of its own" alone $slot
done
expect "08.0 is bound to its host driver" driver 08 e1000e

expect "process 1 is systemd" grep -qx systemd /proc/1/comm
expect "the system bus answers" busctl --quiet --timeout=20 call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus GetId
expect "udev has handled all" udevadm settle --timeout=20
expect "nothing has failed" test -z "$(systemctl list-units --state=failed --plain --no-legend)"
expect "cgroup v2 has its controllers" grep -Ewq 'memory.*pids' /sys/fs/cgroup/cgroup.controllers
expect "huge pages can be had" eval 'echo 4 >/proc/sys/vm/nr_hugepages && test "$(</proc/sys/vm/nr_hugepages)" = 4'
expect "alice is 1000" test "$(id -u alice)" = 1000
expect "bob is 1001" test "$(id -u bob)" = 1001
expect "vfio is a group" grep -qx vfio:x:1002: /etc/group
expect "alice can write at home" setpriv --reuid alice --regid alice --init-groups touch /home/alice/file
expect "alice has subordinate uids" grep -qx alice:100000:65536 /etc/subuid
group=/dev/vfio/$(basename "$(readlink /sys/bus/pci/devices/0000:00:04.0/iommu_group)")
expect "root can open the group" eval ': <>$group'
expect "bob cannot" refused setpriv --reuid bob --regid bob --init-groups bash -c ": <>$group"
expect "the tree is there" test -f "$IOMMUD_TREE/tests/vm/run"
expect "the tree cannot be written to" refused touch "$IOMMUD_TREE/file"
expect "/ can be written to" touch /usr/file
expect "/tmp is a tmpfs" test "$(stat -f -c %T /tmp)" = tmpfs
[[ ! ${2:-} ]] || expect "/out reaches the host" cp /proc/version "/out/$2"
exit $((failures > 0))
