#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What only whole machines have: physical addresses, devices, several vCPUs that begin together.
# QEMU's own plugins that look at them print the same next to the recorder and replayed on the
# trace of that run: hwprofile, hotpages, cache, execlog; and tests/probe/machine.c, which prints what
# they do not. The firmware of a PC up to a boot sector that switches it off, and the firmware and
# U-Boot of a riscv64 board with one and four vCPUs.

. "$(dirname "$0")/../lib.sh"

ours=$QTRACE_BUILD/tools/qtrace-replay/analyzers
kernel=/usr/lib/u-boot/qemu-riscv64_smode/uboot.elf

# run NAME QEMU OPTION... -- PLUGIN...: the live log and the trace; each plugin is loaded from a
# file of its own, as one file is loaded once only. $signal: end the machine so, at U-Boot's prompt.
run() {
    local name=$1 qemu=$2 options=() file n=0
    shift 2
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    shift
    rm -rf "$tmp"/{run.qtr,live,replayed,copies,console}
    mkdir "$tmp/copies"
    replayed=()
    for plugin in "$@"; do
        n=$((n + 1))
        file=$tmp/copies/$n-$(basename "${plugin%%,*}")
        cp "${plugin%%,*}" "$file" || return 1
        options+=(-plugin "$file${plugin#"${plugin%%,*}"}")
        replayed+=("--analyzer=$file${plugin#"${plugin%%,*}"}")
    done
    : >"$tmp/console"
    (cd "$tmp" && exec timeout -s KILL 120 "$qemu" -display none -monitor none -nic none \
        -d plugin -D "$tmp/live" "${options[@]}" -plugin "$qtrace_plugin,out=$tmp/run.qtr" \
        </dev/null >"$tmp/console" 2>"$tmp/stderr") &
    local pid=$!
    if [[ -n ${signal:-} ]]; then
        until grep -q -F -e "=> " "$tmp/console" || ! kill -0 "$pid" 2>/dev/null; do
            sleep 0.2
        done
        kill "-$signal" "$pid"
    fi
    wait "$pid"
    status=$?
    if ((status != 0)) || [[ ! -s $tmp/live ]]; then
        not_ok "$name" "live: status $status"
        show_output
        return 1
    fi
}

# parity NAME QEMU OPTION... -- PLUGIN...
parity() {
    local name=$1
    run "$@" || return
    replay_as_live "$name" 120 "${replayed[@]}"
}

# Counts do not depend on the order in which vCPUs come to memory; the model of a cache does, and
# so does a log.
counting=()
for args in "" ,pattern=on ,source=on ,track=read,pattern=on ,track=write; do
    counting+=("$PLUGINS72/libhwprofile.so$args" "$ours/libhwprofile.so$args"
        "$ours/libhwprofile.so$args,format=json")
done
for args in "" ,io=on ,sortby=address; do
    counting+=("$PLUGINS72/libhotpages.so$args" "$ours/libhotpages.so$args,limit=0")
done
ordered=("$PLUGINS72/libcache.so" "$ours/libcache.so" "$ours/libexeclog.so,ifilter=sb"
    "$PLUGINS72/libexeclog.so,ifilter=sb")

# What a table of devices says, QEMU's or ours as CSV: name, reads, writes.
totals() {
    sed 's/, /,/g' "$1" | awk -F, 'NR > 1 { print $1, $4, $6 }' | sort
}

# Ours counts what QEMU's counts.
same_counts() {
    "$qtrace_replay" -o "$tmp/theirs" --analyzer="$PLUGINS72/libhwprofile.so" "$tmp/run.qtr" &&
        "$qtrace_replay" -o "$tmp/ours" --analyzer=hwprofile,format=csv "$tmp/run.qtr" &&
        [[ $(wc -l <"$tmp/ours") -gt 3 ]] && diff <(totals "$tmp/theirs") <(totals "$tmp/ours")
}

# The plugin of our own, for one version of the interface.
probe() {
    # shellcheck disable=SC2046
    cc -shared -fPIC -O2 -Wall -Wextra -Wno-unused-parameter -DQEMU_PLUGIN_API_VERSION="$1" \
        $(pkg-config --cflags glib-2.0) -I"$top/libqtrace/include" "$top/tests/probe/machine.c" \
        -o "$tmp/machine$1.so" -lglib-2.0 || not_ok "build" "machine.c, version $1"
}

if command -v qemu-system-x86_64 >"$tmp/stdout"; then
    {
        printf '\xfa\xba\x04\x06\xb8\x00\x20\xef\xf4\xeb\xfd' # cli, 0x2000 to port 0x604, hlt
        head -c 499 /dev/zero
        printf '\x55\xaa'
    } >"$tmp/disk"
    pc=(-m 32 -serial none -drive "file=$tmp/disk,format=raw")
    parity "PC" qemu-system-x86_64 "${pc[@]}" -- "${counting[@]}" "${ordered[@]//=sb/=movl}"
    check "PC: hwprofile of ours and QEMU's" same_counts
    for pair in 1:qemu-system-x86_64 "4:$SYSTEM100/qemu-system-x86_64" \
        "7:$SYSTEM111/qemu-system-x86_64"; do
        version=${pair%%:*}
        if command -v "${pair#*:}" >"$tmp/stdout"; then
            probe "$version"
            parity "PC, interface version $version" "${pair#*:}" "${pc[@]}" -- \
                "$tmp/machine$version.so"
        else
            skip "PC, interface version $version" "there is no ${pair#*:}"
        fi
    done
else
    skip "PC" "there is no qemu-system-x86_64"
fi

if command -v qemu-system-riscv64 >"$tmp/stdout" && [[ -r $kernel ]]; then
    signal=TERM
    board=(qemu-system-riscv64 -M virt -m 256 -serial stdio -bios default -kernel "$kernel")
    parity "riscv64, 1 vCPU" "${board[@]}" -- "${counting[@]}" "${ordered[@]}"
    parity "riscv64, 4 vCPUs" "${board[@]}" -smp 4 -- "${counting[@]}"
    parity "riscv64, 4 vCPUs of one thread" "${board[@]}" -smp 4 -accel tcg,thread=single -- \
        "${counting[@]}" "${ordered[@]}"
else
    skip "riscv64" "qemu-system-riscv64 or $kernel is missing"
fi
