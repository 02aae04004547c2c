#!/usr/bin/env bash
# Whoever holds a device can keep the lock of its bus for ever (hazard C37): another user's Acquire of a device of that bus
# is told so after a while, and all else goes on.
# kernel: newest
# long: 6.12
# qemu-args: -device pcie-root-port,id=port9,addr=9,chassis=9,x-speed=2_5,hotplug=off -device e1000e,bus=port9,addr=0.0 -device e1000e,bus=port9,addr=1.0
# append: pci=pcie_scan_all
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
policy '{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "12MiB" }, { "match": { "user": "bob" }, "memory": "12MiB" } ],
  "rules": [ { "id": "alices", "effect": "allow", "subjects": [ { "user": "alice" } ], "allow_no_reset": true,
               "devices": [ { "path": "00:09.0/00.0" } ] },
             { "id": "bobs", "effect": "allow", "subjects": [ { "user": "bob" } ], "allow_no_reset": true,
               "devices": [ { "path": "00:09.0/01.0" }, { "vendor": "1234" } ] } ]
}'
mkdir -p /run/systemd/system/iommud.service.d
printf '[Service]\nExecStart=\nExecStart=%s --grant-timeout 10\n' "$(systemctl cat iommud | sed -n 's/^ExecStart=//p')" \
    >/run/systemd/system/iommud.service.d/timeout.conf
systemctl daemon-reload
systemctl restart iommud
one=$(basename /sys/devices/pci0000:00/0000:00:09.0/*:00.0)
two=${one%00.0}01.0
to_vfio "$one"
to_vfio "$two"
bob() { as bob timeout 60 iommuctl run --device "$1" --memory 1MiB -- true; }
eventually 20 "both are available" device_is "$one" available
eventually 20 "bob gets his, while nobody is in the way" bob "$two"
eventually 20 "the lease ends" no_leases

mkdir -p /tmp/fuse
python3 "$here/fuse_server.py" /tmp/fuse writes >/tmp/fuse.log 2>&1 &
fuse_pid=$!
eventually 60 "a FUSE server serves" grep -q ready /tmp/fuse.log
coproc ALICE { as alice iommuctl run --device "$one" --memory 1MiB -- python3 "$here/bus_lock.py" "{device:$one}" /tmp/fuse/file 2>&1; }
alice_in=${ALICE[1]}
read -r -t 60 line <&"${ALICE[0]}"
expect 0 "alice has a page written back" [ "$line" = writes ]
eventually 20 "which takes for ever" grep -q "a write waits" /tmp/fuse.log
echo >&"$alice_in"
read -r -t 60 line <&"${ALICE[0]}"
expect 0 "her call's argument is in that page" [ "$line" = attaches ]
# Two threads of hers wait in the kernel: the one that writes, and the call.
waiting() { grep -l '^State:.*D' /proc/"$(pgrep -f "bus_lock.py" | tail -1)"/task/*/status | wc -l; }
both_wait() { [ "$(waiting)" = 2 ]; }
eventually 20 "and waits with the lock of the bus" both_wait
expect 1 "bob is answered" bob "$two"
says "keeps the lock of the bus" "what is in the way"
expect 0 "a device on another bus is his for the asking" bob "$edu_a"

echo "== The page is written"
kill "$fuse_pid"
wait "$fuse_pid"
umount -l /tmp/fuse
exec {alice_in}>&-
eventually 60 "no lease is left" no_leases
eventually 60 "no keeper is left" no_keepers
eventually 60 "bob gets his device again" bob "$two"
finish
