#!/usr/bin/env bash
# needs: podman podman-compose crun runc uidmap fuse-overlayfs slirp4netns netavark
# podman gives a container a device by one flag: by CDI and by an annotation, as root, with subordinate uids, and to a user.
# kernel: 6.12
# shellcheck source=tests/vm/cases/containers.bash
. "$IOMMUD_TREE/tests/vm/cases/containers.bash"
policy "$containers_policy"
root=/tmp/image
mkdir -p $root/{usr,etc,proc,sys,dev,tmp,run,var}
for link in bin sbin lib lib64; do ln -s usr/$link $root/$link; done
storage=(--root /tmp/storage --runroot /tmp/runroot --storage-driver vfs)
container=(--rm --network=none --cap-drop=all --security-opt no-new-privileges -v /usr:/usr:ro)
pod() { timeout 120 podman "${storage[@]}" "${global[@]}" run "${container[@]}" "$@"; }
global=()

expect 0 "the devices are described to engines" iommuctl cdi generate --output /etc/cdi
expect 0 "and listed" iommuctl cdi list
says "iommud.org/device=$edu_a" "by the names that --device takes"
expect 0 "podman --device iommud.org/device=$edu_a" pod --device iommud.org/device=$edu_a --rootfs $root $examples/edu_driver $edu_a
says "DMA OK" "the container does DMA"
expect 0 "with the other runtime" timeout 120 podman "${storage[@]}" --runtime runc run "${container[@]}" \
    --device iommud.org/device=$edu_a --rootfs $root $examples/edu_driver $edu_a
says "DMA OK" "the container does DMA"
expect 3 "another device than the one that was named is not the container's" pod --device iommud.org/device=$edu_a --rootfs $root \
    iommuctl run --device $edu_b -- true
says "was started with" "and it is told so"
expect 0 "two devices by two flags" pod --device iommud.org/device=$edu_a --device iommud.org/device=$edu_b --rootfs $root \
    iommuctl run --device $edu_a --device $edu_b --memory 1MiB -- true
global=(--hooks-dir /usr/share/containers/oci/hooks.d)
expect 0 "podman --annotation org.iommud.devices=$edu_a" pod --annotation org.iommud.devices=$edu_a --rootfs $root \
    $examples/edu_driver $edu_a
says "DMA OK" "the container does DMA"
expect 1 "without the annotation there is nothing" pod --rootfs $root test -e /run/iommud/bus
expect 126 "a device that is none keeps the container from starting" pod --annotation org.iommud.devices=rubbish --rootfs $root true
global=()
expect 0 "podman --uidmap" pod --uidmap 0:100000:65536 --gidmap 0:100000:65536 --device iommud.org/device=$edu_a --rootfs $root \
    sh -c "cat /proc/self/uid_map; $examples/edu_driver $edu_a"
says "DMA OK" "the container does DMA"
says "100000      65536" "as a subordinate uid"
# Whose uids those are is in /etc/subuid, under a name of podman's.
echo containers:200000:65536 | tee -a /etc/subuid >>/etc/subgid
policy "${containers_policy//100000-165535/200000-265535}"
tar -C $root -cf /tmp/image.tar . # of a folder it takes no --userns=auto
expect 0 "an image" podman "${storage[@]}" import --quiet /tmp/image.tar empty
expect 0 "podman --userns=auto" pod --userns=auto --device iommud.org/device=$edu_a empty \
    sh -c "cat /proc/self/uid_map; $examples/edu_driver $edu_a"
says "DMA OK" "the container does DMA"
says "200000       1024" "as a subordinate uid of podman's own"
policy "$containers_policy"
nothing_left

# ---- a compose file, whose parsers split the names of devices at colons
mkdir -p /tmp/compose
cat >/tmp/compose/compose.yaml <<EOF
services:
  driver:
    image: empty
    devices: [ "iommud.org/device=${edu_a//:/-}" ]
    volumes: [ "/usr:/usr:ro" ]
    command: [ "$examples/edu_driver", "$edu_a" ]
EOF
# This guest has no network to make one of.
cat >/tmp/compose/podman <<EOF
#!/bin/bash
[ "\$1" != network ] || exit 0
while ((\$#)); do
    case \$1 in
    --net) args+=(--network none); shift ;;
    --network-alias) shift ;;
    *) args+=("\$1") ;;
    esac
    shift
done
exec podman ${storage[*]} "\${args[@]}"
EOF
chmod 0755 /tmp/compose/podman
expect 0 "podman-compose" timeout 120 podman-compose --podman-path /tmp/compose/podman -f /tmp/compose/compose.yaml up
says "DMA OK" "the container does DMA"
timeout 60 podman-compose --podman-path /tmp/compose/podman -f /tmp/compose/compose.yaml down >/dev/null 2>&1
nothing_left

# ---- who watches it is killed
named() { podman "${storage[@]}" "$@"; }
expect 0 "a container in the background" named run --detach --name watched "${container[@]:1}" --device iommud.org/device=$edu_a \
    --rootfs $root sh -c "sleep 600 | $examples/edu_driver --loop $edu_a"
done_dma() { device_is $edu_a leased && named exec watched iommuctl leases | grep -q $edu_a; }
eventually 60 "it has its lease" done_dma
driver=$(pgrep -x edu_driver)
conmon=$(named inspect --format '{{.State.ConmonPid}}' watched)
kill -9 "$conmon"
eventually 20 "conmon is dead" bash -c "! kill -0 $conmon"
expect 0 "the container goes on without" kill -0 "$driver"
expect 0 "with its lease" device_is $edu_a leased
kill -9 "$(named inspect --format '{{.State.Pid}}' watched)"
nothing_left
named rm --force watched >/dev/null 2>&1

# ---- of a user
install -d -o alice -g alice -m 0700 /run/user/1000 /tmp/alice
chmod 0755 /tmp/alice
cp -a $root /tmp/alice/image
chown -R alice /tmp/alice
expect 0 "podman of a user" setpriv --reuid alice --regid alice --init-groups env -C /tmp/alice XDG_RUNTIME_DIR=/run/user/1000 \
    HOME=/tmp/alice timeout 120 podman --root /tmp/alice/storage --runroot /tmp/alice/runroot --storage-driver vfs \
    --cgroup-manager=cgroupfs run "${container[@]}" --cgroups=disabled -v /run/iommud/bus:/run/iommud/bus \
    --rootfs /tmp/alice/image $examples/edu_driver $edu_a
says "DMA OK" "the container does DMA over the host's socket"
nothing_left
finish
