#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Children. follow=off: they are left alone, and write nothing. follow=fork: each writes a trace of
# its own, as complete as the witness in the same child saw it, which names its parent. In either
# case the parent's trace is what the witness in the parent saw, and nobody hangs. A program that
# is executed with the same QEMU_PLUGIN leaves its caller's trace alone.

. "$(dirname "$0")/../lib.sh"

sums=$QTRACE_BUILD/tests/trace-sums
forks=$GUESTS/x86_64/forks
exits=$GUESTS/x86_64/exits
n=${long:+1000}
n=${n:-8}

use() {
    version=$1 qemu=qemu-x86_64 probe=$PROBE72
    if [[ $version == 10.0 ]]; then
        qemu=$QEMU10/qemu-x86_64 probe=$PROBE100
    fi
    qemu=$(command -v "$qemu")
}

# run NAME WANTED OPTIONS GUEST...: into a fresh $tmp/run, with a witness
run() {
    local name=$1 wanted=$2 options=$3
    shift 3
    rm -rf "$tmp/run"
    mkdir "$tmp/run"
    status=0
    timeout -k 10 "${long:+3}600" "$qemu" -plugin "$probe,out=$tmp/run/w" \
        -plugin "$qtrace_plugin,out=$tmp/run/t$options" "$@" >"$tmp/out" 2>"$tmp/err" || status=$?
    if ((status != wanted)); then
        not_ok "$name" "status $status instead of $wanted: $(tail -n 1 "$tmp/out" "$tmp/err")"
        return 1
    fi
    ok "$name: $(tail -n 1 "$tmp/out")"
}

