#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Recording has not become more expensive: figures of the guest mix under QEMU 10.0, each against
# what was measured beside it, so that they say something on machines that are busy, too.
#
#   size      bits for an instruction: the same everywhere
#   counted   instructions of the host for an event (a block or an access), by callgrind: of a
#             vCPU's thread more than with the anchor, of the recorder's thread, of the decoder
#             (everything once, blocks alone once). The same everywhere, too, but for compilers.
#             Of a longer run and a shorter one the difference: what QEMU needs to begin is in
#             both.
#   measured  user time of the vCPU's thread / with the anchor. Only this knows what an instruction
#             costs (a lock, a cache miss). The best of three, which any calm moment serves.
#
# QTRACE_TEST_LONG=1: every row of the table of bench/run can be made.

. "$(dirname "$0")/../lib.sh"

# Limits, with what it was when they were set. Better figures are a reason to lower them.
max_bits=0.52          # 0.48
max_vcpu_insns=24      # 19
max_recorder_insns=115 # 103
max_decoder_insns=105 # 93
max_ratio=1.9          # 1.1 on a quiet machine, 1.4 on a busy one

# at_most NAME FIGURE LIMIT
at_most() {
    if [[ $2 =~ ^-?[0-9.]+$ ]] && awk "BEGIN { exit !($2 <= $3) }"; then
        ok "$1: $2, at most $3"
    else
        not_ok "$1" "$2, more than $3"
    fi
}

# ---- size, measured ----

status_of "$top/bench/run" --runs 3 --qemus 10.0 --guests x86_64 --programs mix --no-execlog \
    --output "$tmp/table.md" --json "$tmp/table.json" flush=1000s
if ((status != 0)); then
    not_ok "bench/run" "status $status"
    show_output
    exit 1
fi
check "bench/run: a row in each part of the table" \
    test "$(grep -c '^| 10.0 x86_64 mix ' "$tmp/table.md")" = 3
read -r bits ratio lost < <(python3 -c 'import json, sys
row = json.load(open(sys.argv[1]))[0]
print("%.3f %.2f %d" % (row["bits"], row["ratio_vcpu"]["min"], row["lost"]))' "$tmp/table.json")
at_most "bits for an instruction" "$bits" "$max_bits"
at_most "time of the vCPU's thread / with the anchor" "$ratio" "$max_ratio"
at_most "lost" "$lost" 0

# ---- counted ----

# counted NAME COMMAND...: prints instructions of each thread that took part in the work
counted() {
    local out=$tmp/callgrind.$1
    shift
    valgrind -q --tool=callgrind --separate-threads=yes --callgrind-out-file="$out" "$@" \
        >"$tmp/stdout" 2>"$tmp/stderr" && cat "$out"-* | awk '
            $1 == "totals:" && $2 > 1000000 { printf "%s ", $2 }
            END { print "" }'
}

# scale SCALE: instructions of the vCPU's thread, of the recorder's, of the decoder, of a vCPU's
# thread with the anchor; and events
scale() {
    local run=("$QEMU10/qemu-x86_64" -plugin)
    local guest=("$GUESTS/x86_64/mix" "$1")
    counted "anchor.$1" "${run[@]}" "$tmp/anchor.so" "${guest[@]}" >"$tmp/anchor.$1" &
    counted "qtrace.$1" "${run[@]}" "$qtrace_plugin,out=$tmp/$1.qtr,flush=1000s" "${guest[@]}" \
        >"$tmp/qtrace.$1"
    counted "decode.$1" "$tmp/decode" "$tmp/$1.qtr" 1 >"$tmp/decode.$1"
    wait
    "$qtrace_dump" "$tmp/$1.qtr" | awk '$1 == "all" { print $2 + $4 }' >"$tmp/events.$1"
    cat "$tmp"/{qtrace,decode,anchor,events}."$1" | tr '\n' ' '
}

# shellcheck disable=SC2046
if ! command -v valgrind >/dev/null; then
    skip "instructions for an event" "there is no valgrind"
elif ! cc -shared -fPIC -O2 $(pkg-config --cflags glib-2.0) -isystem "$HDR100" \
    "$top/bench/anchor.c" -o "$tmp/anchor.so" || ! cc -O2 -I "$top/libqtrace/include" \
    "$top/bench/decode.c" -o "$tmp/decode" "$qtrace_plugin" \
    -Wl,-rpath,"$(dirname "$qtrace_plugin")"; then
    not_ok "build anchor.c, decode.c"
else
    read -r vcpu recorder decoder anchor < <(echo $(scale 1) $(scale 6) |
        awk 'NF == 10 { events = $10 - $5; printf "%.1f %.1f %.1f %.1f\n", ($6 - $1) / events,
            ($7 - $2) / events, ($8 - $3) / events, ($9 - $4) / events }') || true
    more=$(awk "BEGIN { print ${vcpu:-nan} - ${anchor:-nan} }")
    at_most "instructions for an event, a vCPU's, more than with the anchor" "$more" \
        "$max_vcpu_insns"
    at_most "instructions for an event, the recorder's" "$recorder" "$max_recorder_insns"
    at_most "instructions for an event, the decoder's" "$decoder" "$max_decoder_insns"
fi

if [[ $long ]]; then
    check "every row can be made" "$top/bench/run" --runs 1 --output "$tmp/table.md"
fi
