#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Files that are made to do harm (hostile.py).

. "$(dirname "$0")/../lib.sh"

python3 "$top/tests/cli/hostile.py" "$qtrace_dump" "$top/tests/reader" "$tmp"