# as_witnessed NAME: each process's trace, and returns how many there are in $traces
as_witnessed() {
    local witness trace bad=0
    traces=0
    for witness in "$tmp"/run/w*; do
        trace=$tmp/run/t
        if [[ $(basename "$witness") == *.* ]]; then
            trace+=.${witness##*.} # a grandchild's is w.PID.PID
        fi
        [[ -f $trace ]] || continue
        traces=$((traces + 1))
        if ! "$sums" "$trace" >"$tmp/sums" 2>"$tmp/stderr" || ! cmp -s "$tmp/sums" "$witness"; then
            bad=$((bad + 1))
            diff "$tmp/sums" "$witness" | head -n 4
        fi
    done
    if ((bad == 0)); then
        ok "$1: $traces of $traces traces as witnessed"
    else
        not_ok "$1" "$bad of $traces traces are not as witnessed"
    fi
}

# counts NAME FILES TRACES
counts() {
    local files
    files=$(find "$tmp/run" -name 't*' | wc -l)
    if ((files == $2 && traces == $3)); then
        ok "$1: $files files"
    else
        not_ok "$1" "$files files instead of $2, $traces traces with a witness instead of $3"
    fi
}

for version in 7.2 10.0; do
    use "$version"
    for mode in fork tree; do
        children=$n
        if [[ $mode == tree ]]; then
            children=$((2 * n))
        fi
        name="$version $mode, off"
        if run "$name" 0 "" "$forks" "$mode" "$n" 4; then
            check "$name: silence" test ! -s "$tmp/err"
            as_witnessed "$name"
            counts "$name" 1 1
        fi
        name="$version $mode, fork"
        if run "$name" 0 ,follow=fork "$forks" "$mode" "$n" 4; then
            check "$name: silence" test ! -s "$tmp/err"
            as_witnessed "$name"
            counts "$name" $((children + 1)) $((children + 1))
        fi
    done

    # Who is whose parent.
    run "$version: a child's trace" 10 ,follow=fork,verbose=on "$exits" fork
    parent=$("$qtrace_dump" "$tmp/run/t" | sed -n 's/^QEMU .* process //p')
    child=$(find "$tmp/run" -name 't.*')
    "$qtrace_dump" "$child" >"$tmp/overview"
    check "$version: it names its parent" grep -qx "forked from  process $parent, trace $tmp/run/t" \
        "$tmp/overview"
    check "$version: and itself" grep -q "^QEMU .* process ${child##*.}\$" "$tmp/overview"
    check "$version: the parent has none" bash -c '! "$0" "$1" | grep -q "^forked"' \
        "$qtrace_dump" "$tmp/run/t"
    check "$version: JSON" grep -q "\"parent_pid\": *$parent" <("$qtrace_dump" --json "$child")
    check "$version: two summaries" test "$(grep -c '^qtrace: .* blocks, .* bytes; .* system$' "$tmp/err")" = 2
    run "$version: a child alone" 10 ,verbose=on "$exits" fork
    check "$version: one summary" test "$(grep -c '^qtrace: .* blocks, .* bytes; .* system$' "$tmp/err")" = 1

    # A child's trace needs no other one.
    run "$version: replay of a child" 10 ",follow=fork" "$exits" fork-threads
    child=$(find "$tmp/run" -name 't.*')
    check "$version: a child is replayed" "$qtrace_replay" -a hotblocks -o "$tmp/replayed" "$child"
    check "$version: a child's blocks" grep -q '^0x' "$tmp/replayed"

    # Names: %p; a name that is taken.
    rm -rf "$tmp/run" && mkdir "$tmp/run"
    check_status "$version: %p" 10 "$qemu" -plugin "$qtrace_plugin,out=$tmp/run/%p,follow=fork" \
        "$exits" fork
    check "$version: %p: two numbers" test "$(cd "$tmp/run" && echo [0-9]* | wc -w)" = 2
    check "$version: %p: whole" "$qtrace_dump" --verify "$tmp"/run/*

    # The same QEMU_PLUGIN for all that is executed.
    for follow in off fork; do
        rm -rf "$tmp/run" && mkdir "$tmp/run"
        QEMU_PLUGIN=$qtrace_plugin,out=$tmp/run/t,follow=$follow timeout -k 10 100 "$qemu" \
            "$forks" spawn 2 2 "$qemu" "$exits" concurrent >"$tmp/out" 2>"$tmp/err"
        name="$version QEMU_PLUGIN, posix_spawn, follow=$follow"
        check "$name: output" grep -qx 'spawn: 2 of 2 children as they should' "$tmp/out"
        check "$name: silence" test ! -s "$tmp/err"
        check "$name: the caller's trace" "$qtrace_dump" --verify "$tmp/run/t"
        suffix=
        if [[ $follow == fork ]]; then
            suffix=.2
        fi
        whole=0
        for trace in "$tmp"/run/t.*; do
            if [[ $trace =~ t\.[0-9]+"$suffix"$ ]] && "$qtrace_dump" --verify "$trace" \
                >/dev/null 2>&1; then
                whole=$((whole + 1))
            fi
        done
        wanted=2
        if ((whole == wanted)); then
            ok "$name: $whole traces FILE.PID$suffix"
        else
            not_ok "$name" "$whole traces: $(cd "$tmp/run" && echo *)"
        fi
    done

    # overwrite=on does not reach what is being recorded.
    rm -rf "$tmp/run" && mkdir "$tmp/run"
    QEMU_PLUGIN=$qtrace_plugin,out=$tmp/run/t,overwrite=on timeout -k 10 100 "$qemu" "$forks" \
        vfork 2 0 "$qemu" "$exits" concurrent >"$tmp/out" 2>"$tmp/err"
    check "$version QEMU_PLUGIN, vfork, overwrite=on" test "$(cd "$tmp/run" && echo t* | wc -w)" = 3
    check "$version QEMU_PLUGIN, vfork, overwrite=on: whole" "$qtrace_dump" --verify "$tmp"/run/t*
done

# The guest goes elsewhere before it forks.
if cc -O1 -static "$top/tests/e2e/places.c" -o "$tmp/places" 2>"$tmp/stderr"; then
    for version in 7.2 10.0; do
        use "$version"
        for where in umask chdir chroot; do
            rm -rf "$tmp/root" && mkdir -p "$tmp/root"
            if [[ $where == chroot ]] && ! chroot / true 2>"$tmp/messages"; then
                skip "$version, a child after chroot" "needs root"
                continue
            fi
            run "$version, a child after $where" 17 ,follow=fork "$tmp/places" "$where" "$tmp/root"
            if [[ $where == chroot ]]; then
                check "$version, $where: it says so" grep -q \
                    "^qtrace: process [0-9]* is not recorded: cannot create: No such file" "$tmp/err"
                mkdir -p "$tmp/root$tmp/run"
                run "$version, a child after $where, again" 17 ,follow=fork "$tmp/places" "$where" \
                    "$tmp/root"
                mv "$tmp/root$tmp"/run/* "$tmp/run"
            fi
            check "$version, $where: silence" test ! -s "$tmp/err"
            as_witnessed "$version, $where"
            counts "$version, $where" 2 2
            check "$version, $where: the same mode" test "$(stat -c %a "$tmp"/run/t* | uniq -c |
                wc -l)" = 1
        done
    done
else
    not_ok "build places.c" "$(head -n 1 "$tmp/stderr")"
fi

use 7.2
run "a name that is taken" 10 ,follow=fork "$exits" fork
check_status "the command line: an existing file is refused" 1 "$qemu" -plugin \
    "$qtrace_plugin,out=$tmp/run/t" "$exits" return
mv "$tmp/stderr" "$tmp/err"
check "the command line: it says why" grep -q 'exists; use overwrite=on' "$tmp/err"
status_of env QEMU_PLUGIN="$qtrace_plugin,out=$tmp/run/t" "$qemu" "$exits" return
check "QEMU_PLUGIN: another name" test "$status" = 3

# While it is recorded: not even overwrite=on.
mkfifo "$tmp/fifo"
"$qemu" -plugin "$qtrace_plugin,out=$tmp/busy.qtr" "$(command -v cat)" "$tmp/fifo" \
    >"$tmp/out" 2>"$tmp/err" &
pid=$!
exec 5>"$tmp/fifo"
check_status "overwrite=on: not what is being recorded" 1 "$qemu" -plugin \
    "$qtrace_plugin,out=$tmp/busy.qtr,overwrite=on" "$exits" return
mv "$tmp/stderr" "$tmp/err"
check "overwrite=on: it says why" grep -q 'is being recorded' "$tmp/err"
exec 5>&-
wait "$pid"
check "what was being recorded is whole" "$qtrace_dump" --verify "$tmp/busy.qtr"
