#!/usr/bin/env bash
# Rules for units and groups, with real ones: the outermost service or scope counts, and the groups that the kernel knows.
# Explain is asked each time, too, and has to agree with what Acquire then does.
# kernel: newest
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
uid_policy='"accounts": [ { "match": { "user": "alice" }, "memory": "12MiB" }, { "match": { "user": "bob" }, "memory": "12MiB" } ]'
edu='"allow_no_reset": true, "devices": [ { "vendor": "1234", "device": "11e8" } ]'
# asks ANSWER WHAT COMMAND...: what the client that COMMAND runs hears.
asks() {
    expect 0 "$2" "${@:3}" env PYTHONPATH="$here" python3 "$here/verdict.py" $edu_b
    [[ $output == "$1" ]] || { echo "FAIL $1: $output"; failures=$((failures + 1)); }
}
run() { systemd-run --quiet --collect --wait --pipe "$@"; } # in a unit of its own
scope() { systemd-run --quiet --collect --scope "$@"; }
# below CHILD: runs the rest of the command line in a cgroup that is made below the unit's own.
cat >/tmp/below <<'SCRIPT'
own=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
mkdir -p "$own/$1" && echo $$ >"$own/$1/cgroup.procs" && exec "${@:2}"
SCRIPT

echo "== units"
policy "{ \"version\": 1, $uid_policy, \"rules\": [
  { \"id\": \"router\", \"effect\": \"allow\", $edu, \"subjects\": [
      { \"user\": \"alice\", \"unit\": \"router.service\" }, { \"user\": \"alice\", \"unit\": \"router@1.service\" },
      { \"user\": \"alice\", \"unit\": \"router.scope\" } ] } ] }"
asks AccessDenied "alice, in no such unit" as alice
asks given "alice in router.service" run --unit router.service -p User=alice
asks AccessDenied "bob in router.service" run --unit router.service -p User=bob
asks AccessDenied "alice in another service" run --unit routers.service -p User=alice
asks given "the service in a slice" run --unit router.service --slice net-fast -p User=alice
asks given "an instance of a template that is named" run --unit router@1.service -p User=alice
asks AccessDenied "an instance that is not" run --unit router@2.service -p User=alice
asks given "a scope" scope --unit router.scope --uid alice
asks AccessDenied "a scope of a service's name" scope --unit router.service.scope --uid alice
asks AccessDenied "a slice of its name" run --unit other.service --slice router.service.slice -p User=alice
asks given "a process that moved into a cgroup below" run --unit router.service -p User=alice -p Delegate=yes \
    bash /tmp/below child
asks given "even one with another service's name" run --unit router.service -p User=alice -p Delegate=yes \
    bash /tmp/below other.service
asks AccessDenied "a cgroup of that name, below another service" run --unit other.service -p User=alice -p Delegate=yes \
    bash /tmp/below router.service
asks AccessDenied "or below a slice's name there" run --unit other.service -p User=alice -p Delegate=yes \
    bash /tmp/below net.slice/router.service
asks AccessDenied "or below another scope" scope --unit other.scope -p Delegate=yes \
    bash /tmp/below router.scope setpriv --reuid alice --regid alice --clear-groups --

echo "== a unit of alice's own service manager"
mkdir -p /home/alice/.config/systemd/user/default.target.wants /run/systemd/system/user@.service.d /run/user/1000
cat >/home/alice/.config/systemd/user/router.service <<UNIT
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'cat /proc/self/cgroup; PYTHONPATH=$here python3 $here/verdict.py $edu_b'
StandardOutput=file:/home/alice/heard
StandardError=inherit
UNIT
ln -sf ../router.service /home/alice/.config/systemd/user/default.target.wants/router.service
chown -R alice:alice /home/alice /run/user/1000
# Without the log-in service there is nobody else to say where its sockets are.
printf '[Unit]\nRequires=\nAfter=\n[Service]\nPAMName=\nEnvironment=XDG_RUNTIME_DIR=/run/user/1000\n' \
    >/run/systemd/system/user@.service.d/vm.conf
systemctl daemon-reload
systemctl start user@1000.service || systemctl status user@1000.service
eventually 30 "a user unit of that name has asked" test -s /home/alice/heard
eventually 30 "and heard" grep -qvE "^0::" /home/alice/heard
expect 0 "it runs where it should" grep -q '/user@1000.service/.*/router.service$' /home/alice/heard
output=$(grep -vE "^0::" /home/alice/heard)
says AccessDenied "and is not the system's unit"
systemctl stop user@1000.service

echo "== a deny for a unit"
policy "{ \"version\": 1, $uid_policy, \"rules\": [
  { \"id\": \"both\", \"effect\": \"allow\", $edu, \"subjects\": [ { \"user\": \"alice\" }, { \"user\": \"bob\" } ] },
  { \"id\": \"not-there\", \"effect\": \"deny\", \"subjects\": [ { \"unit\": \"router.service\" } ] } ] }"
asks given "alice, elsewhere" as alice
asks AccessDenied "alice in router.service" run --unit router.service -p User=alice
asks AccessDenied "a process that moved away below" run --unit router.service -p User=alice -p Delegate=yes \
    bash /tmp/below other.service
asks given "a unit of that name below another" run --unit other.service -p User=alice -p Delegate=yes \
    bash /tmp/below router.service

echo "== groups"
policy "{ \"version\": 1, \"accounts\": [ { \"match\": { \"group\": \"vfio\" }, \"memory\": \"4MiB\" } ], \"rules\": [
  { \"id\": \"vfio\", \"effect\": \"allow\", $edu, \"subjects\": [ { \"group\": \"vfio\" } ] } ] }"
asks AccessDenied "bob is not in the group" as bob
asks given "a service of his with it" run -p User=bob -p SupplementaryGroups=vfio
asks given "or with it as its own group" run -p User=bob -p Group=vfio
sed -i 's/^vfio:.*/vfio:x:1002:bob/' /etc/group
asks given "bob, once he is in it" as bob
asks AccessDenied "but not what he started before" setpriv --reuid bob --regid bob --clear-groups --
asks AccessDenied "alice still not" as alice
eventually 20 "no lease is left" no_leases
eventually 20 "no keeper is left" no_keepers
finish
