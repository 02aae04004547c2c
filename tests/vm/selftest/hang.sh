#!/bin/bash
# Never ends, and leaves a child behind that holds on to the output.
echo "hanging"
sleep infinity &
wait
