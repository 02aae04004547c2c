#!/usr/bin/env bash
# A host that does not remap interrupts: no device is lent, and everybody is told why before the kernel is asked.
# kernel: 6.12
# long: newest
# append: intremap=off
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
policy "$alice_policy"
reason="switch interrupt remapping on"

expect 0 "devices are listed" iommuctl devices
says "$edu_a is unsafe" "as unsafe"
says "$reason" "with the reason"
expect 0 "a device is shown" iommuctl device show $edu_a
says "intremap=off" "with the reason"
expect 0 "Explain says that policy allows it" as alice iommuctl policy explain $edu_a
says "$reason" "and why it is not given"
expect 1 "it is not given" as alice iommuctl run --device $edu_a -- true
expect 1 "the error says that trying again does not help" as alice python3 "$here/bus.py" /org/iommud1 \
    org.iommud1.Manager.Acquire 'asa{sv}' "[[\"$edu_a\"], {}]"
says "DeviceRefused" "by its name"
says "$reason" "for that reason"
expect 0 "the devices for containers" iommuctl cdi generate
expect 1 "are none" grep -q '"0000' <<<"$output"
expect 1 "the kernel does not lend it either" python3 "$here/vfio_holder.py" device $edu_a </dev/null
says "Operation not permitted" "and says no more than that"
finish
