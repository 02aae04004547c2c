#!/usr/bin/env bash
# needs: crun runc
# Who was in a container's cgroup is a container's process, whatever becomes of its endpoint, its first process, the
# monitor and the vault (hazard C28): never the host's uid 0, and never an administrator. Containers here are the host's
# root without a capability, and have the sockets of others mounted.
# long: newest
# shellcheck source=tests/vm/cases/containers.bash
. "$IOMMUD_TREE/tests/vm/cases/containers.bash"
# The first device is for the host's root, who has a rule of its own and containers a deny.
policy '{
  "version": 1,
  "accounts": [ { "match": { "user": "root" }, "memory": "12MiB" }, { "match": { "user": "alice" }, "memory": "12MiB" },
                { "match": { "uids": "100000-165535" }, "charge": "alice" } ],
  "rules": [ { "id": "hosts-root", "effect": "allow", "devices": [ { "address": "0000:00:04.0" } ], "allow_no_reset": true,
               "subjects": [ { "user": "root" }, { "user": "alice" }, { "uids": "100000-165535" } ] },
             { "id": "containers", "effect": "allow", "devices": [ { "address": "0000:00:06.0" } ], "allow_no_reset": true,
               "subjects": [ { "endpoint": "*", "user": "root" } ] },
             { "id": "no-container", "effect": "deny", "devices": [ { "address": "0000:00:04.0" } ],
               "subjects": [ { "endpoint": "*" } ] } ]
}'
others=(--mount /run/iommud/bus:/run/hosts --mount /run/iommud/admin:/run/admin --mount /run/iommud/endpoints:/run/others)

