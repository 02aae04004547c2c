#!/usr/bin/env bash
# hazards.sh [HAZARD...]: without arguments all of them.
# The traps that shaped the design (hazards C1, C2, C3, C10, C16, H1, H4 and H8), each as a client would set it.
# processors: 2
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
export agent_program=hazard_client.py
policy '{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "12MiB" }, { "match": { "user": "bob" }, "charge": "alice" } ],
  "rules": [ { "id": "edu-for-both", "effect": "allow", "subjects": [ { "user": "alice" }, { "user": "bob" } ],
               "devices": [ { "vendor": "1234", "device": "11e8" } ] } ]
}'
bus() { as "$1" python3 "$here/bus.py" "${@:2}"; }
released() { # released WHAT: nothing is left of any lease
    eventually 30 "$1" no_leases
    expect 0 "and the ledger is at zero" reserved_is 1000 0
}
# pinned_is KIB: what the kernel says the one keeper has pinned.
pinned_is() { [ "$(sed -n 's/^VmPin:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$(pgrep -x iommud-keeper)/status")" = "$1" ]; }

c1() {
    echo "== C1: what is pinned again after a detach is the client's own memory"
    start_agent alice $edu_a 12MiB
    ask "map first plain 65536 0x1000000" "0 0x1000000" "a map"
    ask "dma first 0x1000000" OK "does DMA"
    expect 0 "the kernel counts it" pinned_is 64
    ask detach detached "the client detaches its device"
    expect 0 "which unpins nothing: the page table is the lease's own" pinned_is 64
    ask "dma first 0x1000000" BLOCKED "which reaches nothing then"
    ask "map second plain 65536 0x2000000" "0 0x2000000" "the keeper maps more meanwhile"
    ask "map third plain 65536 0x3000000" "0 0x3000000" "and more"
    ask "unmap 0x3000000" "0 65536" "and unmaps something"
    ask attach "attached to 1" "the client attaches it again"
    ask "dma first 0x1000000" OK "the first map is still its own memory"
    ask "dma second 0x2000000" OK "and so is the second"
    ask "dma third 0x3000000" BLOCKED "the third is gone"
    ask detach detached "it detaches again"
    ask "unmap 0x1000000" "0 65536" "unmaps the first while detached"
    ask "map fourth plain 65536 0x1000000" "0 0x1000000" "maps other memory in its place"
    ask "map fifth plain 65536 0x4000000" "0 0x4000000" "and some elsewhere"
    ask "unmap 0x2000000" "0 65536" "unmaps the second"
    ask attach "attached to 1" "and attaches"
    ask "dma fourth 0x1000000" OK "DMA meets what is mapped there now"
    ask "dma fifth 0x4000000" OK "there, too"
    ask "dma first 0x1000000" BLOCKED "and not what was"
    ask "dma second 0x2000000" BLOCKED "or was elsewhere"
    ask mapped 131072 "the count is right"
    stop_agent
    released "nothing is left of that lease"
}

c2() {
    echo "== C2: memory that the client may not write is not written by its device"
    start_agent alice $edu_a 12MiB
    for kind in read-only write-sealed future-sealed; do
        ask "map $kind $kind 65536 0x1000000 rw" "11 0x4" "$kind memory is refused for the device to write"
        ask "map $kind $kind 65536 0x1000000 w" "11 0x4" "$kind memory is refused for writes alone"
        ask "map $kind $kind 65536 0x1000000 r" "0 0x1000000" "$kind memory is mapped for the device to read"
        [ $kind != read-only ] || ask "dma $kind 0x1000000" BLOCKED "and it does not write to it"
        ask "unmap 0x1000000" "0 65536" "$kind memory is unmapped"
    done
}

c3() {
    echo "== C3: pages that are not there are made, and cleared; those that are stay, whatever becomes of the file"
    for kind in untouched allocated holed; do
        ask "map $kind $kind 65536 0x1000000" "0 0x1000000" "$kind memory is mapped"
        [ $kind = holed ] || ask "content $kind" zeroes "$kind memory is cleared"
        ask "dma $kind 0x1000000" OK "what the device writes to $kind memory is not lost"
        ask "unmap 0x1000000" "0 65536" "$kind memory is unmapped"
    done
    ask "map scratch plain 65536 0x2000000" "0 0x2000000" "a map to look through"
    ask "map punched plain 65536 0x1000000" "0 0x1000000" "a map to be punched"
    ask "dma punched 0x1000000" OK "does DMA"
    ask "punch punched" punched "a hole is punched into the file"
    ask "content punched" zeroes "the file has new pages"
    ask "probe 0x1000000 0x2000000" kept "the device goes on with the pinned ones"
    ask "content punched" zeroes "and does not write to the file's"
    ask mapped 131072 "the figures are what they were"
    expect 0 "the account's too" reserved_is 1000 $((12 << 20))
    ask "unmap 0x1000000" "0 65536" "and come back in full"
    ask "map rest plain $(((12 << 20) - 65536)) 0x4000000" "0 0x4000000" "to the page: all the rest can be mapped"
    ask "map more plain 4096 0x3000000" "5 0x0" "and not a page more"
    stop_agent
    released "nothing is left of that lease"
}

c10() {
    echo "== C10: a client that attaches in a loop does not keep its lease"
    for ending in close revoke; do
        start_agent alice $edu_a 1MiB
        ask "map memory plain 65536 0x1000000" "0 0x1000000" "a lease ($ending)"
        ask storm storm "attaches and detaches without a pause"
        if [ $ending = close ]; then
            ask close-lease closed "its descriptor is closed"
        else
            expect 0 "it is revoked" iommuctl lease revoke \
                "$(iommuctl leases --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["Id"])')"
        fi
        eventually 90 "it drains all the same" device_is $edu_a draining
        ask "dma memory 0x1000000" BLOCKED "DMA is blocked"
        ask calm calm "the storm is over"
        eventually 30 "nothing is left to attach to" asked attach "Invalid argument, No such file or directory"
        ask "dma memory 0x1000000" BLOCKED "DMA is still blocked"
        stop_agent
        eventually 30 "the device is free when its descriptor is closed" device_is $edu_a available
        released "and its bytes"
    done
}

c16() {
    echo "== C16: who shares an account shares its limit, and nothing else"
    start_agent alice $edu_a 8MiB
    ask "map memory plain $((8 << 20)) 0x1000000" "0 0x1000000" "alice maps 8 MiB of the 12"
    lease=/org/iommud1/lease/$(iommuctl leases --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["Id"])')
    expect 0 "bob, who is charged to her, lists leases" as bob iommuctl leases --json
    [ "$output" = "[]" ] || { echo "FAIL bob sees: $output"; failures=$((failures + 1)); }
    expect 1 "he cannot release hers" bus bob "$lease" org.iommud1.Lease.Release 'a{sv}' '[{}]'
    says NoSuchLease "it is no lease of his"
    expect 1 "nor add to it" bus bob "$lease" org.iommud1.Lease.Add 'asa{sv}' "[[\"$edu_b\"], {}]"
    says NoSuchLease "likewise"
    expect 1 "nor read it" bus bob "$lease" org.freedesktop.DBus.Properties.Get ss '["org.iommud1.Lease", "Devices"]'
    expect 0 "it is there still" device_is $edu_a leased
    expect 5 "he gets not one page more than what she left" as bob iommuctl run --device $edu_b --memory $(((4 << 20) + 4096)) -- true
    expect 0 "and all of what she left, to the page" as bob env PYTHONPATH="$here" \
        iommuctl run --device $edu_b --memory 4MiB -- python3 "$here/limit.py" '{lease}' $((4 << 20))
    expect 0 "bob's lease has ended, and alice's has not" eventually 20 "he is gone" reserved_is 1000 $((8 << 20))
    ask "dma memory 0x1000000" OK "hers does DMA"
    stop_agent
    released "nothing is left of that lease"
}

h8() {
    echo "== H8: a lease ends whatever is done to its descriptor"
    for act in "shutdown RD" "shutdown WR" "shutdown RDWR" empty rubbish flood; do
        start_agent alice $edu_a 1MiB
        ask "map memory plain 65536 0x1000000" "0 0x1000000" "a lease ($act)"
        case $act in
        "shutdown RD") # the kernel does not tell the keeper that its answers will not be read, until it gives one
            ask "$act" "shut down" "$act"
            ask mapped "the lease has ended" "the next answer finds nobody"
            ;;
        shutdown*) ask "$act" "shut down" "$act" ;;
        flood) ask flood ended "answers are not read until one does not fit" ;;
        *) ask "$act" sent "$act" ;;
        esac
        eventually 30 "it ends, its device drains" device_is $edu_a draining
        ask "dma memory 0x1000000" BLOCKED "and DMA is blocked"
        stop_agent
        released "nothing is left of it"
    done
    for act in immortal own-channel; do
        start_agent alice $edu_a 1MiB
        ask "map memory plain 65536 0x1000000" "0 0x1000000" "a lease ($act)"
        echo $act >&"$agent_in"
        eventually 30 "the client ends with its lease's descriptor under way" bash -c "! kill -0 $agent_pid"
        eventually 30 "the device is free" device_is $edu_a available
        released "nothing is left of the lease"
    done
}

