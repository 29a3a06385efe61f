#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The guest executes another program, and so does a child that is followed. To QEMU that is the end of
# the process, of which plugins are not told: the trace is incomplete, the file beside it stays, and
# the two have all up to the system call, which the witness has counted, too. A program that could
# not be executed ends nothing.

. "$(dirname "$0")/../lib.sh"

sums=$QTRACE_BUILD/tests/trace-sums

if ! cc -O1 -static -pthread -Wall "$top/tests/e2e/exec.c" -o "$tmp/exec" 2>"$tmp/stderr"; then
    not_ok "build exec.c" "$(head -n 1 "$tmp/stderr")"
    exit 1
fi
then=(/bin/sh -c "echo executed; exit 7")

# as_witnessed NAME TRACE SHM STATUS: all of it, which STATUS --verify has
as_witnessed() {
    check_status "$1: status $4" "$4" "$qtrace_dump" --verify "$2"
    "$PROBE_DUMP" "$3" >"$tmp/witness"
    "$sums" "$2" >"$tmp/sums" 2>"$tmp/stderr"
    if cmp -s "$tmp/witness" "$tmp/sums"; then
        ok "$1: as witnessed, $(sed -n 's/^vcpu 0 .* blocks=\([0-9]*\) .*/\1/p' "$tmp/sums") blocks"
    else
        not_ok "$1: as witnessed" "$(diff "$tmp/witness" "$tmp/sums" | head -n 4)"
    fi
}

# recovered NAME TRACE: --recover needs the file beside it no longer, and changes no rows
recovered() {
    check_status "$1: recovery" 3 "$qtrace_dump" --recover "$2"
    check "$1: the file beside it is gone" test ! -e "$2.live"
    "$sums" "$2" >"$tmp/again" 2>"$tmp/stderr"
    check "$1: the same rows" cmp "$tmp/again" "$tmp/sums"
    check_status "$1: replay" 3 "$qtrace_replay" -a hotblocks -o "$tmp/replayed" "$2"
}

for version in 7.2 10.0; do
    qemu=$(command -v qemu-x86_64) probe=$PROBE72
    if [[ $version == 10.0 ]]; then
        qemu=$QEMU10/qemu-x86_64 probe=$PROBE100
    fi
    for how in stay fork; do
        for threads in 0 3; do
            name="$version, $how, $threads threads"
            rm -rf "$tmp/run" && mkdir "$tmp/run"
            "$qemu" "$tmp/exec" "$how" "$threads" "${then[@]}" >"$tmp/plain"
            timeout -k 10 100 "$qemu" -plugin "$probe,shm=$tmp/run/w,fork=shm" \
                -plugin "$qtrace_plugin,out=$tmp/run/t,follow=fork" "$tmp/exec" "$how" "$threads" \
                "${then[@]}" >"$tmp/out" 2>"$tmp/err"
            check "$name: the guest's status" test $? = 7
            check "$name: its output" cmp "$tmp/out" "$tmp/plain"
            check "$name: silence" test ! -s "$tmp/err"
            trace=$tmp/run/t
            if [[ $how == fork ]]; then
                as_witnessed "$name: the parent" "$trace" "$tmp/run/w" 0
                trace=$(find "$tmp/run" -name 't.*[0-9]')
            fi
            if [[ $how == fork || $threads == 0 ]]; then
                as_witnessed "$name" "$trace" "$tmp/run/w${trace#"$tmp/run/t"}" 3
                recovered "$name" "$trace"
            fi
        done
    done

    # Where others were busy, the witness may lack the last row of each.
    status_of python3 "$top/tests/e2e/kill.py" 3 none 100 "$PROBE_DUMP" "$sums" "$qtrace_dump" \
        "$tmp/kill" "$qemu" -plugin "$probe,shm={folder}/shm" \
        -plugin "$qtrace_plugin,out={folder}/run.qtr" "$tmp/exec" stay 3 "${then[@]}"
    check "$version, busy threads: $(tail -n 1 "$tmp/stdout")" test "$status" = 0

    # The same process, another recorder: the trace of before stays.
    rm -rf "$tmp/run" && mkdir "$tmp/run"
    QEMU_PLUGIN=$qtrace_plugin,out=$tmp/run/t timeout -k 10 100 "$qemu" "$tmp/exec" stay 2 \
        "$qemu" "$GUESTS/x86_64/exits" return >"$tmp/out" 2>"$tmp/err"
    check "$version, QEMU_PLUGIN: the guest's status" test $? = 3
    check_status "$version, QEMU_PLUGIN: before" 3 "$qtrace_dump" --verify "$tmp/run/t"
    check_status "$version, QEMU_PLUGIN: after" 0 "$qtrace_dump" --verify "$tmp"/run/t.*[0-9]
done
