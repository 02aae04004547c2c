#!/usr/bin/env bash
# The uids that keepers run as are nobody's else, by /etc/passwd and /etc/subuid, and an account's for as long as the
# machine runs; another range can be set. What keeps the vault from starting for good.
# kernel: newest
# long: 6.12
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
policy '{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "4MiB" }, { "match": { "user": "bob" }, "memory": "4MiB" } ],
  "rules": [ { "id": "theirs", "effect": "allow", "subjects": [ { "user": "alice" }, { "user": "bob" } ],
               "devices": [ { "vendor": "1234", "device": "11e8" } ], "allow_no_reset": true } ]
}'
first=$((0x70000000))
# keeper_uid USER UID: a lease's keeper for USER runs as UID.
keeper_uid() {
    start_agent "$1" $edu_a $((1 << 20))
    expect 0 "$1's keeper runs as $2" [ "$(stat -c %u "/proc/$(pgrep -o -x iommud-keeper)")" = "$2" ]
    stop_agent
    eventually 20 "the lease ends" no_leases
}
refused_to_start() {
    [ "$(systemctl show -P ActiveState iommud-vault) $(systemctl show -P ExecMainStatus iommud-vault)" = "failed 78" ]
}
said() { journalctl -u iommud-vault --since "$since" -o cat | grep -F -- "$1"; }
acquire_as() { as "$1" iommuctl run --device $edu_a --memory 4KiB -- true; }

echo "== somebody's from the start"
cp /etc/subuid /tmp/subuid
since=$(date '+%F %T')
echo "mallory:$((first - 10)):100" >>/etc/subuid
systemctl restart iommud-vault || echo "as expected"
eventually 10 "the vault does not start, and is not tried again" refused_to_start
expect 0 "the journal names file, line, owner and range" said "/etc/subuid:$(wc -l </etc/subuid) gives mallory the uids $((first - 10))-$((first + 89)), but $first-"
sleep 1
expect 0 "a second later it is so still" refused_to_start
expect 0 "as it was tried once" [ "$(said mallory | wc -l)" = 1 ]
cp /tmp/subuid /etc/subuid
expect 0 "without that line it starts" systemctl restart iommud-vault
eventually 20 "and lends" acquire_as alice
keeper_uid alice "$first"

echo "== somebody's since"
echo "mallory:x:$((first + 1)):100::/:/bin/false" >>/etc/passwd
expect 1 "bob's account gets no uid of mallory's" acquire_as bob
says "gives mallory the uid $((first + 1))" "and is told whose it is"
keeper_uid alice "$first"
sed -i '/^mallory:/d' /etc/passwd
keeper_uid bob "$((first + 1))"

echo "== a kernel whose pages are too large"
mkdir -p /run/systemd/system/iommud-vault.service.d
printf '[Service]\nEnvironment=LD_PRELOAD=/usr/libexec/iommud-tests/large_pages.so\n' \
    >/run/systemd/system/iommud-vault.service.d/pages.conf
systemctl daemon-reload
since=$(date '+%F %T')
systemctl restart iommud-vault || echo "as expected"
eventually 10 "the vault does not start, and is not tried again" refused_to_start
expect 0 "one line says why" said "this kernel cannot be served: its pages have 256 KiB, and at most 64 KiB are served"
expect 0 "and says it once" [ "$(said 'cannot be served' | wc -l)" = 1 ]
rm /run/systemd/system/iommud-vault.service.d/pages.conf
systemctl daemon-reload
expect 0 "on this one it starts" systemctl restart iommud-vault

echo "== until the next boot"
systemctl restart iommud-vault
eventually 20 "the vault lends again" acquire_as bob
keeper_uid bob "$((first + 1))"
mkdir -p /run/systemd/system/iommud-vault.service.d
printf '[Service]\nExecStart=\nExecStart=%s --keeper-uids 2100000000-2100000001\n' \
    "$(systemctl cat iommud-vault | sed -n 's/^ExecStart=//p')" >/run/systemd/system/iommud-vault.service.d/uids.conf
systemctl daemon-reload
systemctl restart iommud-vault
eventually 20 "with another range it lends" acquire_as alice
keeper_uid alice "$first"
policy '{ "version": 1, "accounts": [ { "match": { "uids": "0-65535" }, "memory": "4MiB" } ],
  "rules": [ { "id": "all", "effect": "allow", "subjects": [ { "uids": "0-65535" } ],
    "devices": [ { "vendor": "1234", "device": "11e8" } ], "allow_no_reset": true } ] }'
keeper_uid root 2100000000

echo "== more accounts than are kept"
rm /run/systemd/system/iommud-vault.service.d/uids.conf
systemctl daemon-reload
systemctl stop iommud-vault iommud
python3 - <<'END'
with open("/run/iommud/slots", "a") as file:
    for i in range(65536):
        file.write(f"{200000 + i} {0x70000100 + i}\n")
    file.write("999999 18790")
END
since=$(date '+%F %T')
systemctl start iommud-vault iommud
eventually 30 "the vault starts with 65,536 of them" acquire_as bob
expect 0 "the journal says that half a line was not read" said "the last line is cut off"
own=$((0x70000100 + 65536 + 1))
keeper_uid bob $own
cgroups=/sys/fs/cgroup$(systemctl show -P ControlGroup iommud-vault)
count() { find "$cgroups" -maxdepth 1 -name 'account-*' | wc -l; }
for i in $(seq 65281 65535); do mkdir "$cgroups/account-$((0x70000100 + i))"; done
expect 0 "255 of others and bob's have a cgroup" [ "$(count)" = 256 ]
keeper_uid alice $((own + 1))
expect 0 "with one more account, one that was quiet for long has none any more" [ "$(count)" = 256 ]
expect 0 "the file is short" [ "$(wc -l </run/iommud/slots)" -lt 300 ]
keeper_uid bob $own
systemctl restart iommud-vault
eventually 30 "the next vault lends" acquire_as bob
keeper_uid alice $((own + 1))
finish
