#!/usr/bin/env bash
# What ./demo --vm shows: a user without any privilege gets a device, does DMA, and meets her limit.
show() {
    echo
    echo "\$ $*"
    "$@" || echo "(exit $?)"
}
alice() { setpriv --reuid alice --regid alice --init-groups --bounding-set=-all --no-new-privs -- "$@"; }

cat >/etc/iommud/policy.d/10-demo.json <<'P'
{
  "version": 1,
  "accounts": [ { "match": { "user": "alice" }, "memory": "12MiB" } ],
  "rules": [ { "id": "edu-for-alice", "effect": "allow", "subjects": [ { "user": "alice" } ],
               "devices": [ { "vendor": "1234", "device": "11e8" } ] } ]
}
P
show iommuctl reload
show iommuctl status
show iommuctl devices
show alice id
show alice /usr/libexec/iommud/examples/edu_driver 0000:00:04.0
show alice iommuctl run --device 0000:00:04.0 --memory 12292KiB -- true
show alice iommuctl policy explain 0000:00:08.0
