#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The independent reader (tests/reader/qtr.py, written from FORMAT.md alone) and ours print the
# same event log: all targets, threads, losses, stored columns; and of damaged traces they say
# the same and show the same.

. "$(dirname "$0")/../lib.sh"

reader=$top/tests/reader/qtr.py
qemus=(72 100)

# logs TRACE: both logs and states; ours is put in the order of the independent one
logs() {
    python3 "$reader" "$1" >"$tmp/theirs" 2>"$tmp/their.err"
    their_status=$?
    "$qtrace_dump" --events "$1" 2>"$tmp/our.err" | sort -s -V -t' ' -k1,1 >"$tmp/ours"
    status_of "$qtrace_dump" --verify "$1"
}

same() {
    local name=$1
    logs "$2"
    if ((status != their_status)); then
        not_ok "$name" "status $status, by the independent reader $their_status: $(
            head -n 1 "$tmp/their.err"
        )"
    elif ! cmp -s "$tmp/ours" "$tmp/theirs"; then
        not_ok "$name" "the logs differ"
        diff "$tmp/ours" "$tmp/theirs" | head -n 4
    else
        ok "$name: status $status, $(wc -l <"$tmp/ours") lines"
    fi
}

# record NAME QEMU OPTIONS GUEST...
record() {
    local name=$1 qemu=$2 options=$3
    shift 3
    rm -f "$tmp/run.qtr"
    (cd "$tmp" && timeout -k 10 100 "$qemu" -plugin "$qtrace_plugin,out=$tmp/run.qtr$options" "$@" \
        >/dev/null 2>"$tmp/err" </dev/null)
    same "$name" "$tmp/run.qtr"
}

check "self-test" python3 "$reader" --self-test
i=0
for arch in x86_64 aarch64 arm riscv64 ppc64le s390x i386; do
    for guest in faults threads smc syscalls; do
        if [[ ${qemus[i++ % 2]} == 72 ]]; then
            record "7.2 $arch $guest" "qemu-$arch" "" "$GUESTS/$arch/$guest"
        else
            record "10.0 $arch $guest" "$QEMU10/qemu-$arch" "" "$GUESTS/$arch/$guest"
        fi
    done
done
head -c 3000 "$top/README.md" >"$tmp/text"
record "10.0 gzip" "$QEMU10/qemu-x86_64" "" /usr/bin/gzip -c "$tmp/text"
for arch in x86_64 aarch64 s390x i386; do
    for guest in faults threads widevec; do
        record "10.0 $arch $guest with values" "$QEMU10/qemu-$arch" ,values=on \
            "$GUESTS/$arch/$guest"
    done
done
record "losses with values" "$QEMU10/qemu-s390x" ,values=on,loss=drop,ring=64k "$GUESTS/s390x/mix" 1
record "losses" qemu-x86_64 ,loss=drop,ring=64k "$GUESTS/x86_64/mix" 1
record "stored columns" qemu-x86_64 ,level=0 "$GUESTS/x86_64/faults"

# Damage, in the places where a prime number of them falls.
size=$(stat -c %s "$tmp/run.qtr")
cp "$tmp/run.qtr" "$tmp/whole.qtr"
for part in 3 7 11 17 23; do
    head -c $((size * part / 29)) "$tmp/whole.qtr" >"$tmp/cut.qtr"
    same "cut at $part/29" "$tmp/cut.qtr"
    cp "$tmp/whole.qtr" "$tmp/flip.qtr"
    printf '\xff\x00\xff' | dd of="$tmp/flip.qtr" bs=1 seek=$((size * part / 29)) conv=notrunc \
        status=none
    same "scribbled at $part/29" "$tmp/flip.qtr"
done
