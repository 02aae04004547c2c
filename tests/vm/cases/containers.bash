# shellcheck shell=bash
# What the cases of containers share: their policy, bundles of an OCI runtime's, and what has to be left of none.
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
bundles=/tmp/bundles
mkdir -p $bundles
# Containers have both devices, each as the host's uid 0 or as a subordinate uid, which is charged to alice.
containers_policy='{
  "version": 1,
  "accounts": [ { "match": { "user": "root" }, "memory": "12MiB" }, { "match": { "user": "alice" }, "memory": "12MiB" },
                { "match": { "uids": "100000-165535" }, "charge": "alice" } ],
  "rules": [ { "id": "containers", "effect": "allow", "devices": [ { "vendor": "1234", "device": "11e8" } ], "allow_no_reset": true,
               "subjects": [ { "endpoint": "*", "user": "root" }, { "endpoint": "*", "uids": "100000-165535" }, { "user": "alice" } ] } ]
}'

# bundle NAME OPTION... -- PROGRAM...: a new bundle, in place of an older one.
bundle() {
    rm -rf "${bundles:?}/$1"
    mkdir "$bundles/$1"
    python3 "$here/bundle.py" "$bundles/$1" "${@:2}"
}
run() { timeout 60 "$1" run -b "$bundles/$2" "$2"; }
edu_a_wanted=(--annotation "org.iommud.devices=$edu_a")
# start RUNTIME NAME: in the background, until its program has said "DMA OK".
start() {
    mkfifo "$bundles/$2/input"
    sleep 600 >"$bundles/$2/input" &
    "$1" run -b "$bundles/$2" "$2" <"$bundles/$2/input" >"$bundles/$2/output" 2>&1 &
    runtime_pid=$!
    eventually 60 "$1 starts container $2, which does DMA" grep -q "DMA OK" "$bundles/$2/output"
}
holder() { bundle "$1" "${@:2}" -- $examples/edu_driver --memory 1MiB --hold $edu_a; }
no_endpoints() { [ -z "$(ls -A /run/iommud/endpoints)" ]; }
# refused WHAT RUNTIME NAME WHY: the container does not start, and this very hook says why. crun keeps that to itself,
# the journal has it.
refused() {
    local journal before status=0
    before=$(journalctl -b -n 1 -o cat --show-cursor | sed -n 's/^-- cursor: //p')
    output=$(run "$2" "$3" 2>&1) || status=$?
    # Not by -t: with that the first entry after the cursor is left out.
    journal=$(journalctl --sync; journalctl -b -o short --after-cursor="$before" | grep -F 'iommud-oci-hook[')
    if ((status)) && [[ -n $4 && $journal == *"$4"* ]] && [[ $2 == crun || $output == *iommud-oci-hook* ]]; then
        echo "ok   $1"
    else
        echo "FAIL $1: exit $status, \"$journal\", $output"
        failures=$((failures + 1))
    fi
}
# Of a mounted endpoint only the folder's own name is certain, wherever /run comes from.
no_mounts() { ! grep -qs "iommud/endpoints/" /proc/[0-9]*/mountinfo; }
nothing_charged() { [ "$(iommuctl accounts --json | python3 -c 'import json, sys
print(sum(a["MemoryReserved"] + a["MemoryMapped"] + a["Leases"] for a in json.load(sys.stdin)))')" = 0 ]; }
nothing_left() {
    eventually 20 "nothing is left: no endpoint" no_endpoints
    eventually 20 "no lease" no_leases
    eventually 20 "no keeper" no_keepers
    eventually 20 "nothing charged" nothing_charged
    eventually 20 "nothing mounted" no_mounts
}
gone() { # RUNTIME NAME
    "$1" delete --force "$2" >/dev/null 2>&1
    eventually 20 "nothing is left of container $2: no endpoint" no_endpoints
    eventually 20 "and no lease" no_leases
}
