#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Traces that are cut, damaged or lossy: a plugin that logs everything gets exactly what
# qtrace-dump finds in the file, then its exit callback, and the exit status is that of the file.
# (tests/e2e/damage.sh shows that qtrace-dump finds what there is.)

. "$(dirname "$0")/../lib.sh"

# shellcheck disable=SC2046
if ! cc -shared -fPIC -O2 -Wall -Wextra -Wno-unused-parameter -DQEMU_PLUGIN_API_VERSION=4 \
    $(pkg-config --cflags glib-2.0) -I"$top/libqtrace/include" "$top/tests/probe/api.c" \
    -o "$tmp/api.so" -lglib-2.0; then
    not_ok "build the probe"
    exit 1
fi

# The log of the probe from that of qtrace-dump. A block whose definition is lost has no address.
from_dump() {
    awk '
    function rest(s) {
        while (done[s]++ < started[s]) {
            print s, "i"
        }
        started[s] = 0
    }
    { s = substr($1, 2) }
    /^s[0-9]+ b[0-9]+ i[0-9]+ id=/ {
        rest(s)
        known[s] = match($5, /^pc=/)
        if (known[s]) {
            print s, "b", substr($5, 4)
            split(substr($6, 9), part, "/")
            started[s] = part[1] + 0
            done[s] = 0
        }
        next
    }
    /^s[0-9]+ a[0-9]+ b[0-9]+ id=/ && $6 ~ /^pc=/ {
        insn = substr($5, 6) + 0
        for (; done[s] <= insn && done[s] < started[s]; done[s]++) {
            print s, "i"
        }
        print s, "a", $7, $8, $9
        next
    }
    END {
        for (s in started) {
            rest(s)
        }
    }'
}

compared=0

# judge NAME TRACE
judge() {
    local wanted=0
    "$qtrace_dump" --events "$2" >"$tmp/events" 2>/dev/null || wanted=$?
    from_dump <"$tmp/events" | sort -s -n -k 1,1 >"$tmp/wanted"
    status_of timeout -k 10 100 "$qtrace_replay" -o "$tmp/log" -a "$tmp/api.so,log" "$2"
    sort -s -n -k 1,1 <(grep -v '^end$' "$tmp/log") >"$tmp/found"
    if ((status != wanted)); then
        not_ok "$1" "status $status instead of $wanted"
    elif [[ $(tail -n 1 "$tmp/log") != end ]]; then
        not_ok "$1" "no exit callback"
    elif ! cmp -s "$tmp/wanted" "$tmp/found"; then
        not_ok "$1" "$(diff "$tmp/wanted" "$tmp/found" | head -n 6)"
    else
        compared=$((compared + 1))
        by_status[status]=$((${by_status[status]:-0} + 1))
    fi
}

by_status=()

record() {
    local out=$1 options=$2
    shift 2
    if ! qemu-x86_64 -plugin "$qtrace_plugin,out=$out$options" "$@" >/dev/null 2>"$tmp/stderr"
    then
        not_ok "record" "$(tail -n 1 "$tmp/stderr")"
        exit 1
    fi
}

record "$tmp/faults" "" "$GUESTS/x86_64/faults" 5
record "$tmp/threads" "" "$GUESTS/x86_64/threads" 3
record "$tmp/lossy" ",loss=drop,ring=64K" "$GUESTS/x86_64/mix" 1

for name in faults threads lossy; do
    judge "$name, as recorded" "$tmp/$name"
    size=$(stat -c %s "$tmp/$name")
    for ((i = 1; i <= (long ? 200 : 12); i++)); do
        head -c $((size * i / (long ? 201 : 13))) "$tmp/$name" >"$tmp/hurt"
        judge "$name, cut at $(stat -c %s "$tmp/hurt")" "$tmp/hurt"
        cp "$tmp/$name" "$tmp/hurt"
        at=$((i * 7919 * 104729 % size))
        byte=$(od -An -t u1 -j $at -N 1 "$tmp/$name")
        # shellcheck disable=SC2059
        printf "\\x$(printf %x $((byte ^ (1 << i % 8))))" |
            dd of="$tmp/hurt" bs=1 seek=$at conv=notrunc status=none
        judge "$name, a bit changed at $at" "$tmp/hurt"
    done
done
for status in "${!by_status[@]}"; do
    ok "${by_status[status]} traces of status $status"
done
if ((${by_status[3]:-0} < 10 || ${by_status[4]:-0} < 10)); then
    not_ok "many kinds of damage" "too few"
fi
