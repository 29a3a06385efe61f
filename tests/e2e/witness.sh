#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The witness plugin and the recorder see the same run: per vCPU, equal counts and equal sums of
# hashes of all blocks, instructions and accesses. Every target, both user-mode QEMUs, programs
# of the machine, threads, signals and faults in the middle of blocks, misaligned atomics,
# self-modifying code. The guest prints and returns what it does without plugins.

. "$(dirname "$0")/../lib.sh"

sums=$QTRACE_BUILD/tests/trace-sums

# witness NAME QEMU PROBE GUEST...
witness() {
    local name=$1 qemu=$2 probe=$3 plain recorded
    shift 3
    rm -f "$tmp"/{run.qtr,witness,sums}
    (cd "$tmp" && timeout -k 10 100 "$qemu" "$@" >"$tmp/plain" 2>/dev/null </dev/null)
    plain=$?
    (cd "$tmp" && timeout -k 10 100 "$qemu" -plugin "$probe,out=$tmp/witness" \
        -plugin "$qtrace_plugin,out=$tmp/run.qtr" "$@" >"$tmp/recorded" 2>"$tmp/err" </dev/null)
    recorded=$?
    if ((plain != recorded)); then
        not_ok "$name" "exit status $recorded instead of $plain: $(head -c 200 "$tmp/err")"
    elif ! cmp -s "$tmp/plain" "$tmp/recorded"; then
        not_ok "$name" "the guest's output differs"
    elif [[ ! -s $tmp/witness ]]; then
        not_ok "$name" "the witness wrote nothing"
    elif ! "$sums" "$tmp/run.qtr" >"$tmp/sums" 2>"$tmp/err"; then
        not_ok "$name" "trace-sums: status $? $(head -c 200 "$tmp/err")"
    elif ! cmp -s "$tmp/witness" "$tmp/sums"; then
        not_ok "$name" "live and recorded differ"
        diff "$tmp/witness" "$tmp/sums" | head -n 6
    else
        ok "$name: $(awk '/^vcpu/ { split($5, b, "="); n += b[2] } END { print n }' \
            "$tmp/sums") blocks"
    fi
}

# The programs whose output is the same in every run.
cases=("mix 2" "threads 8" "churn 20" "faults 20" "smc" "atomics" "widevec" "syscalls"
    "exits thread" "exits fork" "exits close")

for arch in x86_64 aarch64 arm riscv64 ppc64le s390x i386; do
    for case in "${cases[@]}"; do
        read -ra words <<<"$case"
        witness "7.2 $arch $case" "qemu-$arch" "$PROBE72" \
            "$GUESTS/$arch/${words[0]}" "${words[@]:1}"
        witness "10.0 $arch $case" "$QEMU10/qemu-$arch" "$PROBE100" \
            "$GUESTS/$arch/${words[0]}" "${words[@]:1}"
    done
    if [[ $arch == x86_64 ]]; then
        continue # the machine's own programs follow
    elif [[ -x $BUSYBOX/$arch/busybox ]]; then
        witness "7.2 $arch busybox" "qemu-$arch" "$PROBE72" "$BUSYBOX/$arch/busybox" md5sum \
            "$BUSYBOX/$arch/busybox"
        witness "10.0 $arch busybox" "$QEMU10/qemu-$arch" "$PROBE100" "$BUSYBOX/$arch/busybox" \
            md5sum "$BUSYBOX/$arch/busybox"
    else
        skip "$arch busybox" "the test bed could not fetch it"
    fi
done
for program in "gzip -c $top/LICENSE" "sort $top/LICENSE" "python3 -c print(sum(range(9)))"; do
    read -ra words <<<"$program"
    path=$(command -v "/usr/bin/${words[0]}" || command -v "${words[0]}")
    witness "7.2 ${words[0]}" qemu-x86_64 "$PROBE72" "$path" "${words[@]:1}"
    witness "10.0 ${words[0]}" "$QEMU10/qemu-x86_64" "$PROBE100" "$path" "${words[@]:1}"
done