h4() {
    echo "== H4: a descriptor whose close never ends"
    mkdir -p /tmp/fuse
    coproc FUSE { exec python3 "$here/fuse_server.py" /tmp/fuse; }
    fuse_pid=$FUSE_PID fuse_out=${FUSE[0]}
    read -r -t 30 line <&"$fuse_out"
    [ "$line" = ready ] || { echo "FAIL the FUSE server: $line"; failures=$((failures + 1)); }
    start_agent alice $edu_a 1MiB
    ask "map memory plain 65536 0x1000000" "0 0x1000000" "a lease"
    ask "map-fd /tmp/fuse/file" "11 0x2" "a FUSE file is refused as memory"
    ask mapped 65536 "the keeper does not wait for its server"
    ask "dma memory 0x1000000" OK "DMA goes on"
    lease=$(iommuctl leases --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["Id"])')
    expect 0 "the lease is revoked while the server is silent" iommuctl lease revoke "$lease"
    ask "dma memory 0x1000000" BLOCKED "its DMA has ended"
    echo quit >&"$agent_in" # it waits for its own server when it exits
    exec {agent_in}>&-
    read -r -t 30 line <&"$fuse_out"
    [ "$line" = "a close waits" ] || { echo "FAIL the FUSE server heard: $line"; failures=$((failures + 1)); }
    expect 0 "the daemon answers while a keeper cannot exit" as alice iommuctl status
    expect 0 "and gives other leases" as bob $examples/edu_driver --memory 1MiB $edu_b
    says "DMA OK" "that do DMA"
    (as alice python3 "$here/hostile.py" fuse /tmp/fuse/file) & # its worker is stuck, too
    worker_client=$!
    read -r -t 30 line <&"$fuse_out"
    [ "$line" = "a close waits" ] || { echo "FAIL the FUSE server heard, of the worker: $line"; failures=$((failures + 1)); }
    expect 0 "the daemon answers while a worker is stuck" as alice iommuctl status
    expect 0 "and gives other leases then" as bob $examples/edu_driver --memory 1MiB $edu_b
    expect 0 "it is even restarted" systemctl restart iommud
    expect 0 "and knows the lease that is still charged" reserved_is 1000 $((1 << 20))
    kill "$fuse_pid"
    wait "$worker_client"
    released "nothing is left of that lease"
    umount -l /tmp/fuse
}

