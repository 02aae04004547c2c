#!/usr/bin/env bash
# What the vault gives by itself, whatever a monitor asks; and that no policy which loads, nor any bound, costs more than a
# lease.
# long: newest
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
# lease_policy MEMORY MAPS
lease_policy() { policy '{
  "version": 1, "host": { "memory": "100%" },
  "accounts": [ { "match": { "user": "alice" }, "memory": "'"$1"'" } ],
  "rules": [ { "id": "edu-for-alice", "effect": "allow", "subjects": [ { "user": "alice" } ],
               "devices": [ { "vendor": "1234", "device": "11e8" } ], "maps": '"$2"' } ] }'; }
restarts() { systemctl show --property NRestarts --value "$1"; }
get() { as alice iommuctl run --device $edu_a --memory 4KiB -- true; }
hostile_monitor() { python3 "$here/hostile_monitor.py" "$@"; }

echo "== Whatever policy check takes, everybody takes"
for change in "12MiB 16384" "12MiB 32000" "1024TiB 4096"; do
    # shellcheck disable=SC2086
    expect 0 "a policy of $change loads" lease_policy $change
    expect 0 "and gives a lease" get
    eventually 10 "which ends" no_leases
done
for change in "12MiB 32001" "12MiB 65535" "4194304TiB 4096"; do
    # shellcheck disable=SC2086
    expect 1 "a policy of $change does not load" lease_policy $change
    says "10-test.json:" "and says where"
    expect 0 "the one before holds" get
    eventually 10 "a lease of it ends" no_leases
done
lease_policy 256MiB 32000
expect 0 "no monitor has died" test "$(restarts iommud)" = 0

echo "== As many maps as there can be"
expect 0 "32,000 of one page, and not one more" as alice env PYTHONPATH="$here" iommuctl run --device $edu_a --memory 256MiB -- \
    python3 -c '
import sys, lease
channel, memory, maps = lease.Lease(int(sys.argv[1])), lease.memory(4096), 0
# By address: the kernel walks all neighbours to choose one.
place = lambda: 0x1000000 + maps * 8192
while channel.map(memory, 4096, iova=place())[0] == 0:
    maps += 1
print(maps, channel.map(memory, 4096, iova=place()))' '{lease}'
says "32000 (" "the keeper has room for all of them"
eventually 60 "the lease ends" no_leases

echo "== A monitor under an attacker's control"
systemctl stop iommud.socket iommud-admin.socket iommud.service
vault_pid=$(systemctl show --property MainPID --value iommud-vault)
expect 0 "it asks for more maps than there can be" hostile_monitor $edu_a 32001
says "refused: 32001 maps, the vault takes 1 to 32000" "and is told the bound"
expect 0 "for more memory" hostile_monitor $edu_a 16 $((1 << 62))
says "refused: $((1 << 62)) memory reserved" "and is told"
parameter=/sys/module/iommufd/parameters/allow_unsafe_interrupts
echo Y >$parameter
expect 0 "it asks while $parameter is Y" hostile_monitor $edu_a
says "refused: $parameter is Y" "the vault itself refuses"
echo N >$parameter
expect 0 "it sets limits beyond all memory" hostile_monitor $edu_a limit
says "limits 4096 $((64 << 20)) then 4096 $((64 << 20))" "and they stay what they were"
expect 0 "otherwise it could have any device" hostile_monitor $edu_a
says granted "for it is what decides"
expect 0 "the vault is the same" test "$(systemctl show --property MainPID --value iommud-vault)" = "$vault_pid"
finish
