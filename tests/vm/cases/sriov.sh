#!/usr/bin/env bash
# Virtual functions of a physical function that VFIO has: the token of a rule is for these, and one lease may have other
# devices beside them.
# kernel: newest
# long: 6.12
# append: vfio_pci.enable_sriov=1
# qemu-args: -device pcie-root-port,id=port9,addr=9,chassis=9 -device nvme-subsys,id=subsystem -device nvme,serial=1,bus=port9,subsys=subsystem,sriov_max_vfs=2,sriov_vq_flexible=4,sriov_vi_flexible=2,max_ioqpairs=6,msix_qsize=7
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
token=bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3
other_token=0d8d9d2b-5a5f-4f5a-a211-f591514ba1f3
physical=$(basename /sys/devices/pci0000:00/0000:00:09.0/*:00.0)
to_vfio "$physical"
echo 2 >"/sys/bus/pci/devices/$physical/sriov_numvfs"
virtual=$(basename "$(readlink "/sys/bus/pci/devices/$physical/virtfn0")")
with_token() { # in the rule, or without one
    policy "{
  \"version\": 1,
  \"accounts\": [ { \"match\": { \"user\": \"alice\" }, \"memory\": \"12MiB\" } ],
  \"rules\": [ { \"id\": \"theirs\", \"effect\": \"allow\", \"subjects\": [ { \"user\": \"alice\" } ], $1
               \"devices\": [ { \"vendor\": \"1234\" }, { \"class\": \"0108\" } ], \"allow_no_reset\": true } ]
}"
}
with_token "\"vf_token\": \"$token\","
eventually 60 "a virtual function is available" device_is "$virtual" available
expect 0 "it is shown" iommuctl device show "$virtual"
says "vf" "as one"

only() { as alice iommuctl run --device "$1" --memory 4KiB -- true; }
beside_another() {
    as alice iommuctl run --device "$virtual" --device $edu_a --memory 1MiB -- \
        bash -c "[ -e /proc/self/fd/{device:$virtual} ] && [ -e /proc/self/fd/{device:$edu_a} ]"
}
expect 0 "a device that has nothing to do with SR-IOV" as alice $examples/edu_driver $edu_a
says "DMA OK" "does DMA, whatever token the rule has"
eventually 20 "the lease ends" no_leases

if [ "$(uname -r | cut -d. -f1)" -ge 7 ]; then
    # Whoever has the physical function says which token its virtual functions want from then on.
    expect 0 "the physical function" only "$physical"
    eventually 20 "the lease ends" no_leases
    expect 0 "a virtual function, and a device that has nothing to do with SR-IOV, in one lease" beside_another
    eventually 20 "the lease ends" no_leases

    echo "== Another token, and none"
    with_token "\"vf_token\": \"$other_token\","
    expect 3 "the virtual function with another token" only "$virtual"
    says "VF token" "is refused for that"
    eventually 20 "the lease ends" no_leases
    with_token ""
    expect 3 "and without one" only "$virtual"
    says "VF token" "is refused for that"
    eventually 20 "the lease ends" no_leases
else
    # This kernel looks for no token when a device is bound to iommufd: nobody takes one for a protection that it is not.
    expect 1 "the virtual function, where there is a token" beside_another
    says "this kernel takes no VF token" "is refused for that"
    eventually 20 "nothing is left" no_leases
    with_token ""
    expect 0 "without one, a virtual function and another device in one lease" beside_another
    eventually 20 "the lease ends" no_leases
fi
expect 1 "no token is in the journal" bash -c "journalctl -b -o verbose | grep -e $token -e $other_token"
finish
