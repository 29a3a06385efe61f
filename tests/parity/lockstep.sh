#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Two traces in lockstep: the analyzer's report against an independent comparison of what
# qtrace-dump prints; the same live in QEMU and at a socket path; QEMU's own lockstep between two
# replays, as between the two QEMUs that were recorded. Whatever one side does, the other ends.

. "$(dirname "$0")/../lib.sh"

witness=$top/tests/parity/lockstep.py
ours=$QTRACE_BUILD/tools/qtrace-replay/analyzers/liblockstep.so

# record NAME QEMU GUEST...: $tmp/NAME.qtr, without the accesses, which nobody needs here, and
# through a small ring, so that a longer run has several frames
record() {
    local out=$tmp/$1.qtr qemu=$2
    shift 2
    if ! timeout -k 10 60 "$qemu" -plugin "$qtrace_plugin,out=$out,mem=off,ring=64K" "$@" \
        >"$tmp/stdout" 2>"$tmp/stderr" </dev/null; then
        not_ok "record $*" "$(tail -n 1 "$tmp/stderr")"
        show_output
        exit 1
    fi
}

# pair STATUS ARGUMENTS A B: compares two traces; the report is in $tmp/report
pair() {
    status_of timeout -k 10 60 "$qtrace_replay" "--analyzer=lockstep$2" "$tmp/$3.qtr" "$tmp/$4.qtr"
    ((status == $1)) || not_ok "lockstep$2 $3 $4" "status $status instead of $1"
    mv "$tmp/stdout" "$tmp/report"
}

# agree NAME STATUS A B WINDOW CONTEXT WANTED: WANTED are the divergences and the equal blocks,
# or less, as a pattern
agree() {
    local name=$1 options=",verbose=on,window=$5,context=$6" got
    pair "$2" "$options,format=csv" "$3" "$4"
    mv "$tmp/report" "$tmp/csv"
    pair "$2" "$options,format=json" "$3" "$4"
    mv "$tmp/report" "$tmp/json"
    got=$(timeout -k 10 100 python3 "$witness" "$qtrace_dump" "$tmp/$3.qtr" "$tmp/$4.qtr" \
        "$5" "$6" "$tmp/json" "$tmp/csv" 2>&1)
    # shellcheck disable=SC2053
    if [[ $got == $7 ]]; then
        ok "$name: $got"
    else
        not_ok "$name" "$got, wanted $7"
    fi
}

# blocks_of NAME: how many it has
blocks_of() {
    "$qtrace_dump" --json "$tmp/$1.qtr" 2>/dev/null | python3 -c '
import json, sys
print(sum(stream["blocks"] for stream in json.load(sys.stdin)["streams"]))'
}

# cut_last_frame FROM TO: TO ends within the last frame of events
cut_last_frame() {
    local at
    at=$("$qtrace_dump" --frames "$tmp/$1.qtr" | awk '/ stream=/ { at = $1 } END { print at }')
    head -c $((at + 10)) "$tmp/$1.qtr" >"$tmp/$2.qtr"
}

# has NAME TEXT: in the last report
has() {
    check "$1" grep -q -F -e "$2" "$tmp/report"
}

children_of() {
    grep -l "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status 2>/dev/null | cut -d / -f 3
}

# ---- our analyzer, offline ----

printf 'one line\n' >"$tmp/text1"
head -c 2000 "$top/LICENSE" >"$tmp/text2"
head -c 1500 "$top/LICENSE" | tr a-m n-z >"$tmp/text3"

