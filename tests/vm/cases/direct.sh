#!/usr/bin/env bash
# direct.sh [PART...]: without arguments all of them.
# Mode direct: a program binds, attaches and maps by itself, within what its account has reserved; and what ends that.
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
# shellcheck source=tests/vm/cases/direct.bash
. "$here/direct.bash"
mib=$((1 << 20))

named() {
    echo "== A rule has to name the mode"
    policy "$alice_policy"
    expect 3 "a rule without modes gives managed leases only" as alice iommuctl run --mode direct --device $edu_a -- true
    says "in mode managed, not direct" "and the message says so"
    policy "$direct_policy"
    expect 0 "the daemon says what it gives" iommuctl status --json
    says '"direct"' "direct is among its features"
}

freed() {
    echo "== Who could read what others freed gets no context, unless a rule says so"
    local without=${direct_policy/, \"allow_uncleared_memory\": true/}
    [[ $without != "$direct_policy" ]] || { echo "FAIL the policy has no allow_uncleared_memory"; failures=$((failures + 1)); }
    policy "$without"
    expect 0 "status says which it is" iommuctl status --json
    if [[ $(uname -r) == 6.12.* ]]; then
        says '"freed_memory_unreachable"' "this kernel has no MAP_FILE"
        expect 0 "so that it is given" as alice iommuctl run --mode direct --device $edu_a --memory 1MiB -- true
    else
        says '"freed_memory_exposed"' "this kernel has MAP_FILE, and clears nothing"
        expect 1 "so that it is refused" as alice iommuctl run --mode direct --device $edu_a --memory 1MiB -- true
        says "init_on_alloc=1" "and the message says what can be done"
        says "allow_uncleared_memory" "in the rule, too"
        expect 3 "Explain says no" as alice iommuctl policy explain --mode direct $edu_a
        says "init_on_alloc=1" "for the same reason"
        expect 0 "managed leases are given" as alice iommuctl run --device $edu_a --memory 1MiB -- true
    fi
    policy "$direct_policy"
    eventually 20 "the device is free" no_leases
    expect 0 "a rule that says so gives it" as alice iommuctl run --mode direct --device $edu_a --memory 1MiB -- true
    expect 0 "and Explain says so" as alice iommuctl policy explain --mode direct $edu_a
    eventually 20 "no lease is left" no_leases
}

maps() {
    echo "== A program maps by itself, up to what was reserved"
    start_direct alice 8MiB $edu_a
    ask limit "$((8 * mib)) $((8 * mib))" "its RLIMIT_MEMLOCK is the reservation"
    ask "bind 0" bound "it binds the device to its context"
    ask "attach 0" attached "and attaches it"
    ask "map $mib 0x1000000" mapped "a map"
    ask "dma 0 0x1000000" OK "does DMA"
    ask "map $((7 * mib)) 0x2000000" mapped "exactly what was reserved can be mapped"
    ask "map 4096 0x4000000" "Cannot allocate memory" "and not a page more"
    ask channel-map "8 0" "the keeper does not map for it"
    expect 0 "the lease is listed" as alice iommuctl leases
    says direct "with its mode"
    expect 0 "the account has it reserved" reserved_is 1000 $((8 * mib))
    expect 0 "which counts as mapped" test "$(mapped 1000)" = $((8 * mib))
    expect 0 "the device is tainted" tainted $edu_a True
    expect 5 "a managed lease of hers gets no more than the rest" as alice iommuctl run --device $edu_b --memory $((4 * mib + 4096)) -- true
    expect 0 "but all of that" as alice iommuctl run --device $edu_b --memory 4MiB -- true
    eventually 10 "which ends" device_is $edu_b available
    expect 0 "another program's direct lease" as alice iommuctl run --mode direct --device $edu_b --memory 1MiB -- bash -c 'ulimit -l'
    says $((9 * 1024)) "has the sum of both for its limit: the kernel compares the user's total"
    eventually 10 "which ends" device_is $edu_b available
    eventually 10 "and the first one's is what it was" asked limit "$((8 * mib)) $((8 * mib))"
    expect 0 "the monitor is killed" systemctl kill -s KILL iommud.service
    eventually 60 "its successor knows the taint" tainted $edu_a True
    expect 0 "and the reservation" reserved_is 1000 $((8 * mib))
    ask "dma 0 0x1000000" OK "DMA went on"
    stop_agent
    eventually 20 "the lease ends with the program" no_leases
    expect 0 "nothing is reserved" reserved_is 1000 0
    expect 0 "the taint stays" tainted $edu_a True
}

ends() {
    echo "== The end of a lease whose program lives"
    start_direct alice 4MiB $edu_a
    ask "bind 0" bound "it binds"
    ask "attach 0" attached "attaches"
    ask "ioas 40" made "has address spaces beside"
    ask "attach 0" attached "attaches to the last of them"
    ask "map 8192 0x1000000" mapped "maps"
    ask "dma 0 0x1000000" OK "DMA"
    ask "close lease" closed "it closes its lease channel"
    eventually 20 "the lease is over, and drains" lease_is draining
    ask "dma 0 0x1000000" BLOCKED "its DMA is blocked"
    ask limit "$((4 * mib)) $((4 * mib))" "its limit is what it was"
    expect 0 "all is charged still" reserved_is 1000 $((4 * mib))
    ask "close 0" closed "it closes the device"
    eventually 20 "the lease has ended" no_leases
    eventually 10 "its limit is its own again" asked limit "$own_limit"
    stop_agent

    start_direct alice 4MiB $edu_a
    ask "bind 0" bound "another program binds"
    ask "attach 0" attached "attaches"
    ask "map 8192 0x1000000" mapped "maps"
    ask "dma 0 0x1000000" OK "DMA"
    expect 0 "its keeper is killed" pkill -KILL -x iommud-keeper
    eventually 20 "the lease is over" lease_is draining
    ask "dma 0 0x1000000" BLOCKED "its DMA is blocked"
    stop_agent
    eventually 20 "the lease ends with it" no_leases
}

revoked() {
    echo "== Revoke unmaps and kills"
    start_direct alice 4MiB $edu_a
    ask "bind 0" bound "a program binds"
    ask "attach 0" attached "attaches"
    ask "map 8192 0x1000000" mapped "maps"
    ask "dma 0 0x1000000" OK "DMA"
    expect 0 "its lease is revoked" iommuctl lease revoke "$(lease_number)" --reason "a test"
    forget_agent "the program is killed"
    eventually 20 "the lease has ended" no_leases
    expect 0 "nothing is reserved" reserved_is 1000 0

    start_direct alice 4MiB $edu_a
    ask "bind 0" bound "a program that is asked"
    expect 0 "its lease is revoked with grace" iommuctl lease revoke "$(lease_number)" --grace 600 --reason "a test"
    ask "close 0 iommu lease" closed "lets go"
    eventually 20 "the lease has ended" no_leases
    ask limit "$own_limit" "and it lives"
    stop_agent

    start_direct alice 4MiB $edu_a
    ask "close lease" closed "a program closes its lease and keeps an unbound device and its context"
    eventually 20 "the lease has ended" no_leases
    ask limit "$own_limit" "it lives, with its own limit"
    stop_agent

    start_direct alice 4MiB $edu_a
    ask "bind 0" bound "a program binds"
    ask "close lease" closed "and closes its lease"
    eventually 20 "the lease drains" lease_is draining
    expect 0 "it is revoked" iommuctl lease revoke "$(lease_number)" --reason "a test"
    forget_agent "the program is killed"
    eventually 20 "the lease has ended" no_leases
}

# The keeper of a lease can be kept waiting by what its holder sends; the holder's end cannot.
held_up() {
    echo "== A holder that holds its keeper up"
    mkdir -p /tmp/fuse
    coproc FUSE { exec python3 "$here/fuse_server.py" /tmp/fuse keepers; }
    local fuse_pid=$FUSE_PID fuse_out=${FUSE[0]} line=
    read -r -t 60 line <&"$fuse_out"
    [ "$line" = ready ] || { echo "FAIL the FUSE server: $line"; failures=$((failures + 1)); }
    start_direct alice 4MiB $edu_a
    ask "bind 0" bound "a program binds"
    ask "attach 0" attached "attaches"
    ask "map 8192 0x1000000" mapped "maps"
    ask "dma 0 0x1000000" OK "DMA"
    ask "park /tmp/fuse/file" parked "it sends a file whose close waits for ever"
    expect 0 "its lease is revoked within 5 s" timeout 5 iommuctl lease revoke "$(lease_number)" --reason "a test"
    eventually 2 "and the program is dead" agent_is_gone
    exec {agent_in}>&-
    eventually 20 "the lease has ended" no_leases

    start_direct alice 4MiB $edu_a
    ask "bind 0" bound "another program binds"
    ask "attach 0" attached "attaches"
    ask "burst 300 /tmp/fuse/file" sent "and sends a queue full of such files"
    eventually 20 "that ends its lease, which drains" lease_is draining
    expect 0 "whatever it maps now" asked "map 8192 0x1000000" mapped
    eventually 5 "is unmapped soon" asked "dma 0 0x1000000" BLOCKED
    expect 0 "the lease is revoked within 5 s" timeout 5 iommuctl lease revoke "$(lease_number)" --reason "a test"
    eventually 2 "and the program is dead" agent_is_gone
    exec {agent_in}>&-
    eventually 20 "the lease has ended" no_leases

    start_direct alice 4MiB $edu_a
    ask "bind 0" bound "a third program binds"
    expect 0 "it is to be revoked in ten minutes" iommuctl lease revoke "$(lease_number)" --grace 600 --reason "a test"
    expect 0 "its keeper is killed" pkill -KILL -x iommud-keeper
    forget_agent "it is killed then: nobody would ask it any more"
    eventually 20 "the lease has ended" no_leases
    expect 1 "no successor was told that before it was told what it is" \
        bash -c 'journalctl -b -o cat -u iommud-vault | grep "its keeper exited 1"'
    kill "$fuse_pid"
    wait "$fuse_pid"
    umount -l /tmp/fuse
    eventually 20 "no keeper is left" no_keepers
}

refused() {
    echo "== To whom no context is given"
    local want=(iommuctl run --mode direct --device "$edu_a" --memory 1MiB -- true)
    expect 3 "CAP_IPC_LOCK" setpriv --reuid alice --regid alice --init-groups --inh-caps=+ipc_lock --ambient-caps=+ipc_lock -- "${want[@]}"
    says "CAP_IPC_LOCK" "is named"
    expect 3 "CAP_IPC_LOCK that is only inheritable" setpriv --reuid alice --regid alice --init-groups --inh-caps=+ipc_lock -- "${want[@]}"
    says "CAP_IPC_LOCK" "is named"
    install -o bob -m 4755 "$(command -v iommuctl)" /usr/local/bin/iommuctl-of-bob
    expect 3 "a set-uid program" setpriv --reuid alice --regid alice --init-groups --inh-caps=-all -- \
        iommuctl-of-bob "${want[@]:1}"
    says "set-uid" "is named"
    install -g vfio -m 2755 "$(command -v iommuctl)" /usr/local/bin/iommuctl-of-vfio
    expect 3 "a set-gid program" setpriv --reuid alice --regid alice --init-groups --inh-caps=-all -- \
        iommuctl-of-vfio "${want[@]:1}"
    says "set-gid" "is named"
    expect 3 "a user namespace" as alice unshare -U "${want[@]}"
    says "initial user namespace" "is named"
    expect 3 "Explain says the same" as alice unshare -U iommuctl policy explain --mode direct $edu_a
    says "initial user namespace" "and why"
    expect 0 "and the same user without any of it" as alice "${want[@]}"
    eventually 20 "gets a lease" no_leases
}

# limit_of PID: its hard RLIMIT_MEMLOCK, in bytes.
limit_of() { prlimit --pid "$1" --memlock --output HARD --noheadings --raw; }
forked() { cat "/tmp/forked.$1"; }
limit_is() { [ "$(limit_of "$1")" = "$2" ]; }
# None of alice's processes has more than BYTES; one that has just gone has nothing.
none_above() {
    local pid limit
    for pid in $(pgrep -u alice); do
        limit=$(limit_of "$pid" 2>/dev/null) || continue
        [ "$limit" -le "$1" ] || { echo "$pid has $limit"; return 1; }
    done
}
in_vaults_mounts() { nsenter -m -t "$(systemctl show -P MainPID iommud-vault)" "$@"; }
journal_says() { journalctl -b -o cat -u iommud-vault | grep -q "$1"; }
end_forked() { pkill -KILL -u alice -f direct_agent.py; pkill -KILL -u 100005 -f direct_agent.py; true; }

inherited() {
    echo "== What is forked while a lease is held does not keep its limit"
    local own=${own_limit#* } raised=$((11 * mib)) kind
    expect 0 "a lease raises the limit" test "$own" -lt $raised
    as alice sleep 1000 &
    local other=$!
    prlimit --pid $other --memlock=$((64 * mib))
    start_direct alice 11MiB $edu_a
    for kind in plain lower subordinate; do
        ask "fork $kind" forked "a child, $kind"
    done
    eventually 10 "the child is in a user namespace" bash -c "[ \"\$(readlink /proc/$(forked subordinate)/ns/user)\" != \"\$(readlink /proc/self/ns/user)\" ]"
    echo "0 100005 1" >"/proc/$(forked subordinate)/uid_map"
    eventually 10 "and has a subordinate uid" grep -q "^Uid:.100005" "/proc/$(forked subordinate)/status"
    expect 0 "they have the lease's limit" limit_is "$(forked plain)" $raised
    stop_agent
    eventually 30 "the lease ends" no_leases
    for kind in plain lower subordinate; do
        expect 0 "the child, $kind, has what its user had before" limit_is "$(forked $kind)" "$own"
    done
    expect 0 "nobody of the user's" none_above $((64 * mib))
    expect 0 "who has more of its own keeps that" limit_is $other $((64 * mib))
    end_forked
    kill $other

    start_direct alice 11MiB $edu_a
    ask "fork plain" forked "a child that outlives a lease"
    expect 0 "is there when another lease is asked for" iommuctl lease revoke "$(lease_number)" --reason "a test"
    forget_agent "its parent is killed"
    eventually 30 "the lease ends" no_leases
    start_direct alice 1MiB $edu_a
    expect 0 "while the next lease is held it has no more than its user's own" limit_is "$(forked plain)" "$own"
    ask limit "$mib $mib" "and the holder what is reserved"
    ask "own-limit 65536" set "the holder lowers its own"
    ask "close lease iommu 0" closed "and lets go"
    eventually 30 "the lease ends" no_leases
    ask limit "65536 65536" "it keeps what it made of it: nothing is given back that it gave up"
    stop_agent
    end_forked

    echo "== What cannot be looked at is not taken for clean"
    start_direct alice 11MiB $edu_a
    expect 0 "the vault sees no more of processes" in_vaults_mounts mount --bind /dev/null /proc/1/status
    stop_agent
    eventually 60 "it says that it finds no end" journal_says "stays charged: processes of uid 1000"
    expect 0 "the account is charged" reserved_is 1000 $raised
    expect 0 "it sees them again" in_vaults_mounts umount /proc/1/status
    eventually 60 "and the lease ends" no_leases
    expect 0 "nothing is reserved" reserved_is 1000 0

    echo "== Who forks faster than he is found stays charged"
    start_direct alice 11MiB $edu_a
    for _ in 1 2 3; do
        ask "fork chain" forked "a chain of children"
    done
    stop_agent
    eventually 30 "either they are found, or the account is charged" bash -c "$(declare -f none_above limit_of reserved reserved_is); none_above $own || reserved_is 1000 $raised"
    if no_leases; then
        expect 0 "the lease has ended: nobody has its limit" none_above "$own"
    fi
    touch /tmp/no-chain
    eventually 60 "when they stop they are found, and the lease ends" no_leases
    expect 0 "nothing is reserved" reserved_is 1000 0
    expect 0 "nobody has its limit" none_above "$own"
    end_forked

    echo "== A fork that was begun before brings forth a child that has it still"
    rm /tmp/no-chain
    start_direct alice 11MiB $edu_a
    ask "fork slow" forked "a child whose forks take long"
    stop_agent
    expect 124 "as long as it forks it is found, or the account is charged" timeout 20 bash -c \
        "$(declare -f none_above limit_of reserved reserved_is); while none_above $own || reserved_is 1000 $raised; do sleep 0.2; done"
    touch /tmp/no-chain
    eventually 120 "when it stops it is found, and the lease ends" no_leases
    sleep 3 # nobody may come to light after this
    expect 0 "nobody has its limit" none_above "$own"
    end_forked
}

roots() {
    echo "== Root's processes keep their limits, whatever root leases"
    policy "${direct_policy//\"user\": \"bob\"/\"user\": \"root\"}"
    as root sleep 1000 &
    local other=$!
    prlimit --pid $other --memlock=$((9 * mib)) # less than what the lease gives, and more than what root has
    eventually 30 "the device, which alice had unbound, is bound anew for root" as root iommuctl run --device $edu_a -- true
    eventually 20 "and is free" no_leases
    start_direct root 11MiB $edu_a
    ask limit "$((11 * mib)) $((11 * mib))" "root without a capability has a lease's limit"
    stop_agent
    eventually 30 "the lease ends" no_leases
    expect 0 "another process of root's has what it had" limit_is $other $((9 * mib))
    kill $other
    policy "$direct_policy"
}

own_limit=$(as alice python3 -c 'import resource; print("%d %d" % resource.getrlimit(resource.RLIMIT_MEMLOCK))')
parts=("$@")
[ $# -gt 0 ] || parts=(named freed maps ends revoked held_up inherited refused roots)
policy "$direct_policy"
for part in "${parts[@]}"; do
    "$part"
done
eventually 10 "no lease is left" no_leases
eventually 10 "no keeper is left" no_keepers
finish
