#!/bin/bash
# Ends the guest's kernel.
echo "about to crash"
echo c >/proc/sysrq-trigger
sleep infinity
