# shellcheck shell=bash
# Containers of $runtime, without a device node, a capability or a privilege, drive a device through their endpoint: as
# root, in a user namespace, and of a user. What each reaches is its own, and ends with it.
# shellcheck source=tests/vm/cases/containers.bash
. "$IOMMUD_TREE/tests/vm/cases/containers.bash"
case ${runtime:?said by who sources this} in crun) runtime=crun ;; *) runtime=runc ;; esac
policy "$containers_policy"
# 9: there is no socket to be refused at.
connect() { echo "test -S $1 || exit 9; IOMMUD_ADDRESS=unix:path=$1 iommuctl status"; }

bundle plain "${edu_a_wanted[@]}" -- sh -c "grep -h Cap /proc/self/status; ls /dev; $examples/edu_driver $edu_a"
expect 0 "$runtime, as root" run $runtime plain
says "DMA OK" "the container does DMA"
says "CapEff:	0000000000000000" "without a capability"
[[ $output != *vfio* && $output != *iommu$'\n'* ]] || { echo "FAIL a device node: $output"; failures=$((failures + 1)); }
bundle mapped --user-namespace 100000 "${edu_a_wanted[@]}" -- sh -c "cat /proc/self/uid_map; $examples/edu_driver $edu_a"
expect 0 "$runtime, in a user namespace" run $runtime mapped
says "DMA OK" "the container does DMA"
says "100000      65536" "as a subordinate uid"
bundle user --rootless 1000 "${edu_a_wanted[@]}" --mount /run/iommud/bus:/run/iommud/bus -- $examples/edu_driver $edu_a
chown -R alice $bundles/user
mkdir -p /run/user/1000
chown alice /run/user/1000
rootless=("$runtime")
[ $runtime != crun ] || rootless+=(--cgroup-manager=disabled)
expect 0 "$runtime, of a user, with the host's socket" as alice env XDG_RUNTIME_DIR=/run/user/1000 HOME=/home/alice \
    timeout 60 "${rootless[@]}" run -b $bundles/user user
says "DMA OK" "the container does DMA"
bundle user --rootless 1000 "${edu_a_wanted[@]}" -- true
chown -R alice $bundles/user
as alice env XDG_RUNTIME_DIR=/run/user/1000 HOME=/home/alice timeout 60 "${rootless[@]}" run -b $bundles/user user \
    >/tmp/output 2>&1 && { echo "FAIL it starts without"; failures=$((failures + 1)); }
eventually 5 "without it it does not start, and the hook says how it would" bash -c \
    "journalctl -b -o cat -t iommud-oci-hook | grep -qF -- '--volume /run/iommud/bus:/run/iommud/bus'"
bundle nothing -- sh -c 'ls -A /run'
expect 0 "a container that asks for nothing starts" run $runtime nothing
[ -z "$output" ] || { echo "FAIL it finds in /run: $output"; failures=$((failures + 1)); }

# ---- who reaches what
holder one --user-namespace 100000 "${edu_a_wanted[@]}"
start $runtime one
bundle two --user-namespace 100000 --annotation org.iommud.devices=all -- sh -c "
    iommuctl run --device $edu_b --memory $(((11 << 20) + 4096)) -- true; echo over \$?
    iommuctl run --device $edu_b --memory 11MiB -- true; echo exactly \$?
    iommuctl leases; iommuctl run --device $edu_a -- true"
expect 1 "two containers of one account" run $runtime two
says "over 5" "share its limit: not one page more"
says "exactly 0" "but exactly what is left"
says "no leases" "neither sees the other's lease"
says "somebody else's lease" "nor learns whose a device is"
bundle thief --user-namespace 100000 --annotation org.iommud.devices=all --mount /run/iommud/endpoints/one:/run/one \
    -- sh -c "$(connect /run/one/bus)"
expect 4 "another container's endpoint, mounted on purpose, is closed" run $runtime thief
bundle admin --annotation org.iommud.devices=all --mount /run/iommud/admin:/run/admin -- sh -c "$(connect /run/admin/bus)"
expect 4 "the administrators' socket, mounted on purpose, is closed to uid 0 of a container" run $runtime admin
bundle admin --host-pids --annotation org.iommud.devices=all --mount /run/iommud/admin:/run/admin -- sh -c "$(connect /run/admin/bus)"
expect 4 "to one with the host's processes too" run $runtime admin
bundle admin --mount /run/iommud/admin:/run/admin -- sh -c "$(connect /run/admin/bus)"
expect 4 "and to one without an endpoint" run $runtime admin
bundle bus --annotation org.iommud.devices=all --mount /run/iommud/bus:/run/bus -- sh -c "$(connect /run/bus)"
expect 4 "the host's socket is closed to a container with one" run $runtime bus
expect 4 "the container's to the host's root" env IOMMUD_ADDRESS=/run/iommud/endpoints/one/bus iommuctl status
expect 4 "and to its users" as alice env IOMMUD_ADDRESS=/run/iommud/endpoints/one/bus iommuctl status
expect 0 "while the container's own processes come in" $runtime exec one iommuctl leases
says "$edu_a" "and see its lease"
expect 3 "only the devices that it was started with are its" $runtime exec one iommuctl run --device $edu_b -- true
says "container one was started with" "and it is told so"
expect 3 "a container's root is not the host's: no rule for it there" iommuctl run --device $edu_b -- true

