#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Machines boot: Linux on a PC with one and two vCPUs, OpenSBI and U-Boot on a riscv64 board with
# four, U-Boot on an aarch64 board; on QEMU 7.2, 10.0 and 11.1, with a host thread for each vCPU and
# with one for all. Each run has the recorder in it, the witness, and two copies of each plugin of
# QEMU's own (11.1 loads none that can be had: there it is this project's analyzers). The trace is
# whole, its counts and sums are the witness's for each vCPU, and whatever two live copies agree
# upon the replay prints to the last byte.
#
# With one host thread there is one order of everything: a plugin that hashes it (probe/order.c)
# prints the same live and replayed.
#
#   tests/e2e/machines.sh [PATTERN]   only the runs whose name matches the regular expression

. "$(dirname "$0")/../lib.sh"

pattern=${1:-.}
sums=$QTRACE_BUILD/tests/trace-sums
ours=$QTRACE_BUILD/tools/qtrace-replay/analyzers
copies=$tmp/copies
mkdir "$copies"
if ! cc -shared -fPIC -O2 -Wall -Wextra "$top/tests/parity/outs.c" -o "$tmp/outs.so"; then
    not_ok "build outs.c"
    exit 1
fi

# build_order VERSION API
build_order() {
    # shellcheck disable=SC2046
    cc -shared -fPIC -O2 -Wall -Wextra -Wno-unused-parameter -DQEMU_PLUGIN_API_VERSION="$2" \
        $(pkg-config --cflags glib-2.0) -I"$top/libqtrace/include" "$top/tests/probe/order.c" \
        -o "$copies/order-$1.so"
}

if ! build_order 7.2 1 || ! build_order 10.0 4 || ! build_order 11.1 7; then
    not_ok "build order.c"
    exit 1
fi

# ---- which QEMU, which machine ----

# choose_qemu VERSION TARGET: sets $qemu, $probe and $plugins. False: it does not run here, $why.
choose_qemu() {
    case $1 in
    7.2) qemu=qemu-system-$2 probe=$PROBE72 plugins=$PLUGINS72 ;;
    10.0) qemu=$SYSTEM100/qemu-system-$2 probe=$PROBE100 plugins=$PLUGINS100 ;;
    11.1) qemu=$SYSTEM111/qemu-system-$2 probe=$PROBE111 plugins=$ours ;;
    esac
    if ! why=$("$qemu" --version 2>&1); then
        why="$qemu does not run: $(head -n 1 <<<"$why")"
        return 1
    elif [[ $why != *"version $1."* ]]; then
        why="$qemu is another version: $(head -n 1 <<<"$why")"
        return 1
    fi
}

# choose_machine GUEST: sets $target, $options, and $prompt, at which it is ended; empty: it ends
# itself.
choose_machine() {
    options=(-display none -monitor none -serial stdio -nic none -no-reboot)
    prompt="=> "
    case $1 in
    linux)
        target=x86_64
        prompt=
        # (the self-tests of its cryptography are half of all instructions)
        options+=(-m 256 -kernel "$MACHINES/vmlinuz" -initrd "$MACHINES/initrd.gz"
            -append "console=ttyS0 quiet cryptomgr.notests")
        ;;
    riscv64)
        target=riscv64
        options+=(-M virt -m 256 -bios default -kernel "$MACHINES/u-boot-riscv64.elf")
        ;;
    aarch64)
        target=aarch64
        options+=(-M virt -m 256 -cpu cortex-a57 -bios "$MACHINES/u-boot-aarch64.bin")
        ;;
    esac
}

# ---- live ----

digits=0123456789abcdef

# copy_of NAME SLOT: prints the path of a copy that prints to the slot
copy_of() {
    local copy=$copies/$version-$1-$2.so file=$plugins/lib$1.so
    [[ $1 == order ]] && file=$copies/order-$version.so
    sed "s/qemu_plugin_outs/qemu_plugin_out$2/g" "$file" >"$copy"
    echo "$copy"
}

slot_text() {
    tail -c +4097 "$tmp/slot.$1" | head -c "$(od -An -t u8 -N 8 "$tmp/slot.$1" | tr -d ' ')"
}