for arch in x86_64 aarch64; do
    qemu=qemu-$arch
    mix=$GUESTS/$arch/mix
    record "$arch-1" "$qemu" "$mix" 1
    record "$arch-same" "$qemu" "$mix" 1
    record "$arch-2" "$qemu" "$mix" 2
    record "$arch-threads" "$qemu" "$GUESTS/$arch/threads" 3
    record "$arch-threads2" "$qemu" "$GUESTS/$arch/threads" 4
    if [[ $arch == x86_64 ]]; then
        zip=(gzip -nc)
        zip[0]=$(command -v /usr/bin/gzip || command -v gzip)
    else
        zip=("$BUSYBOX/$arch/busybox" gzip -c)
    fi
    record "$arch-zip2" "$qemu" "${zip[@]}" "$tmp/text2"
    record "$arch-zip3" "$qemu" "${zip[@]}" "$tmp/text3"

    blocks=$(blocks_of "$arch-1")
    agree "$arch, identical" 0 "$arch-1" "$arch-same" 1000 5 "0 $blocks"
    # The second round of main's loop, then the same way to the end.
    agree "$arch, another round" 0 "$arch-1" "$arch-2" 100000 5 "1 $blocks"
    agree "$arch, another round, the other way round" 0 "$arch-2" "$arch-1" 100000 200 "1 $blocks"
    pair 0 ",window=100000,context=1" "$arch-1" "$arch-2"
    has "$arch, another round: the block before is main's" " main: "
    has "$arch, another round: a skips nothing" "they meet again after 0 blocks of a and "
    agree "$arch, another round is longer than the window" 0 "$arch-1" "$arch-2" 1000 5 "1 *"
    agree "$arch, no window" 0 "$arch-1" "$arch-2" 0 0 "1 *"
    agree "$arch, threads" 0 "$arch-threads" "$arch-threads2" 2000 3 "[0-9]* [0-9]*"
    agree "$arch, gzip" 0 "$arch-zip2" "$arch-zip3" 1000 40 "[1-9]* [0-9]*"
    pair 0 ",verbose=on" "$arch-zip2" "$arch-zip3"
    mv "$tmp/report" "$tmp/before"
    pair 0 ",verbose=on" "$arch-zip2" "$arch-zip3"
    check "$arch, gzip: the same report again" cmp "$tmp/before" "$tmp/report"

    cut_last_frame "$arch-2" "$arch-part"
    whole=$(blocks_of "$arch-2")
    part=$(blocks_of "$arch-part")
    if ((part == 0 || part >= whole)); then
        not_ok "$arch, a beginning" "it has $part of $whole blocks"
    fi
    agree "$arch, b is a beginning of a" 3 "$arch-2" "$arch-part" 1000 5 "0 $part"
    agree "$arch, a is a beginning of b" 3 "$arch-part" "$arch-2" 1000 5 "0 $part"
done

# ---- the command line ----

good=$tmp/x86_64-1.qtr
cp "$good" "$tmp/bad.qtr"
printf 'damage' | dd of="$tmp/bad.qtr" bs=1 seek=$(($(stat -c %s "$good") / 2)) conv=notrunc \
    status=none

# run NAME STATUS ARGUMENT...: its output is in $tmp/report and $tmp/said
run() {
    local name=$1 wanted=$2
    shift 2
    check_status "$name" "$wanted" timeout -k 10 20 "$qtrace_replay" "$@"
    cp "$tmp/stdout" "$tmp/report"
    cp "$tmp/stderr" "$tmp/said"
}

