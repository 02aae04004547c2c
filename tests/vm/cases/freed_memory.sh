#!/usr/bin/env bash
# What others have freed is not to be had through a device (hazard C19): neither by attaching anew after the file's pages
# were replaced by some that nobody has cleared, nor by replacing them while they are mapped.
# processors: 2
# shellcheck source=tests/vm/cases/attacks.bash
. "$IOMMUD_TREE/tests/vm/cases/attacks.bash"

# foreign HOW WHERE: of how many pages that are others' the device reads (proof_walls.cpp), at most, in three tries.
foreign() {
    local most=0 said
    for _ in 1 2 3; do
        said=$(proof_walls "$1" "$2" $edu_b) || return
        ((${said%% *} <= most)) || most=${said%% *}
        [ "$most" = 0 ] || break
    done
    echo "     $1, $2: $said"
    test "$most" "${@:3}"
}
echo "== each wall alone"
if [[ $(uname -r) != 6.12.* ]]; then
    expect 0 "without any wall the device reads what others freed" foreign file ioas -gt 0
    expect 0 "a page table of the context's own keeps what was mapped pinned" foreign file table -eq 0
fi
expect 0 "a map by address pins what a fault has cleared" foreign address ioas -eq 0
expect 0 "both" foreign address table -eq 0

echo "== attached anew"
for _ in 1 2 3; do
    start_attacker alice $edu_a 8MiB
    ask stale "0 of others, 0 unread" "no page that the device reads is of others"
    stop_agent
    nothing_gained
done

echo "== while it is mapped"
start_attacker alice $edu_a 8MiB
ask "stale-race 10" "0 of others, 0 unread" "nor any that is replaced while it is mapped"
stop_agent
nothing_gained
finish