# run_live OPTION...: with two copies of each of $specs; what they print is left in $tmp/I.a, I.b
run_live() {
    local i slot args=() pid
    rm -f "$tmp"/run.qtr* "$tmp"/[0-9]*.[abr] "$tmp"/slot.* "$tmp/witness"
    for ((i = 0; i < 2 * ${#specs[@]}; i++)); do
        slot=${digits:i:1}
        args+=(-plugin "$(copy_of "${specs[i / 2]%%,*}" "$slot")${specs[i / 2]#"${specs[i / 2]%%,*}"}")
    done
    args+=(-plugin "$probe,phys=on,out=$tmp/witness" -plugin "$qtrace_plugin,out=$tmp/run.qtr")
    : >"$tmp/console"
    (cd "$tmp" && LD_PRELOAD=$tmp/outs.so OUTS=$tmp/slot OUTS_LINES=1 exec timeout -s KILL 600 \
        "$qemu" "${options[@]}" -d plugin -D "$tmp/log" "$@" "${args[@]}" \
        </dev/null >"$tmp/console" 2>"$tmp/stderr") &
    pid=$!
    if [[ -n $prompt ]]; then
        until grep -q -F -e "$prompt" "$tmp/console" || ! kill -0 "$pid" 2>/dev/null; do
            sleep 0.2
        done
        kill -TERM "$pid"
    fi
    wait "$pid"
    status=$?
    for i in "${!specs[@]}"; do
        slot_text "${digits:2 * i:1}" >"$tmp/$i.a"
        slot_text "${digits:2 * i + 1:1}" >"$tmp/$i.b"
    done
    rm -f "$tmp"/slot.*
}

# ---- the judgement ----

# Two copies of these may well lose the same counts.
counts_without_atomics() {
    [[ $version == 7.2 && $several ]] && case $1 in
    insn* | mem* | howvec*) true ;;
    *) false ;;
    esac
}

by_vcpu() {
    sort -s -t, -k 1,1 "$1"
}

# judge SPECIFICATION A B R
judge() {
    local spec=$1 a=$2 b=$3 r=$4
    if counts_without_atomics "$spec"; then
        apart+=("$spec (counts without atomics)")
    elif cmp -s "$a" "$b"; then
        compared=$((compared + 1))
        lines=$((lines + $(wc -l <"$a")))
        if ! [[ -s $a ]] || ! cmp -s "$a" "$r"; then
            bad+=("$spec")
            diff "$a" "$r" | cut -c 1-200 | head -n 6 | sed 's/^/    # /'
        fi
    elif [[ $spec == execlog* ]] && cmp -s <(by_vcpu "$a") <(by_vcpu "$b"); then
        compared=$((compared + 1))
        lines=$((lines + $(wc -l <"$a")))
        cmp -s <(by_vcpu "$a") <(by_vcpu "$r") || bad+=("$spec, by vCPU")
    else
        apart+=("$spec (two live copies disagree)")
    fi
}

# replay: the first copies, all at once; what they print is left in $tmp/I.r
replay() {
    local i args=() status=0
    for i in "${!specs[@]}"; do
        args+=(--analyzer="$copies/$version-${specs[i]%%,*}-${digits:2 * i:1}.so${specs[i]#"${specs[i]%%,*}"}")
    done
    LD_PRELOAD=$tmp/outs.so OUTS=$tmp/slot OUTS_LINES=1 timeout -k 10 300 "$qtrace_replay" \
        "${args[@]}" "$tmp/run.qtr" 2>"$tmp/stderr" >"$tmp/stdout" || status=$?
    for i in "${!specs[@]}"; do
        slot_text "${digits:2 * i:1}" >"$tmp/$i.r"
    done
    rm -f "$tmp"/slot.*
    return "$status"
}

# The trace says whether one host thread ran several vCPUs.
order_is_told() {
    local wanted=0
    [[ "${more[*]}" == *-smp* && ! $several ]] && wanted=1
    (($("$qtrace_dump" "$tmp/run.qtr" | grep -c '^order  *exact') == wanted))
}

# machine VERSION GUEST MINIMUM OPTION... -- SPECIFICATION...: at least MINIMUM of the specifications
# must be comparable.
machine() {
    local version=$1 guest=$2 minimum=$3 name several= more=() i status
    local compared=0 lines=0 bad=() apart=() result
    shift 3
    while [[ $1 != -- ]]; do
        more+=("$1")
        shift
    done
    shift
    specs=("$@")
    name="$version $guest${more[*]:+ ${more[*]}}"
    [[ $name =~ $pattern ]] || return
    [[ "${more[*]}" == *-smp* && "${more[*]}" != *single* && "${more[*]}" != *icount* ]] && several=1
    choose_machine "$guest"
    if ! choose_qemu "$version" "$target"; then
        skip "$name" "$why"
        return
    fi
    run_live "${more[@]}"
    if ((status != 0)); then
        not_ok "$name" "QEMU: status $status"
        tail -n 5 "$tmp/console" >"$tmp/stdout"
        show_output
        return
    fi
    if ! result=$("$qtrace_dump" --verify "$tmp/run.qtr" 2>"$tmp/stderr"); then
        not_ok "$name: verify" "$result"
        head -n 5 "$tmp/stderr"
        return
    fi
    "$sums" --phys "$tmp/run.qtr" >"$tmp/sums"
    if ! [[ -s $tmp/witness ]] || ! cmp -s "$tmp/witness" "$tmp/sums"; then
        not_ok "$name: the witness's counts" "live and recorded differ"
        diff "$tmp/witness" "$tmp/sums" | head -n 12
        return
    fi
    ok "$name: ${result#*: }, $(grep -c ^vcpu "$tmp/sums") vCPUs as the witness"
    order_is_told || not_ok "$name: order" "the trace does not say what it is"
    if ! replay; then
        not_ok "$name: replay" "status $?"
        show_output
        return
    fi
    for i in "${!specs[@]}"; do
        judge "${specs[i]}" "$tmp/$i".{a,b,r}
    done
    if ((${#bad[@]} > 0)); then
        not_ok "$name: plugins" "$(printf '%s; ' "${bad[@]}")"
    elif ((compared < minimum)); then
        not_ok "$name: plugins" "only $compared of ${#specs[@]}: $(printf '%s; ' "${apart[@]}")"
    else
        ok "$name: plugins: $compared of ${#specs[@]}, $lines lines$(
            ((${#apart[@]} == 0)) || printf '; not comparable: %s' "${apart[*]}")"
    fi
}

single=(-accel tcg,thread=single)
icount=(-icount "shift=3,sleep=off")
light=(insn,inline=on bb,inline=on hwprofile)
heavy=(mem,callback=on hotblocks hotpages cache execlog,ifilter=wrmsr)
full=(insn bb mem,callback=on hotblocks hotpages hwprofile cache)
our_light=(hotblocks hwprofile)
our_full=(hotblocks hotpages hwprofile cache)

# ---- Linux ----

machine 10.0 linux 3 -smp 2 -- "${light[@]}"
if [[ $long ]]; then
    machine 7.2 linux 7 -- "${light[@]}" "${heavy[@]}"
    machine 10.0 linux 7 -- "${light[@]}" "${heavy[@]}"
    machine 7.2 linux 1 -smp 2 -- "${light[@]}"
    machine 7.2 linux 3 -smp 2 "${single[@]}" -- "${light[@]}" order
    machine 10.0 linux 1 -smp 2 "${single[@]}" -- order
    machine 10.0 linux 4 "${icount[@]}" -- "${light[@]}" order
    machine 11.1 linux 2 -- "${our_light[@]}"
    machine 11.1 linux 2 -smp 2 -- "${our_light[@]}"
fi

# ---- firmware ----

# (10.0's insn aborts on this board, live, as it reads none of the registers that it asks for.)
machine 10.0 riscv64 5 -smp 4 -- "${full[@]:1}" execlog,ifilter=sb
machine 7.2 aarch64 7 -- "${full[@]}" execlog,ifilter=strb
if [[ $long ]]; then
    machine 11.1 riscv64 3 -smp 4 -- "${our_full[@]}"
    machine 10.0 aarch64 7 -- "${full[@]}" execlog,ifilter=strb
    machine 7.2 riscv64 3 -smp 4 -- "${full[@]}" execlog,ifilter=sb
    machine 11.1 riscv64 4 -- "${our_full[@]}"
    machine 11.1 aarch64 4 -- "${our_full[@]}"
    machine 7.2 aarch64 3 -smp 4 -- "${full[@]}" execlog,ifilter=strb
    machine 10.0 aarch64 5 -smp 4 -- "${full[@]}" execlog,ifilter=strb
fi

# ---- one order ----

# QEMU 10 and later report wrong indices to callbacks then, and to inline operations anything: what
# plugins count inline is beyond comparison, and some end QEMU.
for version in 7.2 10.0 11.1; do
    machine $version riscv64 1 -smp 4 "${single[@]}" -- order
    if [[ $long ]]; then
        machine $version riscv64 1 -smp 4 "${icount[@]}" -- order
    fi
done