run "b is missing" 1 -a lockstep "$good" "$tmp/none.qtr"
check "b is missing: it is named, once" test "$(grep -c none.qtr "$tmp/said")" = 1
run "a is missing" 1 -a lockstep "$tmp/none.qtr" "$good"
run "both are missing" 1 -a lockstep "$tmp/none.qtr" "$tmp/nothing.qtr"
check "both are missing: the second is named, too" grep -q nothing.qtr "$tmp/said"
run "b is no trace" 4 -a lockstep "$good" "$0"
run "a is missing, b no trace: the larger status" 4 -a lockstep "$tmp/none.qtr" "$0"
run "b is damaged" 4 -a lockstep "$good" "$tmp/bad.qtr"
run "a is cut, b damaged: the larger status" 4 -a lockstep "$tmp/x86_64-part.qtr" "$tmp/bad.qtr"
run "different targets" 1 -a lockstep "$good" "$tmp/aarch64-1.qtr"
run "an unknown argument" 1 -a lockstep,nonsense=1 "$good" "$good"
run "more context than there can be" 1 -a lockstep,context=1001 "$good" "$good"
run "a window that is too large" 1 -a lockstep,window=17M "$good" "$good"
run "one trace alone" 1 -a lockstep "$good"
run "three traces" 2 -a lockstep "$good" "$good" "$good"
run "two analyzers" 2 -a lockstep -a hotblocks "$good" "$good"
run "another analyzer, two traces" 2 -a hotblocks "$good" "$good"
run "both from the standard input" 2 -a lockstep - -
run "the output is b" 2 -a lockstep -o "$tmp/x86_64-same.qtr" "$good" "$tmp/x86_64-same.qtr"
run "a trace and itself" 0 -a lockstep "$good" "$good"
cp "$tmp/report" "$tmp/itself"
run "-o" 0 -a lockstep -o "$tmp/out" "$good" "$good"
check "-o: the same report" cmp "$tmp/itself" "$tmp/out"
run "b from the standard input" 0 -a lockstep "$good" - <"$good"
check "b from the standard input: the same report" cmp "$tmp/itself" "$tmp/report"
run "the output is full" 1 -a lockstep -o /dev/full "$good" "$good"

# ---- ends ----

# A report that nobody reads holds up the replay of a, so signals find a tool at work.
mkfifo "$tmp/pipe"
exec 4<>"$tmp/pipe"

begin_stuck() {
    local i
    timeout -k 10 60 "$qtrace_replay" -a lockstep,verbose=on,context=100 "$tmp/x86_64-zip2.qtr" \
        "$tmp/x86_64-zip3.qtr" >"$tmp/pipe" 2>"$tmp/said" &
    waiter=$!
    for ((i = 0; i < 200; i++)); do
        tool=$(children_of "$waiter")
        replays=$(children_of "${tool:-0}")
        # b has ended when a is left with its report.
        if [[ $(wc -w <<<"$replays") == 1 && $i -ge 10 ]]; then
            return
        fi
        sleep 0.05
    done
    not_ok "a report that nobody reads" "the replays are: $replays"
}

end_stuck() {
    wait "$waiter" 2>/dev/null
    status=$?
}

for end in INT:130 TERM:143 HUP:129; do
    begin_stuck
    kill -"${end%:*}" "$tool"
    end_stuck
    check "SIG${end%:*}: the status tells" test "$status" = "${end#*:}"
    check "SIG${end%:*}: nothing is left" test ! -e "/proc/$replays/exe"
done
begin_stuck
kill -KILL "$replays"
end_stuck
check "the replay of a is killed: failure" test "$status" = 1
check "the replay of a is killed: it is said" grep -q "zip2.qtr: its replay was killed" \
    "$tmp/said"
exec 4>&-

# ---- a socket path ----

sock=$tmp/sock

# Waits until somebody listens at the socket.
listening() {
    local i
    for ((i = 0; i < 200; i++)); do
        if grep -q " 00010000 .* $sock\$" /proc/net/unix; then
            return 0
        fi
        sleep 0.02
    done
    return 1
}

# both OUT COMMAND... -- COMMAND...: the first one listens; $status, $status2. Same environment:
# guests see it.
both() {
    local out=$1 first=() pid
    shift
    while [[ $1 != -- ]]; do
        first+=("$1")
        shift
    done
    shift
    rm -f "$sock"
    (cd "$tmp" && exec env -u _ timeout -k 10 60 "${first[@]}") \
        >"$tmp/$out.1.out" 2>"$tmp/$out.1.err" </dev/null &
    pid=$!
    listening || echo "    # nobody listens: ${first[*]}"
    status2=0
    (cd "$tmp" && exec env -u _ timeout -k 10 60 "$@") >"$tmp/$out.2.out" 2>"$tmp/$out.2.err" \
        </dev/null || status2=$?
    wait "$pid"
    status=$?
}

