#!/usr/bin/env bash
# A VF token and devices that have nothing to do with SR-IOV: a caller's is refused, for nobody would look at it, and a
# rule's is for others. The token itself is told to nobody. Virtual functions: sriov.sh.
# kernel: newest
# long: 6.12
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
token=bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3
rules_token=0d8d9d2b-5a5f-4f5a-a211-f591514ba1f3
acquire() { # acquire OPTIONS
    as alice python3 "$here/bus.py" /org/iommud1 org.iommud1.Manager.Acquire 'asa{sv}' "[[\"$edu_a\"], {$1}]"
}

policy "$alice_policy"
expect 1 "a token for a device that is no virtual function" acquire "\"vf_token\": [\"s\", \"$token\"]"
says InvalidArgument "is refused"
says "none of the devices takes one" "for that reason"
expect 1 "what is no token" acquire '"vf_token": ["s", "swordfish"]'
says InvalidArgument "is refused, too"
eventually 20 "nothing is left of it" device_is $edu_a available

policy "${alice_policy/\"effect\": \"allow\"/\"effect\": \"allow\", \"vf_token\": \"$rules_token\"}"
expect 0 "with the token of a rule there is a lease" as alice $examples/edu_driver $edu_a
says "DMA OK" "with DMA"
eventually 20 "which ends" no_leases
expect 0 "the policy is shown" iommuctl policy show
says "VF token" "with the fact that there is one"
expect 1 "the token is not in what is shown" grep -q "$rules_token" <<<"$output"
expect 1 "nor are any in the journal" bash -c "journalctl -b -o verbose | grep -e $token -e $rules_token -e swordfish"
finish
