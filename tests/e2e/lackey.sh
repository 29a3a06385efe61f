#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Valgrind's lackey, another translator of machine code, counts the instructions, loads and stores
# of static x86-64 programs; a trace has the same. What differs, and why:
#
#   - Repeated string instructions. Valgrind and QEMU 7.2 come back to the instruction for each
#     repetition, and once more to see that the count is 0. QEMU 10.0 repeats within one execution.
#   - Accesses of 16 bytes. QEMU 7.2 makes two of 8 bytes, QEMU 10.0 and valgrind one.
#   - Stores that fault. Lackey counts them before they do, and again when they are repeated;
#     QEMU reports an access that was made.
#   - Programs with a C library. It chooses its functions by the processor, and valgrind shows
#     another one than QEMU; it walks the environment, to which valgrind adds variables, and what
#     the kernel provides (auxiliary vector, vDSO), which is not the same. So only the program's
#     own functions can be compared: there every instruction, by its address.

. "$(dirname "$0")/../lib.sh"

if [[ $(uname -m) != x86_64 ]]; then
    skip "valgrind" "it runs only programs of this machine, which is no x86-64"
    exit 0
fi
# The guest's registers are needed where a signal handler returns to, code can change.
valgrind=(timeout -k 10 100 valgrind --tool=lackey --smc-check=all
    --vex-iropt-register-updates=allregs-at-mem-access)
if ! command -v valgrind >/dev/null; then
    skip "valgrind" "it is not there: scripts/deps test"
    exit 0
elif ! "${valgrind[@]}" "$GUESTS/x86_64/exits" exit >"$tmp/stdout" 2>"$tmp/stderr" &&
    ! grep -q 'guest instrs' "$tmp/stderr"; then
    skip "valgrind" "it does not run here: $(tail -n 1 "$tmp/stderr")"
    exit 0
fi

# ---- programs without a C library: everything is equal

# lackey_totals GUEST: "instructions loads stores"
lackey_totals() {
    "${valgrind[@]}" --basic-counts=yes --detailed-counts=yes --log-file="$tmp/log" "$1" &&
        tr -d , <"$tmp/log" | awk '/guest instrs:/ { insns = $NF }
            $2 ~ /^[IFV][0-9]+$/ { loads += $3; stores += $4 }
            END { print insns, loads + 0, stores + 0 }'
}

# trace_totals QEMU GUEST: the same of a trace
trace_totals() {
    timeout -k 10 100 "$1" -plugin "$qtrace_plugin,out=$tmp/run.qtr,overwrite=on" "$2" &&
        "$qtrace_dump" --json "$tmp/run.qtr" >"$tmp/json" &&
        "$qtrace_dump" --summary --json "$tmp/run.qtr" >"$tmp/summary" &&
        python3 - "$tmp/json" "$tmp/summary" <<'END'
import json, sys
overview, summary = (json.load(open(name)) for name in sys.argv[1:])
print(sum(s["insns"] for s in overview["streams"]),
      sum(b["loads"] for b in summary["blocks"]), sum(b["stores"] for b in summary["blocks"]))
END
}

# same NAME WANTED COMMAND...: it prints WANTED
same() {
    local name=$1 wanted=$2 found
    shift 2
    found=$("$@" 2>"$tmp/err")
    if [[ $found == "$wanted" ]]; then
        ok "$name: $found"
    else
        not_ok "$name" "'$found' instead of '$wanted' $(tail -n 1 "$tmp/err")"
    fi
}

# totals NAME GUEST LACKEY QEMU-7.2 QEMU-10.0: the numbers that each counts
totals() {
    same "$1: valgrind" "$3" lackey_totals "$2"
    same "$1: 7.2" "$4" trace_totals qemu-x86_64 "$2"
    same "$1: 10.0" "$5" trace_totals "$QEMU10/qemu-x86_64" "$2"
}

for part in LOOP CALLS STRINGS VECTORS; do
    check "$part: guest" gcc -D$part -nostdlib -static -o "$tmp/$part" "$top/tests/e2e/counted.S"
done
n=$((1 + 2 * 100000 + 3))
totals LOOP "$tmp/LOOP" "$n 0 0" "$n 0 0" "$n 0 0"
n=$((2 + 4 * 987 + 12 * 986 + 3))
m=$((987 + 986 + 2 * 986))
totals CALLS "$tmp/CALLS" "$n $m $m" "$n $m $m" "$n $m $m"
n=$((9 + (1000 + 1) + (500 + 1) + 1 + 40 + (30 + 1) + 3))
m="$((1000 + 40 + 30)) $((1000 + 500))"
totals STRINGS "$tmp/STRINGS" "$n $m" "$n $m" "$((9 + 5 + 3)) $m"
n=$((4 + 12 * 3000 + 3))
m="$((3 * 3000)) $((2 * 3000))"
totals VECTORS "$tmp/VECTORS" "$n $m" "$n $((4 * 3000)) $((3 * 3000))" "$n $m"

# Nobody has counted this one: valgrind is the only witness.
check "detours: guest" gcc -O2 -ffreestanding -fno-stack-protector -nostdlib -static \
    -o "$tmp/detours" "$top/tests/e2e/detours.c"
read -r n loads stores < <(lackey_totals "$tmp/detours")
check "detours: valgrind counts" test "${n:-0}" -gt 1000
totals detours "$tmp/detours" "$n $loads $stores" "$n $loads $((stores - 50))" \
    "$n $loads $((stores - 50))"
"$qtrace_dump" --events "$tmp/run.qtr" >"$tmp/events"
check "detours: 50 blocks are left in their middle" test 50 -eq \
    "$(sed -n 's/.*started=//p' "$tmp/events" | awk -F / '$1 != $2' | wc -l)"

# ---- programs with a C library: their own functions are equal

# own NAME QEMU SOURCE LACKEY-LOG OPTION GUEST...
own() {
    local name=$1 qemu=$2 source=$3 log=$4 option=$5 line
    shift 5
    timeout -k 10 100 "$qemu" -plugin "$qtrace_plugin,out=$tmp/run.qtr,overwrite=on" "$@" \
        >"$tmp/stdout" 2>"$tmp/stderr" </dev/null
    "$qtrace_dump" --blocks "$tmp/run.qtr" >"$tmp/blocks"
    "$qtrace_dump" --events "$tmp/run.qtr" >"$tmp/events"
    # shellcheck disable=SC2086
    if line=$("$top/tests/e2e/lackey.py" "$1" "$source" "$tmp/blocks" "$tmp/events" "$log" \
        $option 2>&1); then
        ok "$name: $line"
    else
        not_ok "$name" "$(tail -n 1 <<<"$line")"
    fi
}

for case in "mix 1" "smc" "widevec" "exits return" "threads 2"; do
    read -ra words <<<"$case"
    guest=("$GUESTS/x86_64/${words[0]}" "${words[@]:1}")
    "${valgrind[@]}" --basic-counts=no --trace-mem=yes --log-file="$tmp/log" "${guest[@]}" \
        >"$tmp/stdout" 2>"$tmp/stderr" </dev/null
    own "7.2 $case" qemu-x86_64 "${words[0]}.c" "$tmp/log" "" "${guest[@]}"
    own "10.0 $case" "$QEMU10/qemu-x86_64" "${words[0]}.c" "$tmp/log" --once "${guest[@]}"
done
