#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Another plugin leaves in the middle of a run, is reset there, or ends the process from one of its
# callbacks; loaded before the recorder or after it. The guest shows what it shows with that plugin
# alone, and the trace has what the witness saw: all of it if the run goes on; and otherwise,
# whatever the other threads were doing, no less than a witness saw that was asked just before the
# recorder's end, and no more than one that was asked just after.

. "$(dirname "$0")/../lib.sh"

sums=$QTRACE_BUILD/tests/trace-sums
runs=${long:+20}
runs=${runs:-2}

for version in 7.2 10.0; do
    headers=$HDR72
    [[ $version == 10.0 ]] && headers=$HDR100
    # shellcheck disable=SC2046
    if ! cc -shared -fPIC -O2 -Wall -Wextra -I"$headers" $(pkg-config --cflags glib-2.0) \
        "$top/tests/e2e/leaver.c" -o "$tmp/leaver-$version.so" 2>"$tmp/stderr"; then
        not_ok "build leaver.c" "$(head -n 1 "$tmp/stderr")"
        exit 1
    fi
done

use() {
    version=$1 qemu=qemu-x86_64 probe=$PROBE72 leaver=$tmp/leaver-$1.so
    if [[ $version == 10.0 ]]; then
        qemu=$QEMU10/qemu-x86_64 probe=$PROBE100
    fi
}

# load ORDER PLUGIN: sets $plugins, with it before or after witness and recorder
load() {
    local ours=(-plugin "$probe,out=$tmp/witness" -plugin "$qtrace_plugin,out=$tmp/run.qtr")
    if [[ $1 == before ]]; then
        plugins=(-plugin "$2" "${ours[@]}")
    else
        plugins=("${ours[@]}" -plugin "$2")
    fi
}

# run COMMAND...: into $tmp/out, $tmp/err and $status
run() {
    rm -f "$tmp"/run.qtr* "$tmp"/witness*
    status=0
    timeout -k 10 100 "$@" >"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
}

# goes_on NAME SAYS: is all as the witness saw it, after the plugin has said so?
goes_on() {
    local name=$1 says=$2
    if ! grep -q -- "$says" "$tmp/err"; then
        not_ok "$name" "no \"$says\" of the plugin: status $status, $(head -c 200 "$tmp/err")"
    elif ((status != wanted)) || ! cmp -s "$tmp/out" "$tmp/plain"; then
        not_ok "$name" "the guest's output differs, or its status, $status instead of $wanted"
    elif ! "$sums" "$tmp/run.qtr" >"$tmp/sums" 2>"$tmp/stderr"; then
        not_ok "$name" "trace-sums: status $? $(head -c 200 "$tmp/stderr")"
    elif ! cmp -s "$tmp/sums" "$tmp/witness" || [[ -e $tmp/run.qtr.live ]]; then
        not_ok "$name" "live and recorded differ: $(diff "$tmp/witness" "$tmp/sums" | head -n 4)"
    else
        ok "$name: $(awk '/^vcpu/ { split($5, b, "="); n += b[2] } END { print n }' "$tmp/sums") \
blocks, $(tail -n 1 "$tmp/err")"
    fi
}

# ---- it leaves, and the run goes on

# What threads do at the same time; those that begin and end later; forks later; all in one thread.
guests=("150000 threads 4 50" "30000 churn 40" "100000 forks fork 4 4" "20000 mix 1")
for version in 7.2 10.0; do
    use "$version"
    for guest in "${guests[@]}"; do
        read -r after command <<<"$guest"
        read -ra words <<<"$GUESTS/x86_64/$command"
        timeout -k 10 100 "$qemu" "${words[@]}" >"$tmp/plain"
        wanted=$?
        for what in uninstall reset; do
            for order in before after; do
                load "$order" "$leaver,after=$after,do=$what"
                run "$qemu" "${plugins[@]}" "${words[@]}"
                goes_on "$version, $command, $what, loaded $order" "^leaver: $what"
            done
        done
    done
done

# QEMU's own one is reset, and uninstalled then.
for order in before after; do
    load "$order" "$PLUGINS100/libreset.so"
    "$QEMU10/qemu-x86_64" "$GUESTS/x86_64/threads" 4 20 >"$tmp/plain"
    wanted=0
    run "$QEMU10/qemu-x86_64" -d plugin "${plugins[@]}" "$GUESTS/x86_64/threads" 4 20
    goes_on "10.0, QEMU's reset, loaded $order" "^uninstall done"
done

