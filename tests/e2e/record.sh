#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The recorder's options and its hard endings: losses are counted exactly, a kill leaves a trace
# that says what it lacks, the guest notices nothing. (Full disks and the like: faults.sh)

. "$(dirname "$0")/../lib.sh"

sums=$QTRACE_BUILD/tests/trace-sums
guest=$GUESTS/x86_64/mix
"$guest" 5 >"$tmp/plain"

# record OPTIONS SCALE [QEMU-OPTION...]: into $tmp/run.qtr; sets $status, output to $tmp/out, err
record() {
    local options=$1 scale=$2
    shift 2
    rm -f "$tmp/run.qtr" "$tmp/witness"
    status=0
    qemu-x86_64 "$@" -plugin "$qtrace_plugin,out=$tmp/run.qtr$options" "$guest" "$scale" \
        >"$tmp/out" 2>"$tmp/err" || status=$?
}

# ---- options

for options in nonsense=1 mem=perhaps values=2 level=13 level=-1 level= ring=x ring=0 loss=never \
    wait=5 wait=2h wait=-1s wait=5000000s follow=on; do
    record ",$options" 1
    if ((status != 0)) && grep -q "${options%%=*}" "$tmp/err"; then
        ok "$options is refused"
    else
        not_ok "$options is refused" "status $status, $(head -n 1 "$tmp/err")"
    fi
done
record ,nonsense=1 1
for option in out= overwrite= mem= values= disas= ring= rings= level= loss= wait= \
    follow= verbose=; do
    check "an unknown option: the list has $option" grep -q "^  $option" "$tmp/err"
done

: >"$tmp/mine"
status_of qemu-x86_64 -plugin "$qtrace_plugin,out=$tmp/mine" "$guest" 1
if ((status != 0)) && grep -q 'overwrite=on' "$tmp/stderr" && [[ ! -s $tmp/mine ]]; then
    ok "an existing file is refused and kept"
else
    not_ok "an existing file is refused and kept" "status $status"
fi
check "overwrite=on" qemu-x86_64 -plugin "$qtrace_plugin,out=$tmp/mine,overwrite=on" "$guest" 1
check "overwrite=on: a whole trace" "$qtrace_dump" --verify "$tmp/mine"

mkdir "$tmp/here"
check "the default name" bash -c 'cd "$1" && qemu-x86_64 -plugin "$2" "$3" 1' - "$tmp/here" \
    "$qtrace_plugin" "$guest"
name=$(cd "$tmp/here" && echo *)
if [[ $name =~ ^qtrace-[0-9]+\.qtr$ ]] &&
    "$qtrace_dump" "$tmp/here/$name" | grep -q "process ${name//[!0-9]/}\$"; then
    ok "the default name has the process id"
else
    not_ok "the default name has the process id" "$name"
fi

record ,mem=off 1
"$sums" "$tmp/run.qtr" >"$tmp/sums"
check "mem=off: no accesses" grep -q ' loads=0 stores=0 ' "$tmp/sums"
record ,disas=off 1
check "disas=off: no disassembly" bash -c '! "$0" --blocks "$1" | grep -q syscall' \
    "$qtrace_dump" "$tmp/run.qtr"
record ,disas=on 1
check "disas=on: disassembly" bash -c '"$0" --blocks "$1" | grep syscall' \
    "$qtrace_dump" "$tmp/run.qtr"
record ,verbose=on 1
check "verbose=on: a summary" grep -q 'blocks.*instructions.*accesses.*bytes.*s user' "$tmp/err"
record "" 1
check "without it: silence" test ! -s "$tmp/err"

# What the options of the machinery are does not show in what is recorded.
for options in "" ,level=0 ,level=9 ,level=12 ,ring=64k ,ring=1M,rings=1M ,ring=64M; do
    record "$options" 5 -plugin "$PROBE72,out=$tmp/witness"
    "$sums" "$tmp/run.qtr" >"$tmp/sums"
    check "${options#,}${options:- defaults}: as the witness saw it" cmp "$tmp/sums" "$tmp/witness"
    check "${options#,}${options:- defaults}: lz4 -t" lz4 -tq "$tmp/run.qtr"
done

# A page of which QEMU has no code: recorded without asking for it, replayed as it was.
cc -O1 -static "$top/tests/e2e/vsyscall.c" -o "$tmp/vsyscall"
for version in 7.2 10.0; do
    qemu=qemu-x86_64 plugins=$PLUGINS72
    if [[ $version == 10.0 ]]; then
        qemu=$QEMU10/qemu-x86_64 plugins=$PLUGINS100
    fi
    rm -f "$tmp"/{run.qtr,live}
    check "vsyscall, $version: the guest's output" test "$("$qemu" -d plugin -D "$tmp/live" \
        -plugin "$plugins/libinsn.so" -plugin "$qtrace_plugin,out=$tmp/run.qtr" \
        "$tmp/vsyscall" 2>&1)" = "499500 1"
    check "vsyscall, $version: whole" "$qtrace_dump" --verify "$tmp/run.qtr"
    check "vsyscall, $version: replay" "$qtrace_replay" -o "$tmp/replayed" \
        -a "$plugins/libinsn.so" "$tmp/run.qtr"
    check "vsyscall, $version: as live" cmp "$tmp/live" "$tmp/replayed"