# ---- ends
expect 0 "the daemon restarts" systemctl restart iommud
expect 0 "and the container goes on" $runtime exec one iommuctl leases
says "$edu_a" "with its lease"
pkill -9 -x iommud
eventually 30 "another monitor comes" iommuctl status
expect 0 "for the container too" $runtime exec one iommuctl leases
says "$edu_a" "with its lease"
init=$(pgrep -x edu_driver)
kill -9 "$init"
gone $runtime one
holder killed "${edu_a_wanted[@]}"
start $runtime killed
kill -9 $runtime_pid
# runc's container ends with it, crun's does not.
$runtime kill killed KILL >/dev/null 2>&1
gone $runtime killed
holder meanwhile "${edu_a_wanted[@]}"
start $runtime meanwhile
systemctl stop iommud.socket iommud.service
kill -9 "$(pgrep -x edu_driver)"
eventually 20 "the keeper ends the lease without a monitor" no_keepers
systemctl start iommud.socket iommud.service
gone $runtime meanwhile

# ---- a hook that dies, or finds no daemon
for moment in none endpoint later; do
    cat >/tmp/hook <<EOF
#!/bin/bash
state=\$(cat)
[ $moment != none ] || exit 9
case \$state in *stopped*) exit 0 ;; esac
/usr/libexec/iommud/iommud-oci-hook <<<"\$state" >/dev/null 2>&1 &
for i in {1..100}; do [ ! -e /run/iommud/endpoints/dying ] || break; sleep 0.01; done
[ $moment = endpoint ] || sleep 0.2
kill -9 \$!
exit 9
EOF
    chmod +x /tmp/hook
    bundle dying "${edu_a_wanted[@]}" --hook /tmp/hook -- touch /tmp/ran
    run $runtime dying >/tmp/output 2>&1 && { echo "FAIL a container runs whose hook died"; failures=$((failures + 1)); }
    gone $runtime dying
done
systemctl stop iommud.socket iommud.service
bundle closed "${edu_a_wanted[@]}" -- true
refused "without a daemon a container that asks for devices does not start" $runtime closed "no answer from iommud"
bundle nothing -- true
expect 0 "while others do" run $runtime nothing
systemctl start iommud.socket iommud.service
kill -STOP "$(systemctl show -P MainPID iommud)"
bundle closed "${edu_a_wanted[@]}" -- true
# Its own deadline or its runtime's ends the hook; who is first depends on how busy the machine is.
run $runtime closed >/tmp/output 2>&1 && { echo "FAIL it starts with a daemon that does not answer"; failures=$((failures + 1)); }
kill -CONT "$(systemctl show -P MainPID iommud)"
gone $runtime closed

# ---- hostile images and configurations
for link in /etc ../../../../etc ../../../../../../../../../../etc /proc/1/root/etc; do
    bundle evil "${edu_a_wanted[@]}" -- true
    rm -rf $bundles/evil/rootfs/run
    ln -s "$link" $bundles/evil/rootfs/run
    run $runtime evil >/tmp/output 2>&1
    $runtime delete --force evil >/dev/null 2>&1
    expect 1 "/run -> $link in an image leads to no folder of the host's" test -e /etc/iommud/bus -o -e /etc/iommud/iommud
    bundle evil "${edu_a_wanted[@]}" -- true
    mkdir -p $bundles/evil/rootfs/run
    ln -s "$link" $bundles/evil/rootfs/run/iommud
    refused "/run/iommud -> $link in an image is refused" $runtime evil "the container's /run/iommud: "
    gone $runtime evil
done
bundle evil --annotation "org.iommud.devices=$(printf "0000:%02x:00.0," {0..255})0000:00:00.0" -- true
refused "257 devices are refused" $runtime evil "more than 32 devices"
bundle evil --annotation org.iommud.devices=04.0 -- true
refused "an address that is none is refused" $runtime evil "is no PCI address"
bundle evil "${edu_a_wanted[@]}" --annotation org.iommud.mode=direct -- true
refused "another mode than managed is refused" $runtime evil "managed leases only"
bundle large "${edu_a_wanted[@]}" --annotation team=storage -- $examples/edu_driver $edu_a
python3 - $bundles/large/config.json <<'P'
import json, sys
config = json.load(open(sys.argv[1]))
config["annotations"].update({"long": "x" * 1000000, **{f"many-{i}": "y" for i in range(1000)}})
json.dump(config, open(sys.argv[1], "w"))
P
expect 0 "annotations of a megabyte, and a thousand of them, do no harm" run $runtime large
says "DMA OK" "the container does DMA"
bundle twice "${edu_a_wanted[@]}" -- true
sed -i '0,/"annotations"/s//"annotations": {"org.iommud.devices": "all"}, "annotations"/' $bundles/twice/config.json
run $runtime twice >/tmp/output 2>&1 && { echo "FAIL a key given twice is taken"; failures=$((failures + 1)); }
gone $runtime evil
mapfile -t background < <(jobs -p)
kill "${background[@]}" 2>/dev/null
finish