at_path=("$qtrace_replay" "--analyzer=lockstep,sockpath=$sock")
both path "${at_path[@]}" "$tmp/x86_64-1.qtr" -- "${at_path[@]}" "$tmp/x86_64-2.qtr"
check "a socket path" test "$status$status2" = 00
pair 0 "" x86_64-1 x86_64-2
check "a socket path: the first one's report is that of both traces" cmp "$tmp/report" \
    "$tmp/path.1.out"
check "a socket path: the other one has none" test ! -s "$tmp/path.2.out"
check "a socket path: it is removed" test ! -e "$sock"
both path "${at_path[@]}" "$tmp/x86_64-2.qtr" -- \
    "$qtrace_replay" "--analyzer=lockstep,sockpath=$sock,side=a" "$tmp/x86_64-1.qtr"
check "a socket path, side=a: now the second one" cmp "$tmp/report" "$tmp/path.2.out"
both path "$qtrace_replay" "--analyzer=lockstep,sockpath=$sock,side=a" "$good" -- \
    "$qtrace_replay" "--analyzer=lockstep,sockpath=$sock,side=a" "$good"
check "two sides a" test "$status$status2" = 11
both path "${at_path[@]}" "$good" -- "$qtrace_replay" \
    "--analyzer=$PLUGINS72/liblockstep.so,sockpath=$sock" "$good"
check "QEMU's lockstep on the other side: failure" test "$status" = 1

"${at_path[@]}" "$good" >/dev/null 2>&1 &
listening
kill -INT $!
wait $!
check "SIGINT while it waits: no socket is left" test ! -e "$sock"
"${at_path[@]}" "$good" >/dev/null 2>&1 &
listening
kill -KILL $!
wait $! 2>/dev/null
check "SIGKILL while it waits: a socket is left" test -S "$sock"
timeout -k 10 20 "${at_path[@]}" "$good" >"$tmp/first" 2>&1 &
listening
timeout -k 10 20 "${at_path[@]}" "$good" >/dev/null 2>&1
wait $!
check "a socket that was left: it is replaced" cmp "$tmp/itself" "$tmp/first"
echo keep >"$sock"
run "the path is no socket" 1 --analyzer=lockstep,sockpath="$sock" "$good"
check "the path is no socket: it stays" grep -q keep "$sock"

# ---- live ----

# live NAME QEMU PLUGIN ARGUMENTS GUEST... -- GUEST...: two QEMUs, recorded as well; what the
# plugin prints is in $tmp/{a,b}.log
live() {
    local qemu=$2 plugin=$3 arguments=$4 a=() b
    shift 4
    while [[ $1 != -- ]]; do
        a+=("$1")
        shift
    done
    shift
    b=("$@")
    rm -f "$tmp"/{a,b}.{log,qtr}
    both live "$qemu" -d plugin -D "$tmp/a.log" -plugin "$plugin,sockpath=$sock$arguments" \
        -plugin "$qtrace_plugin,out=$tmp/a.qtr,ring=1M" "${a[@]}" -- \
        "$qemu" -d plugin -D "$tmp/b.log" -plugin "$plugin,sockpath=$sock$arguments" \
        -plugin "$qtrace_plugin,out=$tmp/b.qtr,ring=1M" "${b[@]}"
}

# qemus NAME QEMU PLUGIN ARGUMENTS WANTED GUEST... -- GUEST...: QEMU's plugin
qemus() {
    local name=$1 plugin=$3 arguments=$4 wanted=$5
    if [[ ! -r $plugin ]]; then
        skip "$name" "there is no $plugin"
        return
    fi
    live "$name" "$2" "$plugin" "$arguments" "${@:6}"
    if ! grep -q "$wanted" "$tmp/a.log" || ! grep -q "$wanted" "$tmp/b.log"; then
        not_ok "$name" "no '$wanted' live: $status, $status2, $(tail -n 2 "$tmp"/live.*.err)"
        return
    fi
    both replay "$qtrace_replay" "--analyzer=$plugin,sockpath=$sock$arguments" "$tmp/a.qtr" -- \
        "$qtrace_replay" "--analyzer=$plugin,sockpath=$sock$arguments" "$tmp/b.qtr"
    if ((status != 0 || status2 != 0)); then
        not_ok "$name" "replay: $status, $status2, $(tail -n 2 "$tmp"/replay.*.err)"
    elif cmp "$tmp/a.log" "$tmp/replay.1.out" && cmp "$tmp/b.log" "$tmp/replay.2.out"; then
        ok "$name: $(stat -c %s "$tmp/a.log") bytes"
    else
        not_ok "$name" "live and replay differ"
    fi
}

