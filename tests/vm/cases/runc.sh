#!/usr/bin/env bash
# needs: runc
# kernel: 6.12
# shellcheck disable=SC2034
runtime=runc
# shellcheck source=tests/vm/cases/runtime.bash
. "$IOMMUD_TREE/tests/vm/cases/runtime.bash"
