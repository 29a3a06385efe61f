#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# System mode: the firmware and U-Boot of Debian on qemu-system-riscv64, with devices, traps
# between modes and one or four vCPUs. The witness plugin and the recorder see the same run, up
# to its end by the guest, by a signal, or by a signal while vCPUs run.

. "$(dirname "$0")/../lib.sh"

sums=$QTRACE_BUILD/tests/trace-sums
qemu=qemu-system-riscv64
kernel=/usr/lib/u-boot/qemu-riscv64_smode/uboot.elf

# wait_for TEXT: until the machine's console shows it; the status is 1 if it ends or hangs first
wait_for() {
    local i
    for ((i = 0; i < 300; i++)); do
        if grep -q -F -e "$1" "$tmp/console"; then
            return 0
        fi
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.2
    done
    return 1
}

# The slow console loses characters that come too fast.
type_line() {
    printf '%s\r' "$1" >&3
    sleep 0.3
}

# boot END OPTION...: sets $status; END is `poweroff`, `signal` or `busy`, the latter two SIGTERM
boot() {
    local end=$1 problem=
    shift
    rm -f "$tmp"/{run.qtr,witness,sums,console,input,err}
    : >"$tmp/console"
    mkfifo "$tmp/input"
    (cd "$tmp" && exec timeout -s KILL 120 "$qemu" -M virt -m 256 -display none -monitor none \
        -serial stdio -bios default -kernel "$kernel" -nic none "$@" \
        -plugin "$PROBE72,phys=on,out=$tmp/witness" -plugin "$qtrace_plugin,out=$tmp/run.qtr" \
        <"$tmp/input" >"$tmp/console" 2>"$tmp/err") &
    pid=$!
    exec 3>"$tmp/input"
    wait_for "stop autoboot" || problem="no U-Boot"
    type_line ""
    wait_for "=> " || problem="no prompt"
    type_line "crc32 80200000 8000"
    wait_for "==>" || problem="no checksum"
    type_line "cp.b 80200000 88000000 4000"
    type_line "sleep 1; echo do''ne"
    wait_for "done" || problem="no end of the commands"
    case $end in
    poweroff)
        type_line "poweroff"
        ;;
    signal)
        sleep 0.5
        kill -TERM "$pid"
        ;;
    busy)
        type_line "crc32 80200000 8000000"
        kill -TERM "$pid"
        ;;
    esac
    wait "$pid"
    status=$?
    exec 3>&-
    if [[ -n $problem ]]; then
        echo "    # $problem"
        tail -n 5 "$tmp/console" | sed 's/^/    # /'
        head -n 5 "$tmp/err" | sed 's/^/    # /'
        return 1
    fi
}

# only_last: what the vCPU that ended the machine did: the hart that won OpenSBI's lottery. (The
# others run on while QEMU calls the plugins' atexit callbacks, one plugin after the other.)
only_last() {
    local hart
    hart=$(sed -n -E 's/^Boot HART ID *: *([0-9]+).*/\1/p' "$tmp/console" | head -n 1)
    grep -q "^vcpu ${hart:-?} " "$tmp/witness" &&
        cmp -s <(grep "^vcpu $hart " "$tmp/witness") <(grep "^vcpu $hart " "$tmp/sums")
}

# compare NAME EQUALITY END VCPUS OPTION...: EQUALITY is `same` or `only_last`
compare() {
    local name=$1 equality=$2 end=$3 vcpus=$4 seen
    shift 4
    if ! boot "$end" -smp "$vcpus" "$@"; then
        not_ok "$name" "the machine did not do what it should, status $status"
    elif ((status != 0)); then
        not_ok "$name" "exit status $status: $(head -c 200 "$tmp/err")"
    elif [[ ! -s $tmp/witness ]]; then
        not_ok "$name" "the witness wrote nothing"
    elif ! "$sums" --phys "$tmp/run.qtr" >"$tmp/sums" 2>"$tmp/err"; then
        not_ok "$name" "trace-sums: status $? $(head -c 200 "$tmp/err")"
    elif ! cmp -s "$tmp/witness" "$tmp/sums" && ! { [[ $equality == only_last ]] && only_last; }; then
        not_ok "$name" "live and recorded differ"
        diff "$tmp/witness" "$tmp/sums" | head -n 12
    else
        seen=$(grep -c '^vcpu' "$tmp/sums")
        foreign=$("$sums" --foreign "$tmp/run.qtr")
        if ((seen == vcpus)); then
            ok "$name: $(awk '/^vcpu/ { split($5, b, "="); n += b[2] } END { print n }' \
                "$tmp/sums") blocks, $foreign foreign accesses, $("$sums" --reached "$tmp/run.qtr")"
        else
            not_ok "$name" "$seen vCPUs instead of $vcpus"
        fi
    fi
}

if ! command -v "$qemu" >/dev/null || [[ ! -r $kernel ]]; then
    skip "all" "$qemu or $kernel is missing"
    exit 0
fi
# QEMU's own plugins in the same run, and replayed.
counting=("$PLUGINS72/libinsn.so" "$PLUGINS72/libbb.so" "$PLUGINS72/libmem.so,callback=true")
compare "1 vCPU, poweroff" same poweroff 1 -d plugin -D "$tmp/live" -plugin "${counting[0]}" \
    -plugin "${counting[1]}" -plugin "${counting[2]}"
check "1 vCPU, poweroff: replay" "$qtrace_replay" -o "$tmp/replayed" \
    "${counting[@]/#/--analyzer=}" "$tmp/run.qtr"
check "1 vCPU, poweroff: insn, bb, mem print the same" cmp "$tmp/live" "$tmp/replayed"
compare "1 vCPU, SIGTERM while it runs" same busy 1

# With icount QEMU executes an access to a device again in a block of its own, whose only
# callbacks are of that access.
foreign=0
compare "1 vCPU, icount" same poweroff 1 -icount shift=3,sleep=off
if ((foreign > 0)); then
    ok "icount: there are foreign accesses"
else
    not_ok "icount: there are foreign accesses" "none"
fi

# On SIGTERM QEMU stops all vCPUs before it ends. On poweroff this board calls exit() in the thread
# of a vCPU (QEMU 7.2, hw/misc/sifive_test.c): the others still run.
compare "4 vCPUs, SIGTERM while they run" same busy 4
compare "4 vCPUs, poweroff: the one that ended it" only_last poweroff 4
skip "4 vCPUs, poweroff: the others" "they run on between the two plugins' atexit callbacks"
