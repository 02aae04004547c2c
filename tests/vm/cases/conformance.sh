#!/usr/bin/env bash
# D-Bus clients that are not ours find what they expect: at the daemon's own sockets, on the system bus, and from inside a
# user namespace. What a tool cannot do peer to peer is tried all the same, and its own words are shown.
# needs: python3-dbus python3-gi libglib2.0-bin dbus
# kernel: newest
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
policy "$alice_policy"
socket=unix:path=/run/iommud/bus
inside=()
manager=org.iommud1.Manager properties=org.freedesktop.DBus.Properties
device=/org/iommud1/device/_30000_3a00_3a04_2e0
echo "the bus: $(systemctl show -p Id --value dbus.service)"

# binding WHERE NAME CHECK...: one of Python's bindings (bindings.py); Debian's own Python has them.
binding() { as alice "${inside[@]}" /usr/bin/python3 "$here/conformance.py" "$2" "$1" "${@:3}"; }
# conforms WHAT COMMAND...: as `expect 0`, and shows each expectation that was met.
conforms() {
    expect 0 "$@"
    printf '%s\n' "$output" | sed 's/^/     /'
}
# cannot WHAT SAYING COMMAND...: the tool does not do that, and gives this reason for it.
cannot() {
    expect 1 "$1" "${@:3}"
    says "$2" "for: ${output##*$'\n'}"
}
free() { device_is $edu_a available; }

echo "== peer to peer: libdbus and GDBus, by Python"
for name in libdbus gdbus; do
    conforms "$name looks" binding $socket $name looks
    conforms "$name is refused" binding $socket $name refusals
    conforms "$name has a lease" binding $socket $name lease $edu_a
    eventually 120 "which ends" free
done

echo "== peer to peer: dbus-send, whose dictionaries hold no variants"
peer() { as alice "${inside[@]}" dbus-send --peer=$socket --print-reply "$@"; }
expect 0 "Ping" peer /org/iommud1 org.freedesktop.DBus.Peer.Ping
expect 0 "Introspect" peer /org/iommud1 org.freedesktop.DBus.Introspectable.Introspect
says "<method name=\"Acquire\">" "has the methods"
expect 0 "GetAll" peer $device $properties.GetAll string:org.iommud1.Device
says "string \"$edu_a\"" "has the address"
expect 0 "GetManagedObjects" peer /org/iommud1 org.freedesktop.DBus.ObjectManager.GetManagedObjects
says "object path \"$device\"" "has the device"
refused_peer() { expect 1 "$1" peer "${@:3}" && says "$2" "$2"; }
refused_peer "another type of options" InvalidArgs /org/iommud1 $manager.Acquire array:string:$edu_a dict:string:string:a,b
refused_peer "a property to write" PropertyReadOnly /org/iommud1 $properties.Set string:$manager string:Version variant:string:9
refused_peer "a method that is none" UnknownMethod /org/iommud1 $manager.Nonsense
refused_peer "a path that is none" UnknownObject /org/nonsense $manager.Acquire
refused_peer "the machine's id" NotSupported /org/iommud1 org.freedesktop.DBus.Peer.GetMachineId
cannot "a variant in a dictionary is more than dbus-send has" 'Unknown type "variant"' \
    peer /org/iommud1 $manager.Acquire array:string:$edu_a dict:string:variant:memory,uint64:4096

echo "== peer to peer: tools that say Hello, to a bus that is not there"
no_bus="Unknown object '/org/freedesktop/DBus'"
cannot "busctl" "Invalid request descriptor" busctl --address=$socket call org.iommud1 /org/iommud1 org.freedesktop.DBus.Peer Ping
cannot "gdbus" "$no_bus" gdbus introspect --address $socket --object-path /org/iommud1
cannot "dbus-send with --bus" "$no_bus" dbus-send --bus=$socket --print-reply /org/iommud1 org.freedesktop.DBus.Peer.Ping
cannot "dbus-monitor" "$no_bus" dbus-monitor --address $socket

