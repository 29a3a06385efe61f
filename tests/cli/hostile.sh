#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Files that are made to do harm (hostile.py).

. "$(dirname "$0")/../lib.sh"

python3 "$top/tests/cli/hostile.py" "$qtrace_dump" "$top/tests/reader" "$tmp"

# Honest, but its definitions alone would take more than 100 MB: they are not kept.
"$QTRACE_BUILD/tests/dictionary" "$tmp/big.qtr" 200000 || not_ok "a large dictionary" "not made"
for mode in --verify --blocks --summary --json --frames "--events --vcpu 0 --from 150000 --count 9"; do
    read -ra words <<<"$mode"
    check "a large dictionary within 64 MiB: ${words[0]}" "$qtrace_dump" "${words[@]}" "$tmp/big.qtr"
done
check "a large dictionary: all of it" test "$("$qtrace_dump" --blocks "$tmp/big.qtr" | grep -c '^id=')" = 200000
