"""Run under `iommuctl run`: limit.py LEASE BYTES: maps up to BYTES, and shows that not one page more can be mapped, in
this process or a fork of it, and that what is unmapped can be mapped again."""
import os
import sys

import lease

channel = lease.Lease(int(sys.argv[1]))
limit = int(sys.argv[2])
half = limit // 2


def expect(what, got, want):
    if got != want:
        sys.exit(f"{what}: {got}, expected {want}")


error, first = channel.map(lease.memory(half), half, iova=0x1000000)
expect("the first half", (error, first), (0, 0x1000000))
error, second = channel.map(lease.memory(limit - half), limit - half)
expect("the second half, exactly to the limit", error, 0)
expect("mapped", channel.query()["mapped"], limit)
expect("one page more", channel.map(lease.memory(lease.PAGE), lease.PAGE), (lease.MEMORY_LIMIT, 0))

other, error = channel.duplicate()
expect("dup", error, 0)
child = os.fork()
if child == 0:
    error, _ = other.map(lease.memory(lease.PAGE), lease.PAGE)
    os._exit(error)
expect("one page more, in a fork", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), lease.MEMORY_LIMIT)

expect("unmap the second half", channel.unmap(second), (0, limit - half))
expect("mapped after that", channel.query()["mapped"], half)
expect("and again", channel.map(lease.memory(limit - half), limit - half)[0], 0)
expect("a page more, again", channel.map(lease.memory(lease.PAGE), lease.PAGE)[0], lease.MEMORY_LIMIT)
print("exactly the limit")
