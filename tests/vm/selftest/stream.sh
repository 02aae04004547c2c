#!/bin/bash
# Output that a careless channel would spoil: a line in pieces, a line without an end, every byte, and much of it.
printf 'first half, '
sleep 2
printf 'second half\n'
for byte in {0..255}; do
    printf -v octal '%03o' "$byte"
    # shellcheck disable=SC2059
    printf "\\$octal"
done
printf '\n'
seq 200000
printf 'no newline at the end'
