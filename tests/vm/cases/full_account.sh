#!/usr/bin/env bash
# An account whose cgroup its holder has filled, with memory that is no longer mapped: leases end as ever, and nobody else
# notices. Its keeper waits in the kernel, or is killed; a new lease begins.
# kernel: 6.12
# long: newest
# processors: 2
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
export agent_program=filling.py PYTHONPATH=$here
dmesg -n 1
policy '{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "12MiB" }, { "match": { "user": "bob" }, "memory": "12MiB" } ],
  "rules": [ { "id": "edu", "effect": "allow", "subjects": [ { "user": "alice" }, { "user": "bob" } ],
               "devices": [ { "vendor": "1234", "device": "11e8" }, { "address": "0000:00:05.0" } ], "allow_no_reset": true } ]
}'
mkdir -p /tmp/fuse
python3 "$here/fuse_server.py" /tmp/fuse writes >/tmp/fuse.log 2>&1 &
fuse_pid=$!
eventually 60 "a FUSE server serves" grep -q ready /tmp/fuse.log

# fill LEASE-DEVICE: with the pages that a second lease's keeper faulted in, up to the last.
fill() {
    as alice env PYTHONPATH="$here" iommuctl run --device "$1" --memory 2MiB -- \
        python3 "$here/filling.py" '{lease}' "{device:$1}" all >/tmp/filler 2>&1 &
    filler=$!
    eventually 120 "alice fills the cgroup of her account" grep -q "^full" /tmp/filler
    expect 0 "to less than a page of each keeper's" test $(($(cat "$cgroup/memory.max") - $(cat "$cgroup/memory.current"))) -lt 65536
}
end_fill() { kill -9 "$(pgrep -f 'filling.py .* all' | head -1)"; wait "$filler" 2>/dev/null; }
kernel_lines() { journalctl -k -b -o cat --no-pager | wc -l; }
acquires() { expect 0 "bob acquires as ever" as bob timeout 30 iommuctl run --device 0000:00:05.0 --memory 4KiB -- true; }

for ending in killed stuck; do
    echo "== a keeper that is $ending in an account that is full"
    start_agent alice $edu_a 4MiB
    ask map mapped "alice has a lease"
    ask dma OK "which does DMA"
    keeper=$(pgrep -o -x iommud-keeper)
    cgroup=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$keeper/cgroup")
    fill $edu_b
    before=$(kernel_lines)
    if [ $ending = stuck ]; then
        ask stick sent "what the keeper receives waits for a server that does not answer"
        expect 0 "the lease is revoked" timeout 60 iommuctl lease revoke \
            "$(iommuctl leases --json | python3 -c 'import json, sys
print(*(l["Id"] for l in json.load(sys.stdin) if "'$edu_a'" in l["Devices"]))')"
    else
        kill -9 "$keeper"
        eventually 60 "a successor ends the lease" device_is $edu_a draining
    fi
    ask dma BLOCKED "its DMA has ended"
    acquires
    expect 5 "a new lease of her account is refused" as alice timeout 60 iommuctl run --device 0000:00:05.0 --memory 4KiB -- true
    says "memory.max is reached" "and she is told why"
    lines=$(($(kernel_lines) - before))
    expect 0 "the kernel has not complained without end: $lines lines" test $lines -lt 1000
    [ $ending != stuck ] || kill $fuse_pid # the agent's own end waits for it, too
    stop_agent
    end_fill
    eventually 60 "her devices are free" device_is $edu_a available
    eventually 60 "both" device_is $edu_b available
done
eventually 60 "who waited has gone" no_keepers
finish