# puppet NAME OPTION...: a container in the background, one process of which does as it is told for as long as it lives,
# although the first one may have ended.
puppet() {
    mkdir -p "/tmp/puppets/$1"
    mkfifo "/tmp/puppets/$1/in" "/tmp/puppets/$1/out"
    # shellcheck disable=SC2016
    bundle "$1" "${others[@]}" --mount "/tmp/puppets/$1:/puppet" "${@:2}" -- sh -c '
        while read -r line </puppet/in; do { sh -c "$line" 2>&1; echo "exit $?"; } >/puppet/out; done & wait'
    expect 0 "container $1 starts" detached "$1"
}
# Its output is a file: whoever reads it from a pipe would wait for the container.
detached() { timeout 120 "${runtime:-crun}" run --detach -b "$bundles/$1" "$1" </dev/null >"/tmp/puppets/$1/started" 2>&1; }
pull() { # pull NAME COMMAND: what its puppet says, and its status
    local text
    # shellcheck disable=SC2016
    timeout 20 sh -c 'echo "$1" >"$2"' - "$2" "/tmp/puppets/$1/in" || return 98
    text=$(timeout 120 cat "/tmp/puppets/$1/out") || return 99
    printf '%s\n' "${text%exit *}"
    return "${text##*exit }"
}
does() { expect "$2" "$1: $3" pull "$1" "$4"; } # NAME STATUS WHAT COMMAND
at() { echo "IOMMUD_ADDRESS=unix:path=/run/$1/bus iommuctl"; }
wants_a() { echo "$(at "$1") run --device $edu_a --memory 1MiB -- true"; }
pid_of() { "${runtime:-crun}" state "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])'; }
end_init() { # NAME: its first process ends, the others go on
    local init
    init=$(pid_of "$1")
    kill -9 "$init"
    eventually 20 "the first process of $1 has ended, and its endpoint is closed" test ! -e "/run/iommud/endpoints/$1"
    expect 0 "others go on" pull "$1" true
}
refused_everywhere() { # NAME WHAT
    does "$1" 4 "$2, the host's socket is closed to it" "$(wants_a hosts)"
    does "$1" 4 "and the administrators'" "$(at admin) reload"
    does "$1" 4 "and another container's" "$(at others/neighbour) status"
}
marks() { python3 - <<'P'
names = {}
for line in open("/run/iommud/held"):
    name, *value = line.split()
    names[bytes.fromhex(name).decode()] = bool(value)
print(sum(held for name, held in names.items() if name.startswith("container/")))
P
}
marks_are() { [ "$(marks)" = "$1" ]; }
endpoint() { python3 "$here/bus.py" --admin /org/iommud1 "org.iommud1.Manager.$1" 'sa{sv}' "${@:2}"; }

puppet neighbour "--annotation=org.iommud.devices=$edu_b"
puppet own "--annotation=org.iommud.devices=all"
puppet shared --host-pids "--annotation=org.iommud.devices=all"
puppet never --host-pids
puppet never-own
echo "== while all is well"
does own 0 "its own socket is open to it" "iommuctl status"
does shared 0 "its own socket is open to it" "iommuctl status"
does shared 3 "where the host's device is denied to it" "$(wants_a iommud)"
refused_everywhere own "with its endpoint open"
refused_everywhere shared "with its endpoint open"
expect 0 "the host's root has the device" iommuctl run --device $edu_a --memory 1MiB -- true
expect 0 "and administers" env IOMMUD_ADDRESS=unix:path=/run/iommud/admin/bus iommuctl reload

echo "== that never had an endpoint"
does never 4 "the administrators' socket is closed to it, with the host's processes" "$(at admin) reload"
does never 4 "and so is another container's" "$(at others/neighbour) status"
does never-own 4 "the host's socket is closed to it as uid 0, with processes of its own" "$(wants_a hosts)"
does never-own 4 "and so is the administrators'" "$(at admin) reload"
expect 0 "the journal says why" bash -c "journalctl -b -u iommud -o cat | grep -q 'neither in the host.s mount namespace nor with all capabilities'"

echo "== who administers, on the host"
admin_as() { env IOMMUD_ADDRESS=unix:path=/run/iommud/admin/bus "$@" iommuctl reload; }
expect 0 "root without a capability, in the host's mount namespace" admin_as setpriv --bounding-set=-all --inh-caps=-all
expect 0 "root with all capabilities, in a mount namespace of its own" admin_as unshare --mount
expect 4 "root without one, and in a namespace of its own" admin_as unshare --mount setpriv --bounding-set=-all --inh-caps=-all
expect 4 "root in a pid namespace of its own" admin_as unshare --pid --fork

echo "== its first process ends, and others go on"
end_init shared
refused_everywhere shared "after its first process's end"
expect 0 "the monitor restarts" systemctl restart iommud
refused_everywhere shared "after the monitor's restart"

echo "== its endpoint is closed"
puppet closed --host-pids "--annotation=org.iommud.devices=all"
does closed 0 "it acquires" "iommuctl run --device $edu_b --memory 1MiB -- sh -c 'echo \$\$ >/puppet/said; exec sleep 600' >/dev/null 2>&1 &"
eventually 60 "and has a lease" test -s /tmp/puppets/closed/said
expect 0 "an administrator closes it" endpoint CloseEndpoint '["closed", {}]'
eventually 20 "its lease has ended: the device drains for as long as a process keeps it" device_is $edu_b draining
kill -9 "$(cat /tmp/puppets/closed/said)"
eventually 20 "and nothing is left of it afterwards" no_leases
does closed 0 "its other processes go on" true
refused_everywhere closed "after its endpoint was closed"

echo "== the vault restarts"
expect 0 "all containers' endpoints are gone with it" systemctl restart iommud-vault
eventually 60 "another monitor serves" iommuctl status
for container in own shared closed; do
    refused_everywhere $container "after the vault's restart"
done
vault=$(systemctl show -P MainPID iommud-vault)
kill -9 "$vault"
eventually 60 "and another after the vault's death" bash -c "[ \$(systemctl show -P MainPID iommud-vault) != $vault ] && iommuctl status"
refused_everywhere own "after the vault's death"
refused_everywhere shared "after the vault's death"

echo "== cgroups within each other"
cgroup=/sys/fs/cgroup/containers/outer
mkdir -p $cgroup/inner
# In a process of its own (`&`, expect), which it becomes: $! is who is in the cgroup.
in_cgroup() { exec sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' - "$@"; }
in_cgroup $cgroup sleep 3000 >/dev/null &
outer=$!
in_cgroup $cgroup/inner sleep 3000 >/dev/null &
inner=$!
eventually 20 "a process is in the outer one" grep -q . $cgroup/cgroup.procs
eventually 20 "and in the inner one" grep -q . $cgroup/inner/cgroup.procs
facts() { echo "[\"$1\", {\"pid\": [\"u\", $2], \"uid\": [\"u\", 0]}]"; }
expect 0 "the outer one gets an endpoint" endpoint OpenEndpoint "$(facts outer $outer)"
expect 1 "a container below it does not" endpoint OpenEndpoint "$(facts inner $inner)"
says "lies below that of container outer" "and its runtime is told why"
expect 0 "the outer one's is closed" endpoint CloseEndpoint '["outer", {}]'
expect 1 "nor does one below what was a container's" endpoint OpenEndpoint "$(facts inner $inner)"
kill $outer $inner
eventually 20 "both are gone" bash -c "rmdir $cgroup/inner $cgroup"
mkdir -p $cgroup/inner
in_cgroup $cgroup/inner sleep 3000 &
inner=$!
in_cgroup $cgroup sleep 3000 &
outer=$!
eventually 20 "a process is in either, of the same path" grep -q . $cgroup/cgroup.procs
eventually 20 "and in the inner one" grep -q . $cgroup/inner/cgroup.procs
expect 0 "the inner one gets an endpoint: its cgroup is another" endpoint OpenEndpoint "$(facts inner $inner)"
expect 1 "a container above it does not" endpoint OpenEndpoint "$(facts outer $outer)"
says "lies above that of container inner" "and its runtime is told why"
expect 1 "another container's name gets nobody the same cgroup" endpoint OpenEndpoint "$(facts inner2 $inner)"
says "is that of container inner" "and its runtime is told why"
kill $inner
eventually 20 "the inner one's end closes its endpoint" test ! -e /run/iommud/endpoints/inner
in_cgroup $cgroup/inner sleep 3000 &
inner=$!
eventually 20 "a process is in it again" grep -q . $cgroup/inner/cgroup.procs
expect 0 "the same container starts again in its cgroup" endpoint OpenEndpoint "$(facts inner $inner)"
expect 0 "whose processes come in" in_cgroup $cgroup/inner env IOMMUD_ADDRESS=unix:path=/run/iommud/endpoints/inner/bus iommuctl status
expect 4 "those above do not" in_cgroup $cgroup env IOMMUD_ADDRESS=unix:path=/run/iommud/endpoints/inner/bus iommuctl status
kill $inner $outer
eventually 20 "both are gone" bash -c "rmdir $cgroup/inner $cgroup"

echo "== marks end with their cgroups"
expect 0 "four cgroups are known, and what is left of the one that ended last" test "$(marks)" -ge 4
for container in neighbour own shared closed never never-own; do
    crun delete --force $container >/dev/null 2>&1
    [ ! -e /sys/fs/cgroup/containers/$container ] || echo 1 >/sys/fs/cgroup/containers/$container/cgroup.kill
    eventually 20 "$container is gone" bash -c "rmdir /sys/fs/cgroup/containers/$container || [ ! -e /sys/fs/cgroup/containers/$container ]"
done
expect 0 "the monitor restarts" systemctl restart iommud
eventually 20 "and knows that no container's cgroup is left" marks_are 0
mapfile -t background < <(jobs -p)
kill "${background[@]}" 2>/dev/null
finish