# A machine, until its prompt and SIGTERM, at which QEMU stops all vCPUs.
# machine WHAT ORDER QEMU
machine() {
    local pid name="$version, a machine, $1, loaded $2"
    load "$2" "$leaver,after=3000000,do=$1"
    rm -f "$tmp"/run.qtr* "$tmp"/witness*
    : >"$tmp/out"
    timeout -s KILL 300 "$3" -M virt -smp 4 -m 256 -display none -monitor none -nic none \
        -serial stdio -bios default -kernel "$MACHINES/u-boot-riscv64.elf" "${plugins[@]}" \
        >"$tmp/out" 2>"$tmp/err" </dev/null &
    pid=$!
    until grep -q -F "=> " "$tmp/out" || ! kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
    done
    kill -TERM "$pid"
    status=0
    wait "$pid" || status=$?
    wanted=0
    cp "$tmp/out" "$tmp/plain"
    goes_on "$name" "^leaver: $1"
}

for version in 7.2 10.0; do
    use "$version"
    system=qemu-system-riscv64
    [[ $version == 10.0 ]] && system=$SYSTEM100/$system
    if ! why=$("$system" --version 2>&1); then
        skip "$version, a machine" "$system does not run: $(head -n 1 <<<"$why")"
        continue
    fi
    if [[ $long || $version == 7.2 ]]; then
        machine uninstall before "$system"
    fi
    if [[ $long || $version == 10.0 ]]; then
        machine reset after "$system"
    fi
done

# ---- it ends the process

# ended_between NAME: per vCPU, has the trace what the first witness had, but for the block that it
# was asked in, and no more than the last?
ended_between() {
    local name=$1
    "$sums" "$tmp/run.qtr" >"$tmp/sums" 2>"$tmp/stderr"
    if awk '
        function check(what, least, have, most) {
            if (have < least - 1 || have > most + 1) {
                print FILENAME, $1, $2, what, least, have, most
                bad = 1
            }
        }
        $1 != "vcpu" { next }
        { split($5, b, "="); split($7, l, "="); split($8, s, "=") }
        FILENAME ~ /first$/ { blocks[$2] = b[2]; accesses[$2] = l[2] + s[2]; n++ }
        FILENAME ~ /sums$/ { trace_blocks[$2] = b[2]; trace_accesses[$2] = l[2] + s[2] }
        FILENAME ~ /witness$/ {
            check("blocks", blocks[$2], trace_blocks[$2], b[2])
            check("accesses", accesses[$2], trace_accesses[$2], l[2] + s[2])
            vcpus++
        }
        END { exit bad || n != 5 || vcpus != 5 }' "$tmp/first" "$tmp/sums" "$tmp/witness" \
        >"$tmp/stdout"; then
        ok "$name: $(awk '/^vcpu/ { split($5, b, "="); n += b[2] } END { print n }' "$tmp/sums") blocks"
    else
        not_ok "$name" "$(head -n 3 "$tmp/stdout")"
    fi
}

for version in 7.2 10.0; do
    use "$version"
    cp "$probe" "$tmp/first.so"
    for order in before after; do
        name="$version, exit() of a plugin loaded $order, four busy threads"
        for ((i = 0; i < runs; i++)); do
            load "$order" "$leaver,after=$((300000 + i * 7)),do=exit"
            run "$qemu" "${plugins[@]}" -plugin "$tmp/first.so,out=$tmp/first" \
                "$GUESTS/x86_64/threads" 4 100000
            check "$name: its status" test "$status" = 9
            check "$name: whole" "$qtrace_dump" --verify "$tmp/run.qtr"
            ended_between "$name"
        done
        for what in _exit abort; do
            name="$version, $what() of a plugin loaded $order, four busy threads"
            load "$order" "$leaver,after=300000,do=$what"
            {
                run "$qemu" -plugin "$leaver,after=300000,do=$what" "$GUESTS/x86_64/threads" 4 100000
                wanted=$status
                run "$qemu" "${plugins[@]}" "$GUESTS/x86_64/threads" 4 100000
            } 2>"$tmp/messages" # the shell's own
            check "$name: status $wanted" test "$status" = "$wanted"
            status_of python3 "$top/tests/e2e/kill.py" "$runs" none 100 "$PROBE_DUMP" "$sums" \
                "$qtrace_dump" "$tmp/kill" "$qemu" -plugin "$probe,shm={folder}/shm" \
                "${plugins[@]/"$tmp/run.qtr"/{folder\}/run.qtr}" "$GUESTS/x86_64/threads" 4 100000
            check "$name: $(tail -n 1 "$tmp/stdout")" test "$status" = 0
        done
    done
done