# The first line of QEMU's about a divergence has the two addresses of ours.
same_place() {
    local theirs ours
    pair 0 ",format=csv" a b
    theirs=$(sed -n 's/^@ \(0x[0-9a-f]*\).* vs \(0x[0-9a-f]*\).*/\1,\2/p' "$tmp/a.log" |
        head -n 1)
    ours=$(awk -F, '/,a_block,/ { getline; print $5 "," $8 }' "$tmp/report")
    check "$1: QEMU and we see the same first divergence" test "$theirs" = "$ours"
}

for version in 7.2 10.0; do
    for arch in x86_64 aarch64; do
        name="$version $arch"
        if [[ $version == 7.2 ]]; then
            qemu=qemu-$arch plugin=$PLUGINS72/liblockstep.so
        else
            qemu=$QEMU10/qemu-$arch plugin=$PLUGINS100/liblockstep.so
        fi
        faults=$GUESTS/$arch/faults
        qemus "$name, QEMU's, identical" "$qemu" "$plugin" "" "No divergence" \
            "$faults" 5 -- "$faults" 5
        qemus "$name, QEMU's, not verbose" "$qemu" "$plugin" "" "giving up" \
            "$faults" 5 -- "$faults" 12
        qemus "$name, QEMU's, verbose" "$qemu" "$plugin" ",verbose=on" "giving up" \
            "$faults" 5 -- "$faults" 12
        same_place "$name"
        if [[ -r $plugin && $arch == x86_64 ]]; then
            # Either may notice first that a is shorter, by reading or by writing.
            both cut "$qtrace_replay" "--analyzer=$plugin,sockpath=$sock" \
                "$tmp/$arch-part.qtr" -- \
                "$qtrace_replay" "--analyzer=$plugin,sockpath=$sock" "$tmp/$arch-2.qtr"
            check "$name, QEMU's, a is cut" test "$status$status2" = 30
            check "$name, QEMU's, a is cut: b notices" \
                grep -q "read less\|problem reading\|problem writing" "$tmp/cut.2.out"
        fi
        for guest in "mix 1:mix 2" "churn 5:churn 6"; do
            read -ra a <<<"$GUESTS/$arch/${guest%:*}"
            read -ra b <<<"$GUESTS/$arch/${guest#*:}"
            live "$name" "$qemu" "$ours" ",verbose=on" "${a[@]}" -- "${b[@]}"
            pair 0 ",verbose=on" a b
            check "$name, $guest: ours live is ours offline" cmp "$tmp/a.log" "$tmp/report"
            check "$name, $guest: one report" test ! -s "$tmp/b.log"
        done
    done
done

# QEMU's takes a call for each block: a longer run once.
mix=$GUESTS/x86_64/mix
qemus "7.2 x86_64, QEMU's, another round" qemu-x86_64 "$PLUGINS72/liblockstep.so" ",verbose=on" \
    "giving up" "$mix" 1 -- "$mix" 2
same_place "7.2 x86_64, another round"

# A guest's children run on, and are not compared.
sh=("$BUSYBOX/aarch64/busybox" sh -c '(cat /dev/null | wc) | cat; echo end')
live "children" qemu-aarch64 "$ours" "" "${sh[@]}" -- "${sh[@]}"
check "children: they end well" test "$status$status2" = 00
check "children: nothing is said" test ! -s "$tmp/live.1.err"
pair 0 "" a b
check "children: ours live is ours offline" cmp "$tmp/a.log" "$tmp/report"
