#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# QEMU's own plugins, as its build system compiled them, print the same to the last byte when
# they run next to the recorder and when qtrace-replay runs them on the trace of that run. Every
# target, both user-mode QEMUs; then several plugins at once, then the analyzers of this project.

. "$(dirname "$0")/../lib.sh"

analyzers=$QTRACE_BUILD/tools/qtrace-replay/analyzers

# parity NAME QEMU PLUGINS GUEST...: PLUGINS are separated by blanks, in the order of the calls
parity() {
    local name=$1 qemu=$2 plugins=$3 plugin status
    local live=() replayed=()
    shift 3
    for plugin in $plugins; do
        if [[ ! -r ${plugin%%,*} ]]; then
            skip "$name" "there is no ${plugin%%,*}"
            return
        fi
        live+=(-plugin "$plugin")
        replayed+=("--analyzer=$plugin")
    done
    rm -f "$tmp"/{run.qtr,live,replayed}
    (cd "$tmp" && timeout -k 10 100 "$qemu" -d plugin -D "$tmp/live" "${live[@]}" \
        -plugin "$qtrace_plugin,out=$tmp/run.qtr" "$@" >"$tmp/stdout" 2>"$tmp/stderr" </dev/null)
    status=$?
    if [[ ! -s $tmp/live ]]; then
        not_ok "$name" "nothing was printed live, status $status"
        show_output
        return
    fi
    replay_as_live "$name" 100 "${replayed[@]}"
}

# Guests of one thread: what several print comes in an order that is not that of the trace.
cases=("mix 1" "faults 5" "smc" "widevec")
# All of them on all targets in a long run only; parity/matrix.sh has others.
few=("${cases[@]:0:2}")

for arch in x86_64 aarch64 arm riscv64 ppc64le s390x i386; do
    these=("${few[@]}")
    if [[ -n $long || $arch == x86_64 || $arch == aarch64 || $arch == s390x ]]; then
        these=("${cases[@]}")
    fi
    for case in "${these[@]}"; do
        read -ra words <<<"$case"
        guest=("$GUESTS/$arch/${words[0]}" "${words[@]:1}")
        for plugin in insn bb mem,callback=true hotblocks execlog; do
            file=lib${plugin%%,*}.so${plugin#"${plugin%%,*}"}
            parity "7.2 $arch $case: $plugin" "qemu-$arch" "$PLUGINS72/$file" "${guest[@]}"
            parity "10.0 $arch $case: $plugin" "$QEMU10/qemu-$arch" "$PLUGINS100/$file" \
                "${guest[@]}"
        done
    done
    guest=("$GUESTS/$arch/faults" 5)
    for order in "insn bb mem" "mem insn bb"; do
        files72=
        files100=
        for plugin in $order; do
            file=lib$plugin.so
            if [[ $plugin == mem ]]; then
                file+=,callback=true
            fi
            files72+=" $PLUGINS72/$file"
            files100+=" $PLUGINS100/$file"
        done
        parity "7.2 $arch: $order" "qemu-$arch" "$files72" "${guest[@]}"
        parity "10.0 $arch: $order" "$QEMU10/qemu-$arch" "$files100" "${guest[@]}"
    done
done

# Plugins that only count, on everything else. Those of 7.2 race with themselves when there are
# threads (tests/e2e/witness.sh has its own witness for them).
count() {
    local name=$1 qemu=$2 folder=$3
    shift 3
    parity "$name: insn, bb, mem" "$qemu" \
        "$folder/libinsn.so $folder/libbb.so $folder/libmem.so,callback=true" "$@"
}

for arch in x86_64 aarch64 arm riscv64 ppc64le s390x i386; do
    for case in syscalls threads:8 churn:20 atomics; do
        read -ra words <<<"${case/:/ }"
        guest=("$GUESTS/$arch/${words[0]}" "${words[@]:1}")
        if [[ $case == syscalls ]]; then
            count "7.2 $arch $case" "qemu-$arch" "$PLUGINS72" "${guest[@]}"
        fi
        count "10.0 $arch $case" "$QEMU10/qemu-$arch" "$PLUGINS100" "${guest[@]}"
    done
done
for program in "gzip -c $top/LICENSE" "sort $top/LICENSE" "python3 -c print(sum(range(9)))"; do
    read -ra words <<<"$program"
    guest=("$(command -v "/usr/bin/${words[0]}" || command -v "${words[0]}")" "${words[@]:1}")
    count "7.2 ${words[0]}" qemu-x86_64 "$PLUGINS72" "${guest[@]}"
    count "10.0 ${words[0]}" "$QEMU10/qemu-x86_64" "$PLUGINS100" "${guest[@]}"
    parity "7.2 ${words[0]}: hotblocks" qemu-x86_64 "$PLUGINS72/libhotblocks.so" "${guest[@]}"
    parity "10.0 ${words[0]}: hotblocks" "$QEMU10/qemu-x86_64" "$PLUGINS100/libhotblocks.so" \
        "${guest[@]}"
done

for arch in x86_64 aarch64; do
    for case in "${cases[@]}"; do
        read -ra words <<<"$case"
        guest=("$GUESTS/$arch/${words[0]}" "${words[@]:1}")
        for analyzer in hotblocks hotblocks,inline=on,limit=0 execlog; do
            file=$analyzers/lib${analyzer%%,*}.so${analyzer#"${analyzer%%,*}"}
            parity "7.2 $arch $case: our $analyzer" "qemu-$arch" "$file" "${guest[@]}"
            parity "10.0 $arch $case: our $analyzer" "$QEMU10/qemu-$arch" "$file" "${guest[@]}"
        done
    done
done
