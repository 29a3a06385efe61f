#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The recorder cannot write, or not as fast as the guest runs: the guest goes on as if nothing were
# wrong, the trace has an end with the reason, and what is recorded and what is lost are together
# what the witness counted - per vCPU blocks, instructions and accesses, in all events.

. "$(dirname "$0")/../lib.sh"

sums=$QTRACE_BUILD/tests/trace-sums
inject=$QTRACE_BUILD/tests/inject
mix=$GUESTS/x86_64/mix
threads=$GUESTS/x86_64/threads

for version in 7.2 10.0; do
    headers=$HDR72
    [[ $version == 10.0 ]] && headers=$HDR100
    # shellcheck disable=SC2046
    if ! cc -shared -fPIC -O2 -I"$headers" $(pkg-config --cflags glib-2.0) \
        "$top/tests/e2e/flushes.c" -o "$tmp/flushes-$version.so" 2>"$tmp/stderr"; then
        not_ok "build flushes.c" "$(head -n 1 "$tmp/stderr")"
        exit 1
    fi
done

# use VERSION: sets $qemu and $witness, the options that load it
use() {
    local probe=$PROBE72
    qemu=qemu-x86_64
    if [[ $1 == 10.0 ]]; then
        qemu=$QEMU10/qemu-x86_64 probe=$PROBE100
    fi
    witness=(-plugin "$probe,out=$tmp/witness" -plugin "$tmp/flushes-$1.so,out=$tmp/flushes")
}

# record OPTIONS GUEST...: into $trace, $tmp/run.qtr by default, with the witness, by way of the
# command in $wrapper if there is one. Sets $status, output to $tmp/out, $tmp/err.
trace=$tmp/run.qtr
wrapper=()
record() {
    local options=$1
    shift
    rm -f "$trace" "$tmp"/{witness,flushes}
    status=0
    "${wrapper[@]}" "$qemu" "${witness[@]}" -plugin "$qtrace_plugin,out=$trace$options" "$@" \
        >"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
}

# What the witness counted, in the form of trace-sums --with-lost.
emitted() {
    awk -v flushes="$(cat "$tmp/flushes")" '
        function value(i) { split($i, part, "="); return part[2] }
        $1 == "vcpu" {
            print "vcpu", $2, $5, $6, "accesses=" value(7) + value(8)
            events += value(3) + value(4) + value(13) + value(14)
        }
        /^translations=/ { print "events=" events + value(1) + flushes }' "$tmp/witness"
}

# problem FILE GUEST-OUTPUT: prints what is wrong with the run, nothing if all is well
problem() {
    local verified=0 lost
    if ! cmp -s "$tmp/out" "$2" || ((status != 0)); then
        echo "the guest's output differs, or its status, $status: $(head -c 200 "$tmp/err")"
        return
    fi
    "$qtrace_dump" --verify "$1" >"$tmp/stdout" 2>"$tmp/stderr" || verified=$?
    if ((verified != 0 && verified != 5)); then
        echo "verify: status $verified, $(head -n 1 "$tmp/stderr")"
        return
    fi
    "$sums" --with-lost "$1" >"$tmp/sums" 2>"$tmp/stderr"
    emitted >"$tmp/emitted"
    if ! cmp -s "$tmp/sums" "$tmp/emitted"; then
        echo "recorded and lost: $(diff "$tmp/sums" "$tmp/emitted" | tr '\n' ' ')"
    fi
}

# exact NAME FILE GUEST-OUTPUT
exact() {
    local why
    why=$(problem "$2" "$3")
    if [[ -z $why ]]; then
        ok "$1: recorded + lost = emitted, $(awk '
            FNR == NR { for (i = 1; i < NF; i++) if ($i == "lost") { lost += $(i + 1) } next }
            /^vcpu/ { split($3, b, "="); n += b[2] }
            END { printf "%d vCPUs, %d blocks of which %d lost", FNR - 1, n, lost }' \
            "$tmp/err" "$tmp/sums"), $(tail -n 1 "$tmp/sums")"
    else
        not_ok "$1" "$why"
    fi
}

"$mix" 1 >"$tmp/mix1"
"$mix" 5 >"$tmp/mix5"
"$threads" 6 20 >"$tmp/threads"

# ---- overload: the encoder is slow, rings are small, losses are counted at once

for version in 7.2 10.0; do
    use "$version"
    for ((i = 0; i < (long ? 20 : 2); i++)); do
        record ,loss=drop,ring=64k,level=12 "$mix" 5
        exact "overload, $version, mix" "$trace" "$tmp/mix5"
        check_status "overload, $version, mix: status 5" 5 "$qtrace_dump" --verify "$trace"
        check "overload, $version, mix: it is told" grep -q "rings were full" "$tmp/err"
        record ,loss=drop,ring=64k,level=12 "$threads" 6 20
        exact "overload, $version, threads" "$trace" "$tmp/threads"
        check_status "overload, $version, threads: status 5" 5 "$qtrace_dump" --verify "$trace"
    done
done
