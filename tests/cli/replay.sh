#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The command line of qtrace-replay, on a small real trace, whole, cut and damaged.

. "$(dirname "$0")/../lib.sh"

record_small

# says NAME FILE TEXT: about the last command
says() {
    check "$1" grep -qF -- "$3" "$tmp/$2.kept"
}

# run NAME STATUS ARGUMENT...: keeps the output for says
run() {
    local name=$1 wanted=$2
    shift 2
    check_status "$name" "$wanted" "$qtrace_replay" "$@"
    cp "$tmp/stdout" "$tmp/stdout.kept"
    cp "$tmp/stderr" "$tmp/stderr.kept"
}

run "no arguments" 2
run "no analyzer" 2 "$trace"
run "no trace" 2 --analyzer=hotblocks
run "two traces" 2 --analyzer=hotblocks "$trace" "$trace"
run "unknown option" 2 --nonsense "$trace"
run "no such file" 1 --analyzer=hotblocks "$tmp/none.qtr"
says "no such file: it is named" stderr none.qtr
run "--list" 0 --list
says "--list: hotblocks" stdout hotblocks
says "--list: execlog, and what it is" stdout "execlog      a line for every executed instruction"

run "hotblocks" 0 --analyzer=hotblocks "$trace"
cp "$tmp/stdout.kept" "$tmp/once"
check "hotblocks prints something" test -s "$tmp/once"
run "two commas are one in the name, as in QEMU" 1 --analyzer=hotblocks,, "$trace"
says "two commas: the name is shown" stderr "'hotblocks,'"
run "-o" 0 -o "$tmp/out" --analyzer=hotblocks "$trace"
check "-o: the same output" cmp "$tmp/once" "$tmp/out"
check "-o: nothing on standard output" test ! -s "$tmp/stdout.kept"
run "the same analyzer twice" 0 --analyzer=hotblocks --analyzer=hotblocks "$trace"
cat "$tmp/once" "$tmp/once" >"$tmp/twice"
check "twice: the output is there twice" cmp "$tmp/twice" "$tmp/stdout.kept"

head -c $((size - 20)) "$trace" >"$tmp/cut.qtr"
run "a trace without its end" 3 --analyzer=hotblocks "$tmp/cut.qtr"
check "without its end: what is there is replayed" test -s "$tmp/stdout.kept"
head -c 10 "$trace" >"$tmp/cut.qtr"
run "ten bytes of a trace" 3 --analyzer=hotblocks "$tmp/cut.qtr"
check_status "ten bytes of a trace: qtrace-dump agrees" 3 "$qtrace_dump" "$tmp/cut.qtr"
cp "$trace" "$tmp/bad.qtr"
printf 'damage' | dd of="$tmp/bad.qtr" bs=1 seek=$((size / 2)) conv=notrunc status=none
run "a damaged trace" 4 --analyzer=hotblocks "$tmp/bad.qtr"

# shellcheck disable=SC2016
status_of bash -c '"$0" --analyzer=execlog "$1" | head -n 1' "$qtrace_replay" "$trace"
check "a reader that has had enough: a line" test "$(wc -l <"$tmp/stdout")" = 1
status_of bash -c '"$0" --analyzer=execlog "$1" | head -n 1' "$qtrace_replay" "$trace"
if [[ -s $tmp/stderr ]]; then
    not_ok "a reader that has had enough: no message" "$(head -n 1 "$tmp/stderr")"
else
    ok "a reader that has had enough: no message"
fi
