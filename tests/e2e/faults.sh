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

# use VERSION [out]: sets $qemu and $witness, the options that load it. It counts in a file that must
# have its size at the beginning; with `out`, it writes one at the end.
use() {
    local probe=$PROBE72
    qemu=qemu-x86_64
    if [[ $1 == 10.0 ]]; then
        qemu=$QEMU10/qemu-x86_64 probe=$PROBE100
    fi
    witness=(-plugin "$probe,${2:-shm}=$tmp/witness" -plugin "$tmp/flushes-$1.so,out=$tmp/flushes")
}

# record OPTIONS GUEST...: into $trace, $tmp/run.qtr by default, with the witness, by way of the
# command in $wrapper if there is one. Sets $status, output to $tmp/out, $tmp/err, through pipes, as
# some guests may not write files.
trace=$tmp/run.qtr
wrapper=()
record() {
    local options=$1
    shift
    rm -f "$trace" "$tmp"/{witness,flushes}
    {
        "${wrapper[@]}" "$qemu" "${witness[@]}" -plugin "$qtrace_plugin,out=$trace$options" "$@" \
            2>&1 >&3 3>&- </dev/null | cat >"$tmp/err"
        echo "${PIPESTATUS[0]}" >"$tmp/status"
    } 3>&1 | cat >"$tmp/out"
    status=$(<"$tmp/status")
}

