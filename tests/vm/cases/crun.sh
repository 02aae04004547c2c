#!/usr/bin/env bash
# needs: crun
# kernel: 6.12
# shellcheck disable=SC2034
runtime=crun
# shellcheck source=tests/vm/cases/runtime.bash
. "$IOMMUD_TREE/tests/vm/cases/runtime.bash"
