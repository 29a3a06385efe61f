#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# QEMU is killed at random moments: every event whose callback had returned is in the trace, which
# is read with the help of the file beside it. The witness counts in a shared file of its own.

. "$(dirname "$0")/../lib.sh"

sums=$QTRACE_BUILD/tests/trace-sums
runs=${long:+250}
runs=${runs:-12}

# kills NAME SIGNAL RUNS LONGEST QEMU PROBE GUEST...
kills() {
    local name=$1 signal=$2 runs=$3 longest=$4 qemu=$5 probe=$6
    shift 6
    status_of python3 "$top/tests/e2e/kill.py" "$runs" "$signal" "$longest" "$PROBE_DUMP" \
        "$sums" "$qtrace_dump" "$tmp/kill" "$qemu" -plugin "$probe,shm={folder}/shm,out={folder}/w" \
        -plugin "$qtrace_plugin,out={folder}/run.qtr" "$@"
    if ((status == 0)); then
        ok "$name: $(tail -n 1 "$tmp/stdout")"
    else
        not_ok "$name" "something is wrong"
        show_output
    fi
}

for version in 7.2 10.0; do
    if [[ $version == 7.2 ]]; then
        qemu=qemu-x86_64 probe=$PROBE72
    else
        qemu=$QEMU10/qemu-x86_64 probe=$PROBE100
    fi
    kills "$version, SIGKILL, one thread" SIGKILL "$runs" 1 "$qemu" "$probe" \
        "$GUESTS/x86_64/mix" 100000
    kills "$version, SIGKILL, eight threads" SIGKILL "$runs" 1 "$qemu" "$probe" \
        "$GUESTS/x86_64/threads" 8 100000000
    kills "$version, SIGINT, eight threads" SIGINT "$((runs / 4))" 1 "$qemu" "$probe" \
        "$GUESTS/x86_64/threads" 8 100000000
done

# What the accesses of a machine had reached, and its devices.
kernel=/usr/lib/u-boot/qemu-riscv64_smode/uboot.elf
if command -v qemu-system-riscv64 >"$tmp/stdout" && [[ -r $kernel ]]; then
    kills "7.2, SIGKILL, a machine" SIGKILL "$runs" 4 qemu-system-riscv64 "$PROBE72,phys=on" \
        -M virt -smp 4 -m 256 -display none -monitor none -nic none -serial stdio -bios default \
        -kernel "$kernel"
else
    skip "a machine" "qemu-system-riscv64 or $kernel is missing"
fi

# While the guest sleeps: flush= has brought all into the trace itself but the block that runs.
"qemu-x86_64" -plugin "$PROBE72,shm=$tmp/shm,out=$tmp/w" \
    -plugin "$qtrace_plugin,out=$tmp/run.qtr,flush=200ms" /bin/sleep 20 &
pid=$!
for ((i = 0; i < 100; i++)); do
    sleep 0.2
    cp "$tmp/run.qtr" "$tmp/copy.qtr" 2>"$tmp/messages" || continue
    seen=$("$PROBE_DUMP" "$tmp/shm" | sed -n 's/^vcpu 0 .* blocks=\([0-9]*\) .*/\1/p')
    have=$("$sums" "$tmp/copy.qtr" | sed -n 's/^vcpu 0 .* blocks=\([0-9]*\) .*/\1/p')
    if ((have > 1000 && have == seen - 1)); then
        break
    fi
done
if ((i < 100)); then
    ok "flush: $have of $seen blocks while the guest sleeps"
else
    not_ok "flush" "$have of $seen blocks"
fi
check_status "a trace that grows is not recovered" 1 "$qtrace_dump" --recover "$tmp/run.qtr"
check_status "it can be read" 3 "$qtrace_dump" --verify "$tmp/run.qtr"
kill -KILL "$pid"
wait "$pid" 2>"$tmp/messages" || true # its status is that of the signal

# The same without the file beside the trace, which could not be made.
mkdir "$tmp/alone.qtr.live"
qemu-x86_64 -plugin "$qtrace_plugin,out=$tmp/alone.qtr,flush=200ms" /bin/sleep 20 &
pid=$!
for ((i = 0; i < 100; i++)); do
    sleep 0.2
    "$qtrace_dump" --verify "$tmp/alone.qtr" >"$tmp/stdout" 2>"$tmp/stderr"
    grep -q " [1-9][0-9]* blocks" "$tmp/stdout" && break
done
cp "$tmp/alone.qtr" "$tmp/copy.qtr"
check_status "alone: a trace that grows is not recovered" 1 "$qtrace_dump" --recover \
    "$tmp/alone.qtr"
mv "$tmp/stderr" "$tmp/err"
check "alone: it says why" grep -q "its recorder is still at work" "$tmp/err"
check "alone: it is as it was" cmp -n "$(stat -c %s "$tmp/copy.qtr")" "$tmp/alone.qtr" \
    "$tmp/copy.qtr"
kill -KILL "$pid"
wait "$pid" 2>"$tmp/messages" || true # its status is that of the signal
check_status "alone: a trace of a recorder that is gone is" 3 "$qtrace_dump" --recover \
    "$tmp/alone.qtr"
