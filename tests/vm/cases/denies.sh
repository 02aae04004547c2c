#!/usr/bin/env bash
# A deny for alice, or for a group of hers, holds for whoever pays with her account or bears one of her subordinate uids,
# and cannot be shed by dropping the group.
# kernel: newest
# long: 6.12
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
uids=(0 1 500 1000 65536)
# hears ANSWER WHAT GROUPS: what alice and subordinate uids of hers hear in a namespace that she enters with GROUPS.
hears() {
    expect 0 "$2" python3 "$here/denies.py" "$3" $edu_b "${uids[@]}"
    [ "$output" = "$(printf "%s: $1\n" "${uids[@]}")" ] || { echo "FAIL $1: $output"; failures=$((failures + 1)); }
}
asks() { # asks ANSWER WHAT COMMAND...: what whoever runs COMMAND hears
    expect 0 "$2" "${@:3}" env PYTHONPATH="$here" python3 "$here/verdict.py" $edu_b
    [ "$output" = "$1" ] || { echo "FAIL $1: $output"; failures=$((failures + 1)); }
}
alone=(setpriv --reuid alice --regid alice --clear-groups --no-new-privs --)
in_vfio=(setpriv --regid vfio --clear-groups --no-new-privs --reuid)
no_such='{ "id": "no-such-user-is-denied", "effect": "deny", "subjects": [ { "uids": "4000-4001" } ] }'
rules() { # rules ACCOUNTS RULE: everybody may, but for what RULE says
    policy "{ \"version\": 1, \"accounts\": [ { \"match\": { \"user\": \"alice\" }, \"memory\": \"12MiB\" }, $1 ],
      \"rules\": [ { \"id\": \"all\", \"effect\": \"allow\", \"allow_no_reset\": true, \"devices\": [ { \"vendor\": \"1234\", \"device\": \"11e8\" } ],
                   \"subjects\": [ { \"user\": \"alice\" }, { \"user\": \"bob\" }, { \"uids\": \"100000-165535\" } ] }, $2 ] }"
}
charged='{ "match": { "uids": "100000-165535" }, "charge": "alice" }, { "match": { "user": "bob" }, "charge": "alice" }'
own='{ "match": { "uids": "100000-165535" }, "memory": "4MiB" }, { "match": { "user": "bob" }, "memory": "4MiB" }'

echo "== nothing is denied to anybody here"
rules "$charged" "$no_such"
hears given "alice and subordinate uids are given the device" 1002
asks given "and so is bob" as bob

echo "== a deny for alice"
rules "$charged" '{ "id": "not-alice", "effect": "deny", "subjects": [ { "user": "alice" } ] }'
hears AccessDenied "holds for those who are charged to her" 1000
asks AccessDenied "bob is one of them" as bob
rules "$own" '{ "id": "not-alice", "effect": "deny", "subjects": [ { "user": "alice" } ] }'
hears AccessDenied "and for her subordinate uids, whoever pays" 1000
asks given "bob is nobody of hers now" as bob

echo "== a deny for a group"
sed -i 's/^vfio:.*/vfio:x:1002:alice/' /etc/group
for accounts in "$charged" "$own"; do
    rules "$accounts" '{ "id": "not-vfio", "effect": "deny", "subjects": [ { "group": "vfio" } ] }'
    hears AccessDenied "in the namespace, the group kept" keep,1002
    hears AccessDenied "in the namespace, the group dropped" 1002
    asks AccessDenied "alice, logged in without the group" "${alone[@]}"
    asks AccessDenied "alice, logged in with it" as alice
done
asks given "bob, who is not in it" as bob
asks AccessDenied "bob, once he is, by a group that /etc/group does not know of" "${in_vfio[@]}" bob --
iommuctl policy explain --user alice $edu_b >/tmp/explained
expect 0 "an administrator is told why" grep -q not-vfio /tmp/explained

echo "== that the group was dropped is true: an allow for it does not hold"
sed -i 's/^vfio:.*/vfio:x:1002:alice,bob/' /etc/group
policy '{ "version": 1, "accounts": [ { "match": { "user": "alice" }, "memory": "12MiB" },
                                      { "match": { "uids": "100000-165535" }, "charge": "alice" } ],
          "rules": [ { "id": "vfio", "effect": "allow", "allow_no_reset": true, "subjects": [ { "group": "vfio" } ],
                       "devices": [ { "vendor": "1234", "device": "11e8" } ] } ] }'
asks given "alice has the group" as alice
asks AccessDenied "and here she has not, whatever /etc/group says" "${alone[@]}"
hears AccessDenied "nor when she dropped it in a namespace" 1002
uids=(0)
hears given "where she may keep it" keep,1002
eventually 20 "no lease is left" no_leases
eventually 20 "no keeper is left" no_keepers
finish
