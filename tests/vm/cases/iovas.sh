#!/usr/bin/env bash
# What is said of iovas that cannot be had, with an IOMMU of 39 bits that has no extended interrupts.
# kernel: newest
# long: 6.12
# iommu: aw-bits=39,eim=off
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
export agent_program=hazard_client.py
policy "$alice_policy"

start_agent alice $edu_a 8MiB
ask "map first plain 65536 0x1000000" "0 0x1000000" "a map"
ask "dma first 0x1000000" OK "does DMA"
ask "map other plain 65536 0x1000001" "10 0x1004" "an iova that is no page's is misaligned, to a page"
ask "map other plain 65536 0xff8000" "10 0x1000005" "one that overlaps names the map"
ask "map other plain 65536 0xfee00000" "10 0xfee00006" "one where interrupts are written is reserved"
ask "map other plain 65536 0xfedf8000" "10 0xfee00006" "as is one that reaches it"
ask "map other plain 65536 0x8000000000" "10 0x8000000007" "one of more than 39 bits is beyond"
ask "map other plain 65536 0x7ffffffff000" "10 0x7ffffffff007" "whatever it is"
ask "map other plain 65536 0x7fffff0000" "0 0x7fffff0000" "the last that there is can be had"
stop_agent
eventually 20 "the lease ends" no_leases
finish
