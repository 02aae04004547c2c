#!/usr/bin/env bash
# Memory of huge pages: mapped, driven and counted as any other; in a memfd, and in a file of hugetlbfs, as DPDK has it.
# shellcheck source=tests/vm/cases/lib.sh
. "$IOMMUD_TREE/tests/vm/cases/lib.sh"
export agent_program=hazard_client.py
policy "$alice_policy"
mib=$((1 << 20))
echo 8 >/proc/sys/vm/nr_hugepages
expect 0 "eight huge pages are to be had" grep -q '^HugePages_Free: *8$' /proc/meminfo
free_are() { grep -q "^HugePages_Free: *$1\$" /proc/meminfo; }

start_agent alice $edu_a 12MiB
ask "map untouched huge-untouched $((2 * mib)) 0x1000000" "0 0x1000000" "a huge page that is not there is made"
ask "content untouched" zeroes "and cleared"
ask "dma untouched 0x1000000" OK "DMA goes through it"
ask "unmap 0x1000000" "0 $((2 * mib))" "it is unmapped"
ask "forget untouched" forgotten "and given back"
ask "map whole huge-half $((4 * mib)) 0x1000000" "0 0x1000000" "so is the second of two"
ask "unmap 0x1000000" "0 $((4 * mib))" "they are unmapped"
ask "forget whole" forgotten "and given back"
mkdir -p /tmp/huge && mount -t hugetlbfs -o pagesize=2M,mode=1777 none /tmp/huge
ask "map-file /tmp/huge/dpdk $((4 * mib)) 0x1000000" "0 0x1000000" "a file of hugetlbfs is memory"
ask "dma /tmp/huge/dpdk 0x1000000" OK "DMA goes through it"
ask "unmap 0x1000000" "0 $((4 * mib))" "it is unmapped"
ask "map-part /tmp/huge/dpdk 0 $((6 * mib)) 0x1000000" "11 0x6" "beyond its end is nothing"
ask "forget /tmp/huge/dpdk" forgotten "and given back"
rm /tmp/huge/dpdk
ask "map whole huge $((8 * mib)) 0x1000000" "0 0x1000000" "four huge pages are mapped"
ask "dma whole 0x1000000" OK "DMA goes through them"
ask mapped $((8 * mib)) "they are counted"
ask "map-part whole 4096 4096 0x3000000" "10 0x200003" "a part that is no whole huge page is refused"
ask "map-part whole 0 $((6 * mib)) 0x3000000" "5 0x400000" "and so is what is above the limit"
ask "map plain plain $((4 * mib)) 0x2000000" "0 0x2000000" "beside them goes memory of small pages, to the limit"
ask "map more plain 4096 0x3000000" "5 0x0" "and not a page more"
ask "unmap 0x1000000" "0 $((8 * mib))" "they are unmapped"
ask "dma whole 0x1000000" BLOCKED "and out of reach"
ask "map-part whole $((2 * mib)) $((4 * mib)) 0x3000000" "0 0x3000000" "two of them are mapped anew"
ask "unmap 0x3000000" "0 $((4 * mib))" "and unmapped"
stop_agent
eventually 20 "no lease is left" no_leases
eventually 20 "nobody holds a huge page" free_are 8
eventually 20 "no keeper is left" no_keepers
finish
