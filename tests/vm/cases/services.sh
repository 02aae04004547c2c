#!/usr/bin/env bash
# needs: systemd-container
# Services and nspawn containers of systemd have no endpoint: they come by the host's socket, without a device node, a
# capability or a privilege, and policy goes by unit and uid.
# kernel: 6.12
# shellcheck source=tests/vm/cases/containers.bash
. "$IOMMUD_TREE/tests/vm/cases/containers.bash"
policy '{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "12MiB" }, { "match": { "uids": "61184-65519" }, "memory": "4MiB" },
                { "match": { "uids": "524288-589823" }, "charge": "alice" } ],
  "rules": [ { "id": "nic", "effect": "allow", "devices": [ { "address": "0000:00:04.0" } ], "allow_no_reset": true,
               "subjects": [ { "unit": "nic.service" }, { "uids": "524288-589823" } ] } ]
}'
# service NAME LINE...: a unit file of that name, run to its end; what it printed is in $output.
service() {
    printf '[Service]\nType=oneshot\nStandardOutput=file:/tmp/said\nStandardError=inherit\n' >"/run/systemd/system/$1"
    printf '%s\n' "${@:2}" >>"/run/systemd/system/$1"
    systemctl daemon-reload
    : >/tmp/said
    systemctl start "$1"
    local status=$?
    cat /tmp/said
    return $status
}
confined=(PrivateDevices=yes DevicePolicy=closed CapabilityBoundingSet= NoNewPrivileges=yes PrivateNetwork=yes
    RestrictAddressFamilies=AF_UNIX ProtectSystem=strict ProtectHome=yes PrivateTmp=yes LimitMEMLOCK=0
    "ExecStart=/bin/sh -c 'grep -h Cap /proc/self/status; ls /dev; $examples/edu_driver --memory 4MiB $edu_a'")
no_nodes() {
    [[ $output != *vfio* && $output != *iommu$'\n'* ]] || { echo "FAIL a device node: $output"; failures=$((failures + 1)); }
}

echo "== services"
expect 0 "a service of alice's" service nic.service User=alice "${confined[@]}"
says "DMA OK" "does DMA"
says "CapEff:	0000000000000000" "without a capability"
no_nodes
expect 0 "one with a user that is made for it" service nic.service DynamicUser=yes "${confined[@]}"
says "DMA OK" "does DMA"
no_nodes
expect 1 "another unit of hers" service other.service User=alice "${confined[@]}"
says "alice" "is refused by name"
eventually 20 "no lease is left" no_leases

echo "== nspawn"
root=/tmp/machine
mkdir -p $root/{usr,etc,proc,sys,dev,tmp,run,var}
for link in bin sbin lib lib64; do ln -s usr/$link $root/$link; done
machine() {
    timeout 120 systemd-nspawn --quiet --directory $root --private-users=524288:65536 --private-users-ownership=chown \
        --bind-ro=/usr --bind=/run/iommud/bus --drop-capability=all --no-new-privileges=yes --pipe "$@"
}
expect 0 "a container of nspawn's" machine sh -c "cat /proc/self/uid_map; grep -h Cap /proc/self/status; ls /dev; $examples/edu_driver $edu_a"
says "DMA OK" "does DMA"
says "524288      65536" "as a subordinate uid"
says "CapEff:	0000000000000000" "without a capability"
no_nodes
expect 3 "another device is not for it" machine iommuctl run --device $edu_b --memory 1MiB -- true
expect 1 "and nothing else of the daemon's is there" machine test -e /run/iommud/admin
nothing_left
finish
