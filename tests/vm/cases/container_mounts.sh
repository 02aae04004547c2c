#!/usr/bin/env bash
# needs: crun runc
# What the hook mounts is in the container and nowhere else, and what the container finds at /run/iommud is that (hazard
# C29): not below a shared mount, not where others can rename it, not where somebody has.
# long: 6.12
# shellcheck source=tests/vm/cases/containers.bash
. "$IOMMUD_TREE/tests/vm/cases/containers.bash"
# shellcheck disable=SC2001
policy "$(sed 's/"subjects": \[/& { "user": "root" },/' <<<"$containers_policy")"
hosts_own() { # WHAT: the host's socket is where it was, and nothing of a container's is mounted on the host
    expect 0 "$1: the host's socket is the host's" test -S /run/iommud/bus
    expect 0 "and answers it" iommuctl run --device $edu_a --memory 1MiB -- true
    expect 1 "and nothing is mounted on the host" grep -F iommud/endpoints /proc/1/mountinfo
}
volume() { # MODE OWNER: a folder that is mounted at the /run of a container
    rm -rf /tmp/volume
    mkdir -m "$1" /tmp/volume
    chown "$2" /tmp/volume
}

for runtime in crun runc; do
    echo "== $runtime: a mount that propagates"
    bundle shared "${edu_a_wanted[@]}" --propagation shared --mount /run:/run:rshared -- true
    refused "the host's /run, shared, is no place for an endpoint" $runtime shared "lies on a shared mount"
    hosts_own "after a container with the host's /run"
    gone $runtime shared
    mkdir -p /tmp/peers
    mountpoint -q /tmp/peers || { mount --bind /tmp/peers /tmp/peers && mount --make-shared /tmp/peers; }
    bundle shared "${edu_a_wanted[@]}" --propagation shared --mount /tmp/peers:/run:rshared -- true
    refused "nor is a volume, shared" $runtime shared "lies on a shared mount"
    expect 1 "where nothing appears on the host" grep -F iommud/endpoints /proc/1/mountinfo
    gone $runtime shared
    bundle slave "${edu_a_wanted[@]}" --propagation slave --mount /tmp/peers:/run:rslave -- $examples/edu_driver $edu_a
    expect 0 "a mount that only receives is one" run $runtime slave
    says "DMA OK" "the container does DMA"
    hosts_own "after it"

    echo "== $runtime: a folder that others can rename"
    volume 0777 0
    bundle volume "${edu_a_wanted[@]}" --mount /tmp/volume:/run -- true
    refused "a volume that everybody can write to is refused" $runtime volume "can be written to by others"
    volume 0775 0:1000
    bundle volume "${edu_a_wanted[@]}" --mount /tmp/volume:/run -- true
    refused "and one that a group can" $runtime volume "can be written to by others"
    volume 0755 1000
    bundle volume "${edu_a_wanted[@]}" --mount /tmp/volume:/run -- true
    refused "and one of a user's" $runtime volume "of uid 1000"
    volume 0755 100000
    # In a user namespace crun leaves a volume of a shared mount shared, unless it is told.
    bundle volume --user-namespace 100000 "${edu_a_wanted[@]}" --mount /tmp/volume:/run:rprivate \
        -- $examples/edu_driver $edu_a
    expect 0 "one of the container's own root is not" run $runtime volume
    says "DMA OK" "the container does DMA"
    volume 0755 0
    mkdir -m 0777 /tmp/volume/open
    mkdir /tmp/volume/open/run
    bundle volume "${edu_a_wanted[@]}" --mount /tmp/volume:/volume -- true
    rmdir $bundles/volume/rootfs/run
    ln -s /volume/open/run $bundles/volume/rootfs/run
    refused "nor may the folder above it be anybody's" $runtime volume "can be written to by others"
    gone $runtime volume

    echo "== $runtime: a folder that somebody renames"
    cat >/tmp/hook <<'H'
#!/bin/sh
LD_PRELOAD=/usr/libexec/iommud-tests/move_place.so MOVE_PLACE_FROM=/tmp/volume/iommud MOVE_PLACE_TO=/tmp/volume/moved \
    exec /usr/libexec/iommud/iommud-oci-hook "$@"
H
    chmod +x /tmp/hook
    volume 0755 0
    bundle moved "${edu_a_wanted[@]}" --hook /tmp/hook --mount /tmp/volume:/run -- true
    refused "the place of the mount, moved" $runtime moved "it was moved while the endpoint was mounted there"
    expect 0 "it was moved" test -d /tmp/volume/moved
    gone $runtime moved
done

echo "== whose endpoint a failing hook closes"
# The container of that name that runs has one; the hook of another one fails, and leaves it alone.
endpoint() { python3 "$here/bus.py" --admin /org/iommud1 "org.iommud1.Manager.$1" 'sa{sv}' "${@:2}"; }
holder one "${edu_a_wanted[@]}"
start crun one
expect 0 "another connection does not own it" endpoint CloseEndpoint '["one", {"own": ["b", 1]}]'
expect 0 "it is there" crun exec one iommuctl leases
says "$edu_a" "with its lease"
bundle shared "${edu_a_wanted[@]}" --propagation shared --mount /run:/run:rshared -- true
refused "while one that fails closes its own" crun shared "lies on a shared mount"
expect 0 "which is the only one left" test "$(ls /run/iommud/endpoints)" = one
gone crun one
nothing_left
mapfile -t background < <(jobs -p)
kill "${background[@]}" 2>/dev/null
finish
