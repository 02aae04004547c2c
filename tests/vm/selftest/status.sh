#!/bin/bash
# Says something on both outputs and exits with the status it was given.
echo "to standard output"
echo "to standard error" >&2
exit "${1:?status}"
