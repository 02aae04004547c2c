"""Who is refused, in a user namespace of alice's: denies.py GROUPS DEVICE UID..., as root. She enters it with GROUPS (by
number, separated by commas) and, but for "keep" in front of them, drops them there. Prints a line for each UID of the
namespace: 0 is she, the others are her subordinate ones."""
import os
import sys

import namespace
from verdict import verdict

groups, device, *uids = sys.argv[1:]
keep = groups.startswith("keep,")
namespace.enter("alice", [int(group) for group in groups.removeprefix("keep,").split(",")])
if not keep:
    os.setgroups([])
for uid in map(int, uids):
    print(f"{uid}: {verdict(namespace.connect(uid), device)}")
