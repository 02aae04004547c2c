#!/usr/bin/env bash
# org.iommud1 on the system bus: everybody may look, nobody gets a lease there, and its worker is replaced when it dies.
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
policy "$alice_policy"
manager=(org.iommud1 /org/iommud1 org.iommud1.Manager)
device=/org/iommud1/device/_30000_3a00_3a04_2e0

echo "the bus: $(systemctl show -p Id --value dbus.service), $(pgrep -l '^dbus-(daemon|broker)$' | tr '\n' ' ')"
eventually 60 "the name has an owner" busctl --system status org.iommud1
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

echo "== its worker dies"
before=$(worker)
kill -9 "$before"
comes_back() { local now; now=$(worker) && [ "$now" ] && [ "$now" != "$before" ]; }
eventually 60 "another takes the name" comes_back
expect 0 "of the same uid" owned_by iommud-bus
expect 0 "and answers" as bob busctl --system get-property "${manager[@]}" Version
expect 0 "the monitor is restarted" systemctl restart iommud
eventually 60 "and the name comes back" as bob busctl --system get-property "${manager[@]}" Version
finish
