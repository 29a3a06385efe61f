#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A trace is the same everywhere: the tools built for a big-endian and for 32-bit machines, run
# by QEMU's user mode, print byte for byte what the native ones print of it, whole or damaged,
# and end with the same status.

. "$(dirname "$0")/../lib.sh"

# ---- traces

mkdir "$tmp/traces"

# record NAME QEMU OPTIONS GUEST...
record() {
    local name=$1 qemu=$2 options=$3
    shift 3
    (cd "$tmp" && timeout -k 10 100 "$qemu" \
        -plugin "$qtrace_plugin,out=$tmp/traces/$name.qtr$options" "$@" \
        >/dev/null 2>"$tmp/err" </dev/null)
    if [[ ! -s $tmp/traces/$name.qtr ]]; then
        not_ok "record $name" "$(tail -n 1 "$tmp/err")"
    fi
}

record mix qemu-x86_64 "" "$GUESTS/x86_64/mix" 1
record stored qemu-x86_64 ,level=0 "$GUESTS/x86_64/faults"
record losses qemu-x86_64 ,loss=drop,ring=64k "$GUESTS/x86_64/mix" 5
record syscalls "$QEMU10/qemu-x86_64" "" "$GUESTS/x86_64/syscalls"
record threads "$QEMU10/qemu-aarch64" "" "$GUESTS/aarch64/threads"
record values "$QEMU10/qemu-x86_64" ,values=on "$GUESTS/x86_64/faults"
record values-be "$QEMU10/qemu-s390x" ,values=on "$GUESTS/s390x/faults"
record s390x qemu-s390x "" "$GUESTS/s390x/syscalls"
record smc "$QEMU10/qemu-arm" "" "$GUESTS/arm/smc"
for golden in "$top"/tests/golden/*.qtr; do
    if [[ -f $golden ]]; then
        cp "$golden" "$tmp/traces/golden-$(basename "$golden")"
    fi
done

whole=$tmp/traces/s390x.qtr
size=$(stat -c %s "$whole")
for part in 1 3 5; do
    at=$((size * part / 7))
    head -c "$at" "$whole" >"$tmp/traces/cut-$part.qtr"
    cp "$whole" "$tmp/traces/flip-$part.qtr"
    byte=$(od -An -tu1 -j "$at" -N 1 "$whole")
    printf '%b' "\\x$(printf %02x $((byte ^ 16)))" |
        dd of="$tmp/traces/flip-$part.qtr" bs=1 seek="$at" conv=notrunc status=none
done
cp "$top/README.md" "$tmp/traces/text.qtr"
# Beyond what 32 bits can count there is a second copy of everything.
far=$(((1 << 32) + 4096))
cp "$whole" "$tmp/far.qtr"
truncate -s "$far" "$tmp/far.qtr" && cat "$whole" >>"$tmp/far.qtr"

# ---- what each build says about them

# says FOLDER COMMAND...: output, messages and status of every look at every trace
says() {
    local dir=$1 trace mode name
    shift
    mkdir -p "$dir"
    for trace in "$tmp"/traces/*.qtr; do
        name=$(basename "$trace" .qtr)
        for mode in "" --verify --events --blocks --frames --summary --json; do
            {
                # shellcheck disable=SC2086
                "$@" $mode "$trace" 2>"$tmp/err"
                echo "status $?"
                cat "$tmp/err"
            } >"$dir/$name$mode"
        done
    done
    # The end that a recorder did not write is written here. LZ4 compresses differently on other
    # machines, so what the native build reads in it counts, not the bytes.
    for trace in "$tmp"/traces/cut-*.qtr; do
        cp "$trace" "$tmp/recovered.qtr"
        {
            "$@" --recover "$tmp/recovered.qtr" 2>"$tmp/err"
            echo "status $?"
            for mode in --verify --events --blocks --summary; do
                "$qtrace_dump" $mode "$tmp/recovered.qtr" 2>"$tmp/err"
            done
        } >"$dir/recovered-$(basename "$trace" .qtr)"
    done
    "$@" --extract="$far" "$tmp/far.qtr" 2>&1 | od -c >"$dir/far"
}

# replays FOLDER COMMAND...
replays() {
    local dir=$1 analyzer name
    shift
    mkdir -p "$dir"
    for analyzer in hotblocks execlog; do
        for name in syscalls losses cut-3; do
            {
                "$@" --analyzer="$analyzer" "$tmp/traces/$name.qtr" 2>"$tmp/err"
                echo "status $?"
                cat "$tmp/err"
            } >"$dir/$analyzer-$name"
        done
    done
}

# same NAME WANTED FOUND: folders; the files of one trace are one result
same() {
    local name=$1 wanted=$2 found=$3 base file bad
    for base in $(cd "$wanted" && printf '%s\n' * | sed 's/--.*//' | sort -u); do
        bad=
        for file in "$wanted/$base" "$wanted/$base"--*; do
            [[ -e $file ]] || continue
            file=${file##*/}
            if ! cmp "$wanted/$file" "$found/$file" >"$tmp/cmp" 2>&1; then
                bad+=" $file"
                diff "$wanted/$file" "$found/$file" | head -n 4 | sed 's/^/    # /'
            fi
        done
        if [[ -z $bad ]]; then
            ok "$name: $base"
        else
            not_ok "$name: $base" "differs from the native build:$bad"
        fi
    done
}

says "$tmp/native" "$qtrace_dump"
replays "$tmp/native-replay" "$qtrace_replay"
for status in 0 3 4 5; do
    check "the traces include one of status $status" grep -qx "status $status" \
        "$tmp"/native/*--verify
done
"$qtrace_dump" --extract=0 "$whole" >"$tmp/near" 2>"$tmp/err"
"$qtrace_dump" --extract="$far" "$tmp/far.qtr" >"$tmp/beyond" 2>"$tmp/err"
check "a cut trace was recovered" grep -q ": recovered$" "$tmp/native/recovered-cut-5"
check "there is something beyond 4 GiB" test -s "$tmp/beyond"
check "it is what is at the beginning" cmp "$tmp/near" "$tmp/beyond"

archs=(s390x i386)
if [[ -n $long ]]; then
    archs+=(arm)
fi
for arch in "${archs[@]}"; do
    status_of "$top/scripts/cross" "$arch"
    if ((status == 77)); then
        skip "$arch" "$(tail -n 1 "$tmp/stderr")"
        continue
    elif ((status != 0)); then
        not_ok "$arch: build" "status $status"
        show_output
        continue
    fi
    ok "$arch: build"
    read -ra run < <("$top/scripts/cross" --runner "$arch")
    build=$top/build-$arch
    says "$tmp/$arch" "${run[@]}" "$build/tools/qtrace-dump/qtrace-dump"
    same "$arch" "$tmp/native" "$tmp/$arch"
    replays "$tmp/$arch-replay" "${run[@]}" "$build/tools/qtrace-replay/qtrace-replay"
    same "$arch replay" "$tmp/native-replay" "$tmp/$arch-replay"
    # These write, too; in emulation that takes its time, and to flip every bit takes minutes.
    suites=(format bytes)
    if [[ -n $long || $arch == s390x ]]; then
        suites+=(roundtrip)
    fi
    if [[ -n $long && $arch != arm ]]; then
        suites+=(broken)
    fi
    check "$arch: test-roundtrip" "${run[@]}" "$build/tests/test-roundtrip" "${suites[@]}"
    for name in columns definitions frame file; do
        check "$arch: fuzz-$name" "${run[@]}" "$build/tests/fuzz-$name" --random 2000
    done
done
