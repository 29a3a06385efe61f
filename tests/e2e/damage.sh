#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Whatever is done to a trace, a reader notices it, gives everything else, says exactly what is
# missing, and nothing wrong; see tests/damage/damage.c. Of a failure its number is shown, with
# which it can be had again (`damage make` gives the same trace but for its nonce).
#
# A long run flips every bit where the ordinary one flips one of each byte, and damages larger
# traces in a million random ways (half an hour).

. "$(dirname "$0")/../lib.sh"

damage=$QTRACE_BUILD/tests/damage

# try TRACE OPTION... MODE [OTHER]: the last arguments as those of the program
try() {
    local trace=$1 name
    shift
    name="${trace##*/} ($(stat -c %s "$trace") bytes)"
    status_of "$damage" "$@"
    if ((status == 0)); then
        ok "$name: $(<"$tmp/stdout")"
    else
        not_ok "$name" "status $status: $* - $(<"$tmp/stdout")"
        show_output
    fi
}

# make NAME SEED SIZE LEVEL
make() {
    "$damage" make "$2" "$3" "$4" "$tmp/$1" || not_ok "make $1"
}

# frames TRACE: every manipulation of whole frames
frames() {
    local mode
    for mode in dropped swapped repeated; do
        try "$1" "$mode" "$1"
    done
    for mode in spliced replaced resealed; do
        try "$1" "$mode" "$1" "$tmp/other"
    done
}

make packed 1 60000 1 # 64 KiB with its trailer
make stored 2 40000 0
make other 3 20000 1

frames "$tmp/packed"
frames "$tmp/stored"
flips=bytes
if [[ -n $long ]]; then
    flips=bits
fi
try "$tmp/packed" "$flips" "$tmp/packed"
try "$tmp/packed" cuts "$tmp/packed"
try "$tmp/packed" --count 4000 random "$tmp/packed"
try "$tmp/stored" --count 4000 random "$tmp/stored"

# One that has really been recorded.
if qemu-x86_64 -plugin "$qtrace_plugin,out=$tmp/threads" "$GUESTS/x86_64/threads" \
    >/dev/null 2>"$tmp/stderr"; then
    frames "$tmp/threads"
    try "$tmp/threads" --count $((long ? 100000 : 2000)) random "$tmp/threads"
else
    not_ok "record a trace" "$(tail -n 1 "$tmp/stderr")"
fi

if [[ -n $long ]]; then
    seed=10
    for count in 300000 250000 200000 150000 100000; do
        make "large$seed" "$seed" $((seed * seed * 600)) $((seed % 3))
        try "$tmp/large$seed" --count "$count" random "$tmp/large$seed"
        seed=$((seed + 4))
    done
fi
