#!/bin/bash
# Real DMA through contexts made in each way that this kernel knows: proof.sh va|file|type1...
set -eu
for mode in "$@"; do
    echo "proof_dma $mode on $(uname -r)"
    proof_dma "$mode"
done
