#!/usr/bin/env bash
# org.iommud1 on the system bus: everybody may look, nobody gets a lease there unless policy says so, and its worker is
# replaced when it, or the bus, dies.
# needs: python3-dbus python3-gi
# kernel: newest
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
policy "$alice_policy"
manager=(org.iommud1 /org/iommud1 org.iommud1.Manager)
device=/org/iommud1/device/_30000_3a00_3a04_2e0

echo "the bus: $(systemctl show -p Id --value dbus.service), $(pgrep -l '^dbus-(daemon|broker)$' | tr '\n' ' ')"
eventually 120 "the name has an owner" busctl --system status org.iommud1
worker() { busctl --system status org.iommud1 | sed -n 's/^PID=//p'; }
owned_by() { [ "$(busctl --system status org.iommud1 | sed -n 's/^EUID=//p')" = "$(id -u "$1")" ]; }
expect 0 "a process of uid iommud-bus" owned_by iommud-bus
expect 1 "which nobody else may have" as bob busctl --system call org.freedesktop.DBus /org/freedesktop/DBus \
    org.freedesktop.DBus RequestName su org.iommud1 0

echo "== bob looks"
expect 0 "bob introspects" as bob busctl --system introspect "${manager[@]:0:2}"
says Acquire "and finds what there is"
expect 0 "reads a property" as bob busctl --system get-property "${manager[@]}" KernelInterface
says iommufd "which says what kernel this is"
expect 0 "lists the objects" as bob busctl --system tree --list org.iommud1
says "$device" "devices are among them"
expect 0 "reads a device" as bob busctl --system get-property org.iommud1 $device org.iommud1.Device State
says available "and its state"
expect 1 "writes nothing" as bob busctl --system set-property "${manager[@]}" Version s 9

echo "== nobody gets a lease"
for who in bob alice; do
    expect 1 "$who acquires nothing here" as $who busctl --system call "${manager[@]}" Acquire 'asa{sv}' 1 $edu_a 0
    says "unix:path=/run/iommud/bus" "and is told which socket is for that"
done
expect 1 "bob is refused by name" as bob python3 "$here/bus.py" --system /org/iommud1 org.iommud1.Manager.Acquire 'asa{sv}' \
    "[[\"$edu_a\"], {}]"
says org.iommud1.Error.AccessDenied "AccessDenied"
expect 1 "root has no verbs here" busctl --system call "${manager[@]}" Reload 'a{sv}' 0
expect 1 "nor accounts" busctl --system call "${manager[@]}" GetAccounts 'a{sv}' 0