# What the witness counted, in the form of trace-sums --with-lost.
emitted() {
    { "$PROBE_DUMP" "$tmp/witness" 2>/dev/null || cat "$tmp/witness"; } | awk -v flushes="$(od -An -tu8 "$tmp/flushes")" '
        function value(i) { split($i, part, "="); return part[2] }
        $1 == "vcpu" {
            print "vcpu", $2, $5, $6, "accesses=" value(7) + value(8)
            events += value(3) + value(4) + value(13) + value(14)
        }
        /^translations=/ { print "events=" events + value(1) + flushes }'
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
            FNR == NR { for (i = 1; i < NF; i++) { lost += $i == "lost" ? $(i + 1) : 0 } next }
            /^vcpu/ { split($3, b, "="); n += b[2] }
            END { printf "%d vCPUs, %d blocks of which %d lost", FNR - 1, n, lost }' \
            <(echo; cat "$tmp/err") "$tmp/sums"), $(tail -n 1 "$tmp/sums")"
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

# ---- small disks

# blocks_of FILE: is it allocated as far as it has content, and no further?
is_tight() {
    local size blocks
    read -r size blocks <<<"$(stat -c '%s %b' "$1")"
    ((blocks * 512 < size + 65536))
}

# on_disk NAME GUEST-OUTPUT GUEST...: records to the file system at $tmp/disk
on_disk() {
    local name=$1 plain=$2
    shift 2
    trace=$tmp/disk/run.qtr
    record ,level=0 "$@"
    trace=$tmp/run.qtr
    if [[ ! -e $tmp/disk/run.qtr ]]; then
        if ((status != 0)) && grep -q '^qtrace: .*No space left' "$tmp/err"; then
            ok "$name: refused, and it is told"
        else
            not_ok "$name: no trace" "status $status: $(head -n 1 "$tmp/err")"
        fi
        return
    fi
    check "$name: nothing stays reserved" is_tight "$tmp/disk/run.qtr"
    rm -f "$trace"
    mv "$tmp/disk/run.qtr" "$trace"
    exact "$name" "$trace" "$plain"
    if ! "$qtrace_dump" --verify "$trace" >/dev/null 2>&1; then
        check "$name: it is told" grep -q 'No space left' "$tmp/err"
        check "$name: the trace has the reason" bash -c '"$0" "$1" 2>/dev/null |
            grep -q "^state.*No space left"' "$qtrace_dump" "$trace"
        check_status "$name: replay" 5 "$qtrace_replay" -o "$tmp/replayed" --analyzer=hotblocks \
            "$trace"
    fi
}

mkdir "$tmp/disk"
"$mix" 30 >"$tmp/mix30"
"$mix" 160 >"$tmp/mix160"
for size in 4k 64k 256k 1m 4m 16m; do
    if ! mount -t tmpfs -o "size=$size" tmpfs "$tmp/disk" 2>"$tmp/stderr"; then
        skip "a disk of $size" "$(head -n 1 "$tmp/stderr")"
        continue
    fi
    scale=30
    [[ $size =~ ^(4|16)m$ ]] && scale=160
    use 7.2
    on_disk "tmpfs of $size, 7.2, mix" "$tmp/mix$scale" "$mix" "$scale"
    use 10.0
    on_disk "tmpfs of $size, 10.0, threads" "$tmp/threads" "$threads" 6 20
    umount "$tmp/disk"
done

# A file system that reserves blocks lazily, and one that cannot reserve any.
for kind in ext4 ext2; do
    truncate -s 1M "$tmp/image"
    if ! "mkfs.$kind" -q -m 0 "$tmp/image" 2>"$tmp/stderr" ||
        ! mount -o loop "$tmp/image" "$tmp/disk" 2>"$tmp/stderr"; then
        skip "$kind of 1m" "$(head -n 1 "$tmp/stderr")"
        continue
    fi
    use 7.2
    on_disk "$kind of 1m, 7.2, mix" "$tmp/mix30" "$mix" 30
    umount "$tmp/disk"
done

# ---- limits of file sizes, the process's own and what the guest makes of it

use 7.2 out
for blocks in 8 100 1000; do
    wrapper=(bash -c 'ulimit -f "$0"; exec "$@"' "$blocks")
    record ,level=0 "$mix" 30
    wrapper=()
    exact "ulimit -f $blocks" "$trace" "$tmp/mix30"
    check "ulimit -f $blocks: it is told" grep -q 'File too large' "$tmp/err"
done
if cc -O1 -static "$top/tests/e2e/limit.c" -o "$tmp/limit" 2>"$tmp/stderr"; then
    for version in 7.2 10.0; do
        use "$version"
        for limit in 0 1 1000 100000 1000000; do
            "$tmp/limit" "$limit" 200 | cat >"$tmp/plain"
            record ,level=0 "$tmp/limit" "$limit" 200
            exact "the guest limits files to $limit, $version" "$trace" "$tmp/plain"
            check "the guest limits files to $limit, $version: it is told" \
                grep -q 'File too large' "$tmp/err"
        done
    done
else
    not_ok "build limit.c" "$(head -n 1 "$tmp/stderr")"
fi

# ---- the trace is removed while it is written, and its folder

mkdir "$tmp/gone"
trace=$tmp/gone/run.qtr
"$mix" 100 >"$tmp/plain"
{
    for ((i = 0; i < 1000; i++)); do
        sleep 0.01
        [[ -s $trace ]] && break
    done
    rm -r "$tmp/gone"
} &
record "" "$mix" 100
wait
trace=$tmp/run.qtr
check "a folder that vanishes: the guest's output" cmp "$tmp/out" "$tmp/plain"
check "a folder that vanishes: its status" test "$status" = 0
check "a folder that vanishes: it is told" grep -q 'was removed' "$tmp/err"

"$inject" --log "$tmp/log" true 2>"$tmp/stderr"
if (($? == 126)); then
    skip "the writer is stuck, the Nth system call fails" "$(head -n 1 "$tmp/stderr")"
    exit
fi

# ---- the writer is stuck, in the middle of a write

# record_pause OPTIONS SECONDS [THREADS]: sets $status; $half and $took, milliseconds until half of the work was
# done and until the process was gone
record_pause() {
    local begin line
    rm -f "$trace" "$tmp"/{witness,flushes,half}
    begin=$(date +%s%N)
    {
        "${wrapper[@]}" "$qemu" "${witness[@]}" -plugin "$qtrace_plugin,out=$trace$1" \
            "$tmp/pause" 300 "${@:2}" 2>&1 >&3 3>&- </dev/null | cat >"$tmp/err"
        echo "${PIPESTATUS[0]}" >"$tmp/status"
    } 3>&1 | {
        IFS= read -r line
        half=$(date +%s%N)
        echo "$line"
        cat
        echo $(((half - begin) / 1000000)) >"$tmp/half"
    } >"$tmp/out"
    status=$(<"$tmp/status")
    half=$(<"$tmp/half")
    took=$((($(date +%s%N) - begin) / 1000000))
}

stop=5
[[ -n $long ]] && stop=60
cc -O1 -static -pthread "$top/tests/e2e/pause.c" -o "$tmp/pause" || exit 1
"$tmp/pause" 300 0 20 >"$tmp/plain"
for version in 7.2 10.0; do
    use "$version"
    wrapper=("$inject")
    record_pause "" 0 20
    usual=$half
    wrapper=("$inject" --only pwrite64 --nth 5 --stop $((stop * 1000)))
    record_pause ,ring=64k,wait=500ms $((stop + 3)) 20
    if ((half < usual + 500 + 2500)); then # (the rest is for a busy machine)
        ok "stuck for $stop s, $version: the guest takes $half ms for its work instead of $usual"
    else
        not_ok "stuck for $stop s, $version" "the guest takes $half ms instead of $usual"
    fi
    exact "stuck for $stop s, $version" "$trace" "$tmp/plain"
    check "stuck, $version: it is told" grep -q "stuck for longer than wait=500ms" "$tmp/err"
    # the second half, when the writer goes on again, is recorded but for a chunk or two
    found=$("$qtrace_dump" "$trace" 2>/dev/null | awk '$1 == "all" || was { print $2 }
        { was = $1 == "all" }' | tr '\n' ' ')
    read -r recorded lost <<<"$found"
    if ((recorded > lost && lost > 100000)); then
        ok "stuck, $version: it goes on: $recorded blocks recorded, $lost lost"
    else
        not_ok "stuck, $version: it goes on" "$recorded blocks recorded, $lost lost"
    fi

    # The guest ends while the writer is stuck, and for longer than anybody waits. (Streams that
    # began meanwhile would be in no file, so there are none.)
    "$tmp/pause" 300 0 >"$tmp/plain-alone"
    wrapper=("$inject" --only pwrite64 --nth 5 --stop 60000)
    record_pause ,ring=64k,wait=500ms 0
    check "stuck to the end, $version: the guest's output" cmp "$tmp/out" "$tmp/plain-alone"
    if ((took < 2 * usual + 500 + 1000 + 10000)); then
        ok "stuck to the end, $version: the process ends after $took ms"
    else
        not_ok "stuck to the end, $version" "the process ends after $took ms"
    fi
    check "stuck to the end, $version: it is told" grep -q "has no end" "$tmp/err"
    check_status "stuck to the end, $version: recovery" 5 "$qtrace_dump" --recover "$trace"
    "$sums" --with-lost "$trace" >"$tmp/sums" 2>"$tmp/stderr"
    emitted >"$tmp/emitted"
    check "stuck to the end, $version: recovered + lost = emitted" cmp "$tmp/sums" "$tmp/emitted"
    rm -f "$trace.live"
done
wrapper=()

# ---- the Nth system call of the recorder's thread fails

errors=(5 28 4 12) # EIO, ENOSPC, EINTR, ENOMEM
# Was the recorder refused, with a message, before the guest began? What it had made is gone then,
# unless that cannot be.
was_refused() {
    ((status != 0)) && [[ ! -s $tmp/out && ($1 == --from || ! -e $trace) ]] &&
        grep -q "^qtrace: " "$tmp/err"
}

# Could it not write the end, as every call that might have done it failed? Then it must say so.
could_not_end() {
    [[ $1 == --from ]] && ((status == 0)) && cmp -s "$tmp/out" "$2" &&
        grep -q "^qtrace: .*: has no end; qtrace-dump --recover writes one$" "$tmp/err"
}

# all FILE [ERR]: blocks, instructions, accesses and events of all vCPUs, and what ERR says was lost
all() {
    cat "$@" | awk '
        $1 == "vcpu" { for (i = 3; i <= 5; i++) { split($i, part, "="); n[i - 2] += part[2] } }
        /^events=/ { n[4] += substr($1, 8) }
        / lost .* blocks, / {
            for (i = 1; i < NF && $i != "lost"; i++) {}
            for (k = 1; k <= 4; k++) { n[k] += $(i + 2 * k - 1) }
        }
        END { print n[1] + 0, n[2] + 0, n[3] + 0, n[4] + 0 }'
}

# What is in the file then, and what was lost as it says, is what the witness counted; and when there is
# room for an end the file gets one.
endless_is_exact() {
    "$sums" --with-lost "$trace" >"$tmp/sums" 2>"$tmp/stderr"
    emitted >"$tmp/emitted"
    [[ $(all "$tmp/sums" "$tmp/err") == $(all "$tmp/emitted") && ! -e $trace.live ]] || return 1
    "$qtrace_dump" --recover "$trace" >"$tmp/stdout" 2>"$tmp/stderr"
    "$sums" --with-lost "$trace" >"$tmp/again" 2>"$tmp/stderr"
    cmp -s "$tmp/again" "$tmp/sums"
}

# nth_fails NAME GUEST-OUTPUT ERRORS INJECT-OPTION... -- GUEST...: for N = 1, 2, ... (every $step th of
# them) until there is no such call; the errors in turn.
step=1 exactly=0
nth_fails() {
    local name=$1 plain=$2 n=$((1 - step)) runs=0 bad=0 refused=0 whole=0 lost=0 endless=0 kept=0 why hit
    local options=()
    local -a in_turn
    read -ra in_turn <<<"$3"
    shift 3
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    shift
    while ((n < 5000)); do
        local error=${in_turn[runs % ${#in_turn[@]}]}
        n=$((n + step))
        runs=$((runs + 1))
        wrapper=(timeout -k 10 120 "$inject" "${options[@]}" --nth "$n" --error "$error"
            --log "$tmp/log")
        record ,ring=256k "$@"
        wrapper=()
        read -r _ hit <"$tmp/log"
        [[ $hit == - ]] && break
        why=$(problem "$trace" "$plain")
        if [[ -z $why ]]; then
            grep -q "lost " "$tmp/err" && lost=$((lost + 1)) || whole=$((whole + 1))
        elif was_refused "${options[0]:-}"; then
            refused=$((refused + 1))
        elif could_not_end "${options[0]:-}" "$plain"; then
            endless=$((endless + 1))
            grep -q " lost " "$tmp/err" || kept=$((kept + 1))
            if ((exactly)) && ! endless_is_exact; then
                not_ok "$name: call $n, $hit, no end" "$(all "$tmp/sums") and $(tail -n 1 "$tmp/err"), \
emitted $(all "$tmp/emitted")"
            fi
        else
            bad=$((bad + 1))
            ((bad <= 5)) && not_ok "$name: call $n, $hit, error $error" "$why"
        fi
    done
    if ((exactly && kept == 0)); then
        not_ok "$name" "rows are given up for an end that cannot be written"
    elif ((bad == 0 && runs > 1)); then
        ok "$name: N = $((n - step)), $((runs - 1)) runs: 0 wrong counts, 0 differences in the guest; $whole whole, $lost \
with losses, $refused refused at the start$( ((endless)) && echo ", $endless could not write an end, $kept of these lost nothing")"
    else
        not_ok "$name" "$bad of $((runs - 1)) went wrong"
    fi
}

"$mix" 1 >"$tmp/plain"
"$threads" 3 1 >"$tmp/threads3"
for version in 7.2 10.0; do
    use "$version"
    if [[ -n $long ]]; then
        for error in "${errors[@]}"; do
            nth_fails "the Nth call fails, error $error, $version" "$tmp/plain" "$error" -- "$mix" 1
        done
        nth_fails "the Nth call fails, $version, threads" "$tmp/threads3" "${errors[*]}" -- \
            "$threads" 3 1
    else
        step=3
        nth_fails "the Nth call (but mprotect) fails, $version" "$tmp/plain" "${errors[*]}" \
            --skip mprotect -- "$mix" 1
    fi
done
nth_fails "all calls (but mprotect) from the Nth on fail" "$tmp/plain" "5 28 12" \
    --from --skip mprotect -- "$mix" 1
step=1
nth_fails "pwrite64 fails" "$tmp/plain" "122" --only pwrite64 -- "$mix" 1
nth_fails "pwrite64 from the Nth on fails" "$tmp/plain" "5 28" --from --only pwrite64 -- "$mix" 1

# Neither the one way to write nor the other; all else works, so what is told is exact.
exactly=1
nth_fails "no end can be written" "$tmp/plain" "5 28" --from --only pwrite64 \
    --only process_vm_writev -- "$mix" 1
