#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Physical addresses: when they are recorded, what is refused, accesses of which QEMU cannot say
# what they have reached, and the independent reader. (That they are right: e2e/system.sh.)

. "$(dirname "$0")/../lib.sh"

sums=$QTRACE_BUILD/tests/trace-sums
compiler=riscv64-linux-gnu-gcc

# has OPTION TRACE: was it recorded so?
has() {
    "$qtrace_dump" "$2" | grep -q "^options .*$1"
}

refused "user mode" "phys=on needs a whole machine" \
    timeout -k 5 20 qemu-x86_64 -plugin "$qtrace_plugin,out=$tmp/run.qtr,phys=on" "$GUESTS/x86_64/mix" 1
refused "no such value" "'maybe' is not auto|on|off" \
    timeout -k 5 20 qemu-x86_64 -plugin "$qtrace_plugin,out=$tmp/run.qtr,phys=maybe" "$GUESTS/x86_64/mix" 1
record_small
check "user mode: auto is off" has phys=off "$trace"

if ! command -v qemu-system-riscv64 >"$tmp/stdout" || ! command -v "$compiler" >"$tmp/stdout"; then
    skip "machines" "qemu-system-riscv64 or $compiler is missing"
    exit
fi
"$compiler" -nostdlib -static -Wl,-Ttext=0x80000000,--build-id=none -o "$tmp/pmp" \
    "$top/tests/e2e/pmp.S" || not_ok "build" "$compiler"
machine=(qemu-system-riscv64 -M virt -display none -serial none -monitor none -bios none
    -kernel "$tmp/pmp")

# record NAME OPTIONS
record() {
    rm -f "$tmp/run.qtr"
    check "$1" timeout -k 5 60 "${machine[@]}" -plugin "$qtrace_plugin,out=$tmp/run.qtr$2"
}

refused "without accesses" "phys=on needs mem=on" timeout -k 5 20 "${machine[@]}" \
    -plugin "$qtrace_plugin,out=$tmp/run.qtr,phys=on,mem=off"
record "without accesses: auto" ",mem=off"
check "without accesses: auto is off" has phys=off "$tmp/run.qtr"

# QEMU 7.2 describes what it does not know by what was stored to last, and before that by a null
# pointer, which its own hwprofile follows.
record "nothing is known of a page" ""
check "auto is on" has phys=on "$tmp/run.qtr"
check "it is whole" "$qtrace_dump" --verify "$tmp/run.qtr"
reached=$("$sums" --reached "$tmp/run.qtr")
if [[ $reached == "101 to devices, 100 to nobody knows what" ]]; then
    ok "nothing is known of a page: $reached"
else
    not_ok "nothing is known of a page" "$reached"
fi
"$qtrace_dump" --events "$tmp/run.qtr" >"$tmp/log"
if python3 "$top/tests/reader/qtr.py" "$tmp/run.qtr" | cmp -s - "$tmp/log"; then
    ok "the independent reader: $(wc -l <"$tmp/log") lines"
else
    not_ok "the independent reader" "another log"
fi

record "phys=off" ",phys=off"
if "$qtrace_dump" --events "$tmp/run.qtr" | grep -q -E ' (phys|io)='; then
    not_ok "phys=off: event log" "it shows some"
else
    ok "phys=off: event log"
fi
check "phys=off: replay" "$qtrace_replay" -o "$tmp/replayed" --analyzer=hwprofile "$tmp/run.qtr"
if [[ $(grep -c 'without phys=on' "$tmp/stderr") == 1 && $(wc -l <"$tmp/stderr") == 1 ]]; then
    ok "phys=off: one message"
else
    not_ok "phys=off: one message" "$(head -n 2 "$tmp/stderr")"
fi