echo "== a lease is nobody's business"
start_agent alice $edu_a 1MiB
leased() { as bob busctl --system get-property org.iommud1 $device org.iommud1.Device State | grep -q leased; }
eventually 20 "the device's state is seen" leased
expect 0 "bob reads who has it" as bob busctl --system get-property org.iommud1 $device org.iommud1.Device Lease
says 'o "/"' "and does not see that"
expect 0 "he lists the objects" as bob busctl --system tree --list org.iommud1
[[ $output != *iommud1/lease/* ]] || { echo "FAIL a lease is among them: $output"; failures=$((failures + 1)); }
expect 1 "he guesses its path" as bob busctl --system get-property org.iommud1 /org/iommud1/lease/1 org.iommud1.Lease Holder
expect 1 "so does alice" as alice busctl --system call org.iommud1 /org/iommud1/lease/1 org.iommud1.Lease Release 'a{sv}' 0
expect 0 "it goes on" leased
stop_agent

echo "== policy opens it"
policy '{
  "version": 1,
  "host": { "bus_acquire": true },
  "accounts": [ { "match": { "user": "alice" }, "memory": "12MiB" } ],
  "rules": [ { "id": "edu-for-alice", "effect": "allow", "subjects": [ { "user": "alice" } ],
               "devices": [ { "address": "'$edu_a'" } ], "allow_no_reset": true },
             { "id": "unit", "effect": "allow", "subjects": [ { "unit": "vm.service" } ],
               "devices": [ { "address": "'$edu_b'" } ] } ]
}'
opened() { as bob busctl --system get-property "${manager[@]}" Features | grep -q bus_acquire; }
eventually 120 "everybody sees that" opened
acquire() { as "$1" python3 "$here/bus.py" --system /org/iommud1 org.iommud1.Manager.Acquire 'asa{sv}' "[[$2], {}]"; }
for name in libdbus gdbus; do
    coproc BUS { as alice /usr/bin/python3 "$here/conformance.py" $name system bus-lease $edu_a 2>&1; }
    bus_out=${BUS[0]} bus_in=${BUS[1]} bus_pid=$BUS_PID line=
    while read -r -t 120 line <&"$bus_out" && [[ $line != /* ]]; do echo "     $name: $line"; done
    lease=$line
    [[ $lease == /org/iommud1/lease/* ]] || { echo "FAIL no lease by $name"; failures=$((failures + 1)); }
    expect 1 "bob does not see it" as bob busctl --system get-property org.iommud1 "$lease" org.iommud1.Lease State
    expect 1 "nor release it" as bob busctl --system call org.iommud1 "$lease" org.iommud1.Lease Release 'a{sv}' 0
    expect 1 "nor does root" busctl --system call org.iommud1 "$lease" org.iommud1.Lease Release 'a{sv}' 0
    expect 1 "nor alice at the host's socket" as alice python3 "$here/bus.py" "$lease" org.iommud1.Lease.Release 'a{sv}' '[{}]'
    expect 0 "it goes on" leased
    echo >&"$bus_in"
    while read -r -t 120 line <&"$bus_out"; do echo "     $name: $line"; done
    eventually 120 "it is released" device_is $edu_a available
    eventually 120 "its holder ends" bash -c "! kill -0 $bus_pid"
done
expect 1 "bob has no rule" acquire bob "\"$edu_a\""
says AccessDenied "and is denied"
expect 1 "root is nobody special" acquire root "\"$edu_a\""
says AccessDenied "and is denied, too"
expect 1 "a rule for a unit is for nobody here" acquire root "\"$edu_b\""
says AccessDenied "though root is in it"
expect 1 "root has no verbs here" busctl --system call "${manager[@]}" Reload 'a{sv}' 0
printf -v many '"0000:00:%02x.0",' {0..15}
expect 1 "16 devices are more than an answer carries" acquire alice "${many%,}"
says "17 descriptors" "which is said before anything is opened"

echo "== who vanishes, and who asks too much"
same=$(worker)
expect 0 "alice asks, and is gone before the answer, ten times" as alice python3 "$here/bus_senders.py" vanish $edu_a 10
eventually 120 "nothing is left of that" device_is $edu_a available
eventually 120 "no keeper either" no_keepers
coproc FLOOD { as bob python3 "$here/bus_senders.py" flood 2>&1; }
flood_out=${FLOOD[0]} flood_in=${FLOOD[1]} flood_pid=$FLOOD_PID line=
read -r -t 60 line <&"$flood_out"
[ "$line" = asking ] || { echo "FAIL the flood: $line"; failures=$((failures + 1)); }
expect 0 "alice is served while bob asks without end" acquire alice "\"$edu_a\""
echo >&"$flood_in"
read -r -t 120 line <&"$flood_out"
echo "     bob: $line"
eventually 120 "bob ends" bash -c "! kill -0 $flood_pid"
expect 0 "the worker is the same" test "$(worker)" = "$same"

echo "== its worker dies"
before=$(worker)
kill -9 "$before"
comes_back() { local now; now=$(worker) && [ "$now" ] && [ "$now" != "$before" ]; }
eventually 120 "another takes the name" comes_back
expect 0 "of the same uid" owned_by iommud-bus
expect 0 "and answers" as bob busctl --system get-property "${manager[@]}" Version

echo "== the bus dies"
start_agent alice $edu_a 1MiB
before=$(worker)
kill -9 "$(pgrep -x dbus-daemon || pgrep -x dbus-broker)"
eventually 120 "another worker takes the name on the next one" comes_back
expect 0 "and answers" as bob busctl --system get-property "${manager[@]}" Version
expect 0 "the lease goes on" device_is $edu_a leased
stop_agent
said=$(journalctl -b --no-pager -o cat -u iommud | grep -c 'the worker of the system bus')
[ "$said" = 1 ] || { echo "FAIL the journal has $said lines of that, expected one for all within a minute"; failures=$((failures + 1)); }
expect 0 "the monitor is restarted" systemctl restart iommud
eventually 120 "and the name comes back" as bob busctl --system get-property "${manager[@]}" Version
finish
