#!/usr/bin/env bash
# A card is added before another one, which so has another address at the next start. Run in a machine without the one
# that is added, and in one with it, with the same policy: rules that know the card by its path or its serial number hold, and the one by its address is another's.
# kernel: newest
# long: 6.12
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
serial=52-54-00-ff-ff-aa-bb-cc
policy '{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "4MiB" }, { "match": { "user": "bob" }, "memory": "4MiB" } ],
  "rules": [ { "id": "by-address", "effect": "allow", "subjects": [ { "user": "alice" } ],
               "devices": [ { "address": "0000:01:00.0" } ] },
             { "id": "by-path", "effect": "allow", "subjects": [ { "user": "bob" } ],
               "devices": [ { "path": "00:09.0/00.0" } ] } ]
}'
card=$(basename /sys/devices/pci0000:00/0000:00:09.0/*:00.0)
to_vfio "$card"
run() { as "$1" iommuctl run --device "$2" --memory 4KiB -- true; }
explained() { as "$1" iommuctl policy explain "$2"; }
eventually 60 "the card is available" device_is "$card" available
expect 0 "the policy is checked" iommuctl policy check
says "rule by-address knows a device by address 0000:01:00.0: addresses and group numbers move" "with a warning"

if [ ! -e /sys/devices/pci0000:00/0000:00:07.0 ]; then
    other=$edu_b
    expect 0 "the card is at its first address" [ "$card" = 0000:01:00.0 ]
    expect 0 "the rule by address is about it" run alice "$card"
else
    other=0000:01:00.0
    to_vfio $other
    eventually 60 "the card that was added is available" device_is $other available
    expect 0 "the card is at another address" [ "$card" = 0000:02:00.0 ]
    expect 3 "the rule by address is not about it" run alice "$card"
    expect 0 "but about the one that was added" run alice $other
    expect 3 "which the rule by path is not about" run bob $other
fi
expect 0 "the rule by path is about the card" run bob "$card"

echo "== By its serial number"
expect 1 "which is for no user to read" as alice cat "/run/iommud/serials/$card"
policy "{
  \"version\": 1,
  \"accounts\": [ { \"match\": { \"user\": \"alice\" }, \"memory\": \"4MiB\" } ],
  \"rules\": [ { \"id\": \"by-serial\", \"effect\": \"allow\", \"subjects\": [ { \"user\": \"alice\" } ],
               \"devices\": [ { \"serial\": \"$serial\" } ] },
             { \"id\": \"not-this\", \"effect\": \"deny\", \"devices\": [ { \"serial\": \"00-00-00-00-00-00-00-00\" } ] } ]
}"
expect 0 "the policy is checked" iommuctl policy check
expect 1 "without a warning" grep -i warning <<<"$output"
eventually 60 "the rule by serial number is about the card" run alice "$card"
expect 3 "and about no other" run alice $edu_a
expect 3 "nor about another card" run alice $other
expect 0 "Explain names the rule" explained alice "$card"
says "by-serial" "by its id"

echo "== When it is not known"
mv "/run/iommud/serials/$card" /run/card
expect 3 "the rule is about nothing" run alice "$card"
says "not-this" "and a deny about all that has no number that is known"
echo "1 $serial" >"/run/iommud/serials/$card"
expect 3 "what was left of another device is not believed" run alice "$card"
mv /run/card "/run/iommud/serials/$card"
expect 0 "until it is there again" run alice "$card"
finish
