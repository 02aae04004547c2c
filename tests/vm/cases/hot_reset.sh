#!/usr/bin/env bash
# A device of two functions whose functions have no reset of their own: it goes from one holder to another by a reset of
# its bus, when all that is there is the lease's to reset.
# qemu-args: -device pcie-root-port,id=port9,addr=9,chassis=9,x-speed=2_5 -device e1000e,bus=port9,addr=0.0,multifunction=on -device e1000e,bus=port9,addr=0.1
# kernel: newest
# long: 6.12
# The port is a slow one: QEMU's do not say that their link is up again after a reset, and Linux waits for that of faster ones.
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
policy '{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "12MiB" }, { "match": { "user": "bob" }, "memory": "12MiB" } ],
  "rules": [ { "id": "cards", "effect": "allow", "subjects": [ { "user": "alice" }, { "user": "bob" } ],
               "devices": [ { "path": "00:09.0/00.0" }, { "path": "00:09.0/00.1" } ] } ]
}'
devices=/sys/bus/pci/devices
one=$(basename /sys/devices/pci0000:00/0000:00:09.0/*:00.0)
two=${one%0}1
for function in $one $two; do
    echo >"$devices/$function/reset_method"
    to_vfio "$function"
done
eventually 20 "both are available" device_is "$two" available
expect 0 "one is shown" iommuctl device show "$one"
says "00:09.0/00.0" "with the path that the rule knows it by"
says bus_reset "and by which means it can be reset"
expect 1 "it has no reset of its own" grep -q "reset:" <<<"$output"

# as_holder USER CODE: CODE has `card`, the first function, and `register`, where one of it is that a driver may write.
as_holder() {
    as "$1" iommuctl run --device "$one" --device "$two" --memory 1MiB -- python3 -c "
import os, sys
sys.path.insert(0, '$here')
import edu
card = edu.Edu(int(sys.argv[1]))
register = card.registers + 0x5408  # RAL(1)
$2
print(os.pread(card.fd, 4, register).hex())" "{device:$one}"
}
expect 0 "alice gets both" as_holder alice "os.pwrite(card.fd, bytes.fromhex('deadbeef'), register)"
says deadbeef "and leaves something in a register"
eventually 20 "the lease ends" no_leases
expect 0 "Explain tells bob" as bob iommuctl policy explain "$one"
says "somebody else had $one last, and it is reset only with all that is on its bus" "what one of them alone needs"
expect 0 "bob gets them then, by a reset of their bus" as_holder bob \
    "print(os.pread(card.fd, 4, register).hex()); os.pwrite(card.fd, bytes.fromhex('beefdead'), register)"
says 00000000 "without what alice left"
says beefdead "and leaves something else"
eventually 20 "the lease ends" no_leases
expect 0 "alice gets them again" as_holder alice ""
says 00000000 "without what bob left"
eventually 20 "the lease ends" no_leases
expect 0 "one function alone can be had, too: they are one group" as alice iommuctl run --device "$two" --memory 1MiB -- true
eventually 20 "the lease ends" no_leases

echo "== When the other function is not the lease's to reset"
echo "$two" >"$devices/$two/driver/unbind"
eventually 20 "one of them is on no driver" device_is "$two" unbound
expect 3 "the other cannot be reset, and is refused to whoever did not have it last" as bob iommuctl run --device "$one" --memory 1MiB -- true
says "all that is on its bus" "for that reason"
eventually 20 "nothing is left of it" no_leases
finish
