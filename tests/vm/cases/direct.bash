# shellcheck shell=bash
# What the cases of mode direct share; lib.sh comes first.

direct_policy='{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "12MiB" }, { "match": { "user": "bob" }, "memory": "12MiB" } ],
  "rules": [ { "id": "edu-direct", "effect": "allow", "subjects": [ { "user": "alice" }, { "user": "bob" } ],
               "devices": [ { "vendor": "1234", "device": "11e8" } ], "modes": [ "managed", "direct" ],
               "allow_no_reset": true, "allow_uncleared_memory": true } ]
}'

# start_direct USER MEMORY DEVICE...: direct_agent.py with a lease of these; ask, asked and stop_agent are for it.
start_direct() {
    local user=$1 memory=$2 device asked=() given=()
    shift 2
    for device in "$@"; do
        asked+=(--device "$device")
        given+=("{device:$device}")
    done
    coproc AGENT { as "$user" env PYTHONPATH="$here" iommuctl run --mode direct "${asked[@]}" --memory "$memory" -- \
        python3 "$here/direct_agent.py" '{lease}' '{iommu}' "${given[@]}" 2>&1; }
    agent_is_ready
}

agent_is_gone() { ! kill -0 "$agent_pid" 2>/dev/null; }
# The agent was killed, or is about to be.
forget_agent() {
    eventually 20 "$1" agent_is_gone
    exec {agent_in}>&-
}

device_property() { iommuctl devices --json | python3 -c 'import json, sys
for d in json.load(sys.stdin): print(d[sys.argv[2]]) if d["Address"] == sys.argv[1] else None' "$1" "$2"; }
tainted() { [ "$(device_property "$1" Tainted)" = "$2" ]; }
lease_number() { iommuctl leases --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["Id"])'; }
lease_is() { [ "$(iommuctl leases --json | python3 -c 'import json, sys; print([l["State"] for l in json.load(sys.stdin)])')" = "['$1']" ]; }
mapped() { iommuctl accounts --json | python3 -c 'import json, sys
print(sum(a["MemoryMapped"] for a in json.load(sys.stdin) if a["Uid"] == int(sys.argv[1])))' "$1"; }