done

# ---- losses

# exact NAME: recorded and lost together are what the witness counted
exact() {
    local found wanted
    found=$("$qtrace_dump" "$tmp/run.qtr" 2>"$tmp/stderr" |
        awk '$1 == "all" || was && $1 == "lost" {
                 b += $2; n += $3; a += $4
             }
             { was = $1 == "all" } END { print b, n, a }')
    wanted=$(sed -n 's/.* blocks=\([0-9]*\) insns=\([0-9]*\) loads=\([0-9]*\) stores=\([0-9]*\) .*/\1 \2 \3 \4/p' \
        "$tmp/witness" | awk '{ b += $1; n += $2; a += $3 + $4 } END { print b, n, a }')
    if [[ -n $wanted && $found == "$wanted" ]]; then
        ok "$1: recorded + lost = $found (blocks, instructions, accesses)"
    else
        not_ok "$1: recorded + lost" "$found, the witness has $wanted"
    fi
    check_status "$1: status 5" 5 "$qtrace_dump" --verify "$tmp/run.qtr"
}

for ((i = 0; i < (long ? 30 : 3); i++)); do
    record ,loss=drop,ring=64k 5 -plugin "$PROBE72,out=$tmp/witness"
    check "drop: the guest's output" cmp "$tmp/out" "$tmp/plain"
    exact "drop"
done
record ,loss=drop,ring=64k 5
check_status "replay of a lossy trace" 5 "$qtrace_replay" --analyzer=hotblocks "$tmp/run.qtr"

# ---- a kill

qemu-x86_64 -plugin "$qtrace_plugin,out=$tmp/killed.qtr" "$guest" 100000 >"$tmp/out" &
pid=$!
for ((i = 0; i < 100; i++)); do
    sleep 0.1
    [[ $(stat -c %s "$tmp/killed.qtr" 2>/dev/null || echo 0) -gt 2000000 ]] && break
done
{
    kill -9 "$pid"
    wait "$pid"
} 2>"$tmp/err"
check_status "a killed recorder: incomplete" 3 "$qtrace_dump" --verify "$tmp/killed.qtr"
check_status "a killed recorder: replay" 3 "$qtrace_replay" --analyzer=hotblocks -o "$tmp/out" \
    "$tmp/killed.qtr"
check "a killed recorder: replay prints" grep -q '^0x' "$tmp/out"
"$qtrace_dump" --events "$tmp/killed.qtr" 2>/dev/null | md5sum >"$tmp/before"
check_status "a killed recorder: recovery" 3 "$qtrace_dump" --recover "$tmp/killed.qtr"
cp "$tmp/killed.qtr" "$tmp/again.qtr"
check_status "a killed recorder: recovery once more" 3 "$qtrace_dump" --recover "$tmp/again.qtr"
check "a killed recorder: nothing to recover then" cmp "$tmp/killed.qtr" "$tmp/again.qtr"
check_status "a recovered trace: still incomplete" 3 "$qtrace_dump" --verify "$tmp/killed.qtr"
"$qtrace_dump" --events "$tmp/killed.qtr" 2>/dev/null | md5sum >"$tmp/after"
check "a recovered trace: every event" cmp "$tmp/before" "$tmp/after"
check "a recovered trace: its index" "$QTRACE_BUILD/tests/touch" "$tmp/killed.qtr" 1000000

# ---- one frame out of the middle

# read_by COMMAND...: prints how many bytes it reads from all files
read_by() (
    "$@" >/dev/null
    awk '/^rchar/ { print $2 }' "/proc/$BASHPID/io"
)

# Where nothing is compressed, frames are the largest; the index grows with the trace.
for options in "" ,level=0 ,level=0,values=on; do
    "$QEMU10/qemu-x86_64" -plugin "$qtrace_plugin,out=$tmp/long.qtr,overwrite=on$options" \
        "$guest" 400 >/dev/null
    if touched=$("$QTRACE_BUILD/tests/touch" "$tmp/long.qtr" 700000); then
        ok "one frame${options:+, ${options#,}}: $touched"
    else
        not_ok "one frame${options:+, ${options#,}}" "status $?: $touched"
    fi
done
piece=$(read_by "$qtrace_dump" --events --from 15000000 --count 5 "$tmp/long.qtr")
size=$(stat -c %s "$tmp/long.qtr")
if ((piece > 100000 && piece < 1000000 && size > 50000000)); then
    ok "--events: for a piece $piece of $size bytes are read, libraries included"
else
    not_ok "--events: a piece" "$piece of $size bytes are read"
fi
