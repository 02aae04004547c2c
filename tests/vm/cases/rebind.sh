#!/usr/bin/env bash
# A device that was out unbound (hazard C5): a former holder that kept a descriptor of it. It goes to the same user at
# once, and to nobody else before its driver has been bound anew.
# kernel: newest
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
# shellcheck source=tests/vm/cases/direct.bash
. "$here/direct.bash"
policy "$direct_policy"
bob_gets_it() { as bob $examples/edu_driver $edu_a | grep -q "DMA OK"; }

start_direct alice 1MiB $edu_a
ask "close lease iommu" closed "alice ends her lease and keeps the device, unbound"
eventually 20 "the lease has ended" no_leases
expect 0 "the device is available" device_is $edu_a available
expect 0 "and tainted" tainted $edu_a True
expect 0 "alice may have it at once" as alice $examples/edu_driver $edu_a
says "DMA OK" "with DMA"
eventually 20 "that lease ends" no_leases

expect 1 "bob may not" as bob $examples/edu_driver $edu_a
says "bound anew" "and is told why"
eventually 30 "the driver is being unbound" device_is $edu_a unbound
expect 1 "bob may not have it meanwhile" as bob $examples/edu_driver $edu_a
says "bound anew" "for the same reason"
expect 0 "the monitor is restarted meanwhile" systemctl restart iommud.service
expect 0 "the taint is there" tainted $edu_a True
expect 1 "and bob may not have it" as bob $examples/edu_driver $edu_a
expect 0 "the vault is restarted" systemctl restart iommud-vault.service
eventually 60 "the taint is there again" tainted $edu_a True
expect 1 "and bob may not have it" as bob $examples/edu_driver $edu_a
says "bound anew" "for the same reason"
ask "close 0" closed "alice closes it"
eventually 30 "the taint is gone" tainted $edu_a False
eventually 30 "bob has it, with DMA" bob_gets_it
eventually 20 "his lease ends" no_leases
stop_agent

# A rebind that no monitor saw.
start_direct alice 1MiB $edu_b
stop_agent
eventually 20 "another lease has ended" no_leases
expect 0 "its device is tainted" tainted $edu_b True
systemctl stop iommud.service iommud.socket iommud-admin.socket
echo $edu_b >/sys/bus/pci/drivers/vfio-pci/unbind
echo $edu_b >/sys/bus/pci/drivers/vfio-pci/bind
systemctl start iommud.socket iommud.service
expect 0 "a rebind while there was no monitor clears it" tainted $edu_b False
expect 0 "no rebind has failed" bash -c "! journalctl -b -u iommud-rebind | grep -i 'not bound anew'"
finish