h1() {
    echo "== H1: a keeper that waits in BIND for a minute"
    keeper_path=/usr/libexec/iommud/iommud-keeper
    cp $keeper_path /tmp/keeper
    mkdir -p /run/systemd/system/iommud-vault.service.d
    printf '[Service]\nEnvironment=IOMMUD_FAILPOINT=bind:sleep=600\n' >/run/systemd/system/iommud-vault.service.d/failpoint.conf
    systemctl daemon-reload
    systemctl restart iommud-vault
    eventually 60 "the daemon is back" iommuctl status
    # The installed keeper knows no failpoint: only the one that is started between the two renames has one.
    swap() { cp "$1" $keeper_path.new && mv $keeper_path.new $keeper_path; }
    as bob env PYTHONPATH="$here" python3 "$here/latency.py" $edu_b 30 >/tmp/before
    swap /usr/libexec/iommud-tests/iommud-keeper-failpoints
    as alice iommuctl run --device $edu_a --memory 1MiB -- true >/tmp/sleeper 2>&1 &
    sleeper=$!
    eventually 30 "a keeper is asleep in BIND" pgrep -f iommud-keeper
    swap /tmp/keeper
    expect 0 "its device is taken" device_is $edu_a leased
    for _ in 1 2 3; do # one slow moment of the emulator is nobody's fault; a daemon that waits is slow each time
        as bob env PYTHONPATH="$here" python3 "$here/latency.py" $edu_b 30 >/tmp/during
        expect 0 "the keeper still sleeps" kill -0 "$sleeper"
        python3 "$here/latency.py" --compare /tmp/before /tmp/during 3 >/dev/null && break
    done
    expect 0 "everybody else's p99 is what it was" python3 "$here/latency.py" --compare /tmp/before /tmp/during 3
    echo "$output"
    expect 0 "the vault answers: a restarted monitor serves" systemctl restart iommud
    expect 0 "and knows the lease that is being made" device_is $edu_a leased
    pkill -9 -f iommud-keeper
    wait "$sleeper"
    rm /run/systemd/system/iommud-vault.service.d/failpoint.conf
    eventually 60 "the device is free" device_is $edu_a available
    released "nothing is left of that lease"
    eventually 30 "no keeper is left" no_keepers
}

(($#)) || set -- c1 c2 c3 c10 c16 h8 h4 h1
for hazard in "$@"; do
    $hazard
done
finish
