#!/usr/bin/env bash
# needs: crun runc
# Hook, runtime, a container's first process and the daemon, killed at many moments of a container's start and life: it
# never runs without what it asked for, and nothing is left of it. Beside it another does DMA all the time.
# kernel: 6.12
# shellcheck source=tests/vm/cases/containers.bash
. "$IOMMUD_TREE/tests/vm/cases/containers.bash"
policy "$containers_policy"
moments=${1:-3}

# What is left when everything else has gone: the container `steady`, its endpoint, its lease and its 1 MiB.
only_steady() {
    [ "$(ls -A /run/iommud/endpoints)" = steady ] && [ "$(lease_count)" = 1 ] && reserved_is 0 $((1 << 20)) &&
        [ "$(pgrep -c -x iommud-keeper)" = 1 ] && steady_mounts
}
# In its own namespace and nowhere else.
steady_mounts() { ! grep -hs "iommud/endpoints/" /proc/[0-9]*/mountinfo | grep -qv endpoints/steady; }
# clean RUNTIME NAME: what an engine does when it finds a container that it does not know the end of.
clean() {
    "$1" delete --force "$2" >/dev/null 2>&1
    [ ! -e "/sys/fs/cgroup/containers/$2" ] || echo 1 >"/sys/fs/cgroup/containers/$2/cgroup.kill"
    until rmdir "/sys/fs/cgroup/containers/$2" 2>/dev/null || [ ! -e "/sys/fs/cgroup/containers/$2" ]; do sleep 0.05; done
}
left() { # left RUNTIME NAME WHAT
    clean "$1" "$2"
    eventually 30 "$3: nothing is left of it" only_steady
}
# seconds COMMAND...: how long that takes, in $took.
seconds() {
    local start=$EPOCHREALTIME
    "$@"
    took="($EPOCHREALTIME - $start)"
}
# at N: the N-th of the moments, spread over $took and a little more. No moment is expected to meet anything in particular.
at() { python3 -c "print(0.001 + $1 * $took * 1.2 / $moments)"; }
victim() { bundle victim "${edu_a_wanted[@]}" -- $examples/edu_driver --memory 1MiB --loop $edu_a; }
done_dma() { grep -q "DMA OK" /tmp/victim; }
populated() { read -r _ <"/sys/fs/cgroup/containers/$1/cgroup.procs"; }
# begin RUNTIME: the victim, in the background.
begin() {
    : >/tmp/victim
    "$1" run -b $bundles/victim victim <$bundles/steady/input >/tmp/victim 2>&1 &
    runtime_pid=$!
}
whole_start() { begin "$1"; eventually 60 "$1 starts a container that does DMA" done_dma; }

bundle steady "--annotation=org.iommud.devices=$edu_b" -- $examples/edu_driver --memory 1MiB --loop $edu_b
mkfifo $bundles/steady/input
sleep 3600 >$bundles/steady/input &
input_pid=$!
crun run -b $bundles/steady steady <$bundles/steady/input >/tmp/steady 2>&1 &
steady_pid=$!
eventually 60 "a container does DMA" grep -q "DMA OK" /tmp/steady
eventually 10 "it has what it should" only_steady

cat >/tmp/hook <<'EOF'
#!/bin/bash
state=$(cat)
case $state in *stopped*) exit 0 ;; esac
start=$EPOCHREALTIME
timeout -s KILL "$(cat /tmp/patience)" /usr/libexec/iommud/iommud-oci-hook <<<"$state"
status=$?
echo "$EPOCHREALTIME - $start" >/tmp/took
exit $status
EOF
chmod +x /tmp/hook

for runtime in crun runc; do
    echo "== the hook of $runtime is killed"
    bundle plain "${edu_a_wanted[@]}" --hook /tmp/hook -- $examples/edu_driver --memory 1MiB $edu_a
    echo 60 >/tmp/patience
    expect 0 "left alone it lets the container run" run $runtime plain
    took="($(cat /tmp/took))"
    left $runtime plain "that container"
    killed=0
    for ((moment = 0; moment < moments; ++moment)); do
        at $moment >/tmp/patience
        bundle plain "${edu_a_wanted[@]}" --hook /tmp/hook -- $examples/edu_driver --memory 1MiB $edu_a
        if run $runtime plain >/tmp/output 2>&1; then
            grep -q "DMA OK" /tmp/output || { echo "FAIL it ran without: $(cat /tmp/output)"; failures=$((failures + 1)); }
        else
            killed=$((killed + 1))
            grep -q "DMA" /tmp/output && { echo "FAIL its hook was killed, and it ran"; failures=$((failures + 1)); }
        fi
        left $runtime plain "after $(cat /tmp/patience) s"
    done
    expect 0 "$killed hooks were killed" test "$killed" -gt 0

    echo "== $runtime itself is killed"
    victim
    seconds whole_start $runtime
    left $runtime victim "that container"
    wait "$runtime_pid"
    for ((moment = 0; moment < moments; ++moment)); do
        victim
        begin $runtime
        sleep "$(at $moment)"
        kill -9 $runtime_pid
        wait $runtime_pid 2>/dev/null
        left $runtime victim "after $(at $moment) s"
    done

    echo "== the first process of $runtime's container is killed"
    for ((moment = 0; moment < moments; ++moment)); do
        victim
        begin $runtime
        eventually 60 "it is there" populated victim
        sleep "$(at $moment)"
        echo 1 >/sys/fs/cgroup/containers/victim/cgroup.kill
        wait $runtime_pid 2>/dev/null
        left $runtime victim "$(at $moment) s after it was there"
    done

    echo "== the daemon is restarted while $runtime starts one"
    for ((moment = 0; moment < moments; moment += 2)); do
        victim
        begin $runtime
        sleep "$(at $moment)"
        systemctl restart iommud
        eventually 60 "it runs, or its hook has refused" eval "done_dma || ! kill -0 $runtime_pid"
        if done_dma; then
            expect 0 "it runs" $runtime exec victim iommuctl leases
            says "$edu_a" "with its lease"
        fi
        left $runtime victim "after $(at $moment) s"
        wait $runtime_pid 2>/dev/null
    done
done

echo "== the one beside"
expect 0 "goes on" kill -0 $steady_pid
kill $input_pid
status=0
wait $steady_pid || status=$?
expect 0 "all of its DMA went through" test $status = 0
crun delete --force steady >/dev/null 2>&1
nothing_left
finish
