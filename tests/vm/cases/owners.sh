#!/usr/bin/env bash
# Whose a subordinate uid is: it pays with its owner's account by /etc/subuid, whatever groups it keeps, and sees its own
# leases only; of more groups than are taken nothing is given.
# long: newest
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"

echo "== with a group kept"
sed -i 's/^vfio:.*/vfio:x:1002:alice/' /etc/group
policy '{
  "version": 1,
  "accounts": [ { "match": { "group": "vfio" }, "memory": "8MiB" } ],
  "rules": [ { "id": "vfio", "effect": "allow", "subjects": [ { "group": "vfio" } ], "allow_no_reset": true,
               "devices": [ { "vendor": "1234", "device": "11e8" }, { "address": "0000:00:05.0" } ] } ]
}'
expect 0 "alice's subordinate uids, with a group of hers, ask one by one" \
    python3 "$here/subordinate.py" by-group 1002 $edu_a 0000:00:05.0 2048
says "the next uid: MemoryLimit" "all of them have one limit"
says "and alice herself: MemoryLimit" "which is hers"
says "account: 1000 8388608" "a subordinate uid is shown her account"
says "the lease's: 1000" "the lease is on her account"
says "seen: True False False" "a lease is seen by the uid that acquired it, and by nobody else of the account"
says "release: NoSuchLease" "nor ended by anybody else"
says "explained: alice (uid 1000) pays | /etc/subuid gives uid 100001 to alice (uid 1000)" "Explain says who pays, and why"
eventually 20 "it ends" no_leases
expect 0 "with more groups than are taken" python3 "$here/subordinate.py" many-groups $edu_a
says "65536: org.iommud1.Error.AccessDenied: uid 1000 has 65536 supplementary groups; who has more than 1024 is given nothing" \
    "nothing is given, and the bound is named"
says "1025: org.iommud1.Error.AccessDenied" "nor with one too many"
says "1024: org.iommud1.Error.AccessDenied: alice (uid 1000) has no rule" "with so many policy is asked, as ever"

echo "== /etc/subuid changes"
sed -i 's/^alice:.*/alice:100000:1\nbob:100002:65534/' /etc/subuid
expect 0 "it is read anew with the policy" iommuctl reload
iommuctl policy explain --user 100002 $edu_a >/tmp/bobs
expect 0 "who has no account has none for his subordinate uids" grep -q "has no account.*/etc/subuid gives uid 100002 to bob (uid 1001)" /tmp/bobs
iommuctl policy explain --user 100000 $edu_a >/tmp/alices
expect 0 "and alice has hers" grep -q "alice (uid 1000) pays" /tmp/alices
echo "bob:100000:1" >>/etc/subuid
iommuctl reload
iommuctl policy explain --user 100000 $edu_a >/tmp/nobodys
expect 0 "a uid of two users is nobody's" grep -q "/etc/subuid gives uid 100000 to several users" /tmp/nobodys
finish