echo "== from inside a user namespace: what a client sends as its uid is not who it is"
for inside in "unshare --user --map-root-user" "unshare --user"; do
    read -ra inside <<<"$inside"
    echo "-- ${inside[*]}"
    conforms "libdbus has a lease" binding $socket libdbus lease $edu_a
    eventually 120 "which ends" free
    expect 0 "libdbus in C connects" peer /org/iommud1 org.freedesktop.DBus.Peer.Ping
    expect 0 "sd-bus, by libiommud, does DMA" as alice "${inside[@]}" $examples/edu_driver $edu_a
    says "DMA OK" "and says so"
    expect 3 "and bob is bob there" as bob "${inside[@]}" iommuctl run --device $edu_a -- true
    says "bob (uid 1001)" "by name"
    if ((${#inside[@]} == 3)); then
        conforms "GDBus has a lease" binding $socket gdbus lease $edu_a
        eventually 120 "which ends" free
    else
        cannot "GDBus sends credentials, which the kernel refuses of a uid that has no number here" \
            "Error sending credentials" binding $socket gdbus looks
    fi
done
inside=()

echo "== the system bus: busctl"
bus() { as bob busctl --system "$@"; }
eventually 120 "the name has an owner" busctl --system status org.iommud1
expect 0 "tree" bus tree --list org.iommud1
says $device "has the device"
expect 0 "introspect" bus introspect org.iommud1 $device org.iommud1.Device
says "\"$edu_a\"" "has its address"
expect 0 "GetAll" bus call org.iommud1 $device $properties GetAll s org.iommud1.Device
expect 0 "GetManagedObjects" bus call org.iommud1 /org/iommud1 org.freedesktop.DBus.ObjectManager GetManagedObjects
expect 0 "Ping" bus call org.iommud1 /org/iommud1 org.freedesktop.DBus.Peer Ping
refused() { expect 1 "$1" "${@:3}" && says "$2" "$2"; }
refused "GetMachineId" "machine's id is not told" bus call org.iommud1 /org/iommud1 org.freedesktop.DBus.Peer GetMachineId
refused "a property to write" "not writable" bus set-property org.iommud1 /org/iommud1 $manager Version s 9
refused "a method that is none" "Unknown method" bus call org.iommud1 /org/iommud1 $manager Nonsense
refused "a type that is wrong" "Invalid arguments" bus call org.iommud1 /org/iommud1 $manager Acquire t 1

echo "== the system bus: gdbus and dbus-send"
ours=(--system --dest org.iommud1 --object-path)
expect 0 "gdbus introspect" as bob gdbus introspect "${ours[@]}" /org/iommud1 --recurse
says "State = 'available'" "has the devices and their properties"
expect 0 "gdbus call" as bob gdbus call "${ours[@]}" $device --method $properties.Get org.iommud1.Device Address
says "(<'$edu_a'>,)" "answers"
refused "gdbus call of what is none" UnknownMethod as bob gdbus call "${ours[@]}" $device --method org.iommud1.Device.Nonsense
sent=(as bob dbus-send --system --print-reply --dest=org.iommud1)
expect 0 "dbus-send" "${sent[@]}" $device $properties.GetAll string:org.iommud1.Device
says "string \"$edu_a\"" "answers"
refused "dbus-send of what is none" UnknownObject "${sent[@]}" /nonsense $manager.Acquire

echo "== the system bus: signals are heard by who asks for them"
(as bob stdbuf -oL gdbus monitor "${ours[@]}" $device >/tmp/gdbus 2>&1) &
(as bob stdbuf -oL dbus-monitor --system "type='signal',sender='org.iommud1',path='$device'" >/tmp/dbus-monitor 2>&1) &
eventually 120 "gdbus listens" grep -q "owned by" /tmp/gdbus
eventually 120 "dbus-monitor listens" grep -q NameAcquired /tmp/dbus-monitor
start_agent alice $edu_a 1MiB
eventually 120 "gdbus hears of the lease" grep -q "'State': <'leased'>" /tmp/gdbus
eventually 120 "dbus-monitor, too" grep -q leased /tmp/dbus-monitor
stop_agent
eventually 120 "and of its end" grep -q "'State': <'available'>" /tmp/gdbus
kill "$(pgrep -x -u bob gdbus)" "$(pgrep -x -u bob dbus-monitor)"

echo "== the system bus: libdbus and GDBus, by Python"
for name in libdbus gdbus; do
    conforms "$name looks" binding system $name looks
    conforms "$name is refused" binding system $name refusals
done
finish
