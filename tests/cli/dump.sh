#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The command line of qtrace-dump, on a small real trace, whole, cut and damaged.

. "$(dirname "$0")/../lib.sh"

record_small
"$qtrace_dump" --events "$trace" >"$tmp/events"

# stderr_says NAME TEXT: about the last command
stderr_says() {
    if grep -qF -- "$2" "$tmp/stderr"; then
        ok "$1"
    else
        not_ok "$1" "no '$2' on stderr"
        show_output
    fi
}

# stdout_says NAME TEXT
stdout_says() {
    if grep -qF -- "$2" "$tmp/stdout"; then
        ok "$1"
    else
        not_ok "$1" "no '$2' on stdout"
        show_output
    fi
}

# not_whole NAME FILE: --verify finds it incomplete or damaged
not_whole() {
    status_of "$qtrace_dump" --verify "$2"
    if ((status == 3 || status == 4)); then
        ok "$1"
    else
        not_ok "$1" "status $status"
    fi
}

# flip OFFSET: $tmp/bad.qtr is the trace with one bit inverted
flip() {
    local byte
    cp "$trace" "$tmp/bad.qtr"
    byte=$(od -An -tu1 -j "$1" -N 1 "$trace")
    printf '%b' "\\x$(printf %02x $((byte ^ 16)))" |
        dd of="$tmp/bad.qtr" bs=1 seek="$1" conv=notrunc status=none
}

# explained LOG ERRORS: is the log the whole one without the ranges that are reported?
explained() {
    python3 - "$tmp/events" "$1" "$2" <<'END'
import re, sys

kinds = {"b": "blocks", "a": "accesses", "e": "events"}
gaps = {}
seen = {line.split()[0] for line in open(sys.argv[2])}
unknown = False  # streams of which nothing is left
for line in open(sys.argv[3]):
    unknown = unknown or "gap: stream=?" in line
    m = re.search(r"gap: stream=(\d+)(.*?): ", line)
    if m:
        for name, first, count in re.findall(r"(\w+)=(\d+)\+(\d+|\?)", m[2]):
            last = float("inf") if count == "?" else int(first) + int(count)
            gaps.setdefault((m[1], name), []).append((int(first), last))
whole = open(sys.argv[1]).read().splitlines()
part = iter(open(sys.argv[2]).read().splitlines())
nxt = next(part, None)
for line in whole:
    if line == nxt:
        nxt = next(part, None)
        continue
    m = re.match(r"s(\d+) ([bae])(\d+) ", line)
    if unknown and "s" + m[1] not in seen:
        continue
    if not any(a <= int(m[3]) < b for a, b in gaps.get((m[1], kinds[m[2]]), [])):
        sys.exit("missing without a report: " + line)
if nxt is not None:
    sys.exit("not in the whole log: " + nxt)
END
}

# ---- usage

for words in "" "--nonsense $trace" "$trace $trace" "--events --blocks $trace" "--from 3 $trace" \
    "--events --from -3 $trace" "--events --count x $trace" "--extract=x $trace" \
    "--extract=-1 $trace" "--events --vcpu 4294967296 $trace"; do
    # shellcheck disable=SC2086
    check_status "usage: ${words//$trace/TRACE}" 2 "$qtrace_dump" $words
done
check "--help" "$qtrace_dump" --help
stdout_says "--help has examples" "qtrace-dump --verify"
check "--version" "$qtrace_dump" --version
stdout_says "--version names the program" "qtrace-dump "

# ---- files that are no traces

check_status "a missing file" 1 "$qtrace_dump" "$tmp/none.qtr"
stderr_says "a missing file: the message names it" "none.qtr"
check_status "a folder" 1 "$qtrace_dump" "$tmp"
cp "$0" "$tmp/text"
check_status "a text file" 4 "$qtrace_dump" "$tmp/text"
stderr_says "a text file: the message names it" "$tmp/text"
: >"$tmp/empty"
not_whole "an empty file" "$tmp/empty"

# ---- output

check "overview" "$qtrace_dump" "$trace"
for text in "x86_64, user mode" "$GUESTS/x86_64/mix" "complete" "bits/insn" "access-address" \
    "definitions" "out=$trace" "qemu-x86_64"; do
    stdout_says "overview: ${text//$tmp/}" "$text"
done
check "--blocks" "$qtrace_dump" --blocks "$trace"
stdout_says "--blocks: the entry point" "symbol=_start"
check "-o" "$qtrace_dump" --events -o "$tmp/o" "$trace"
check "-o holds what standard output does" cmp "$tmp/o" "$tmp/events"
check_status "-o in a missing folder" 1 "$qtrace_dump" -o "$tmp/none/o" "$trace"
check_status "a full disk" 1 bash -c '"$0" --events "$1" >/dev/full' "$qtrace_dump" "$trace"
check "standard input" bash -c '"$0" --events - <"$1" | cmp - "$2"' "$qtrace_dump" "$trace" \
    "$tmp/events"
"$qtrace_dump" --events "$trace" 2>"$tmp/stderr" | head -n 1 >"$tmp/stdout"
if [[ -s $tmp/stderr ]]; then
    not_ok "a closed pipe is no news" "$(head -n 1 "$tmp/stderr")"
else
    ok "a closed pipe is no news"
fi

# ---- events

counts() {
    awk '{ n[substr($2, 1, 1)]++ } END { print n["b"], n["a"], n["e"] }' "$tmp/events"
}
read -r _ _ blocks _ accesses events _ < <("$qtrace_dump" "$trace" | grep '^0  *0 ')
if [[ "$(counts)" == "$blocks $accesses $events" ]]; then
    ok "--events has as many lines as the overview says"
else
    not_ok "--events has as many lines as the overview says" \
        "$(counts) instead of $blocks $accesses $events"
fi
check "--vcpu 0 is everything here" bash -c '"$0" --events --vcpu 0 "$1" | cmp - "$2"' \
    "$qtrace_dump" "$trace" "$tmp/events"
check_status "--vcpu of none" 1 "$qtrace_dump" --events --vcpu 7 "$trace"
sed -n '/^s0 b1000 /,/^s0 b1020 /p' "$tmp/events" | sed '$d' >"$tmp/wanted"
for way in "" "--vcpu 0"; do
    # shellcheck disable=SC2086
    "$qtrace_dump" --events $way --from 1000 --count 20 "$trace" >"$tmp/part"
    check "--from and --count${way:+ }$way" cmp "$tmp/part" "$tmp/wanted"
done
"$qtrace_dump" --events --vcpu 0 --from $((blocks - 1)) "$trace" >"$tmp/part"
check "--from the last block" grep -q "^s0 b$((blocks - 1)) " "$tmp/part"
check "--from behind the end" "$qtrace_dump" --events --vcpu 0 --from "$blocks" "$trace"
check "--count 0" "$qtrace_dump" --events --count 0 "$trace"

# ---- messages

"$qtrace_dump" --frames "$trace" >"$tmp/frames"
for type in FileHeader Run Frame End; do
    offset=$(awk -v t=$type '$2 == t { print $1; exit }' "$tmp/frames")
    check "--extract | protoc: $type" bash -c 'set -o pipefail
        "$0" --extract="$1" "$2" | protoc --proto_path="$4" --decode="qtrace.$3" trace.proto' \
        "$qtrace_dump" "${offset:-none}" "$trace" "$type" "$top/format"
    stderr_says "--extract names its type: $type" "$type"
done
stdout_says "the end has a reason" 'reason: "exit"'
offset=$(awk '$3 == "definitions" { print $1; exit }' "$tmp/frames")
check "--extract | protoc: Definitions" bash -c 'set -o pipefail
    "$0" --extract="$1" "$2" | protoc --proto_path="$3" --decode=qtrace.Definitions trace.proto' \
    "$qtrace_dump" "${offset:-none}" "$trace" "$top/format"
read -r offset raw < <(awk '$3 == "access-address" { sub(/.*raw=/, "", $7); print $1, $7; exit }' \
    "$tmp/frames")
status_of "$qtrace_dump" --extract="$offset" "$trace"
if ((status == 0 && $(stat -c %s "$tmp/stdout") == raw)); then
    ok "--extract: a column"
else
    not_ok "--extract: a column" "status $status, $(stat -c %s "$tmp/stdout") bytes, not $raw"
fi
check "--extract takes hexadecimal offsets" "$qtrace_dump" --extract=0x0 "$trace"
check_status "--extract from nowhere" 1 "$qtrace_dump" --extract=1 "$trace"

# ---- damage

check "--verify of a whole trace" "$qtrace_dump" --verify "$trace"
check "lz4 -t of a whole trace" lz4 -tq "$trace"
cp "$trace" "$tmp/again.qtr"
check "--verify of two" "$qtrace_dump" --verify "$trace" "$tmp/again.qtr"
if [[ $(wc -l <"$tmp/stdout") == 2 ]]; then
    ok "--verify prints a line a file"
else
    not_ok "--verify prints a line a file" "$(wc -l <"$tmp/stdout") lines"
fi
check_status "--verify: one is missing" 1 "$qtrace_dump" --verify "$trace" "$tmp/none.qtr"

while read -r offset _ name rest; do
    stored=${rest##*stored=}
    flip $((offset + stored / 2))
    if lz4 -tq "$tmp/bad.qtr" 2>"$tmp/stderr"; then
        not_ok "lz4 -t after a flip in $name at $offset" "it passed"
    else
        ok "lz4 -t after a flip in $name at $offset"
    fi
    check_status "--verify after a flip in $name at $offset" 4 "$qtrace_dump" --verify \
        "$tmp/bad.qtr"
    "$qtrace_dump" --events "$tmp/bad.qtr" >"$tmp/part" 2>"$tmp/gaps"
    check "--events after a flip in $name at $offset" explained "$tmp/part" "$tmp/gaps"
done < <(awk '$2 == "column" && /codec=1/' "$tmp/frames")

while read -r offset type _; do
    flip $((offset + 45))
    not_whole "--verify after a flip in $type at $offset" "$tmp/bad.qtr"
    "$qtrace_dump" --events "$tmp/bad.qtr" >"$tmp/part" 2>"$tmp/gaps"
    check "--events after a flip in $type at $offset" explained "$tmp/part" "$tmp/gaps"
done < <(awk '$2 != "column"' "$tmp/frames")

for at in 1 20 60 500 $((size / 3)) $((size / 2)) $((size - 60)) $((size - 1)); do
    head -c "$at" "$trace" >"$tmp/bad.qtr"
    not_whole "--verify after a cut at $at of $size" "$tmp/bad.qtr"
    "$qtrace_dump" --events "$tmp/bad.qtr" >"$tmp/part" 2>"$tmp/gaps"
    if ((at >= 500)); then
        check "--events after a cut at $at of $size" explained "$tmp/part" "$tmp/gaps"
    fi
done
head -c $((size - 1)) "$trace" >"$tmp/bad.qtr"
check_status "--verify: a trace without its end is incomplete" 3 "$qtrace_dump" --verify \
    "$tmp/bad.qtr"

# ---- counts

awk '$2 ~ /^b/ { split($4, id, "="); split($6, n, /[=\/]/); e[id[2]]++; i[id[2]] += n[2] }
    $2 ~ /^a/ { split($4, id, "="); if ($7 == "load") l[id[2]]++; else s[id[2]]++ }
    END { for (k in e) print k, e[k], i[k] + 0, l[k] + 0, s[k] + 0 }' "$tmp/events" |
    sort -n >"$tmp/counted"
"$qtrace_dump" --summary "$trace" | awk 'NR > 1 { print $1, $4, $5, $6, $7 }' | sort -n \
    >"$tmp/summary"
if [[ -s $tmp/counted ]] && cmp -s "$tmp/counted" "$tmp/summary"; then
    ok "--summary: $(wc -l <"$tmp/summary") blocks as the events tell"
else
    not_ok "--summary: as the events tell" "they differ"
    diff "$tmp/counted" "$tmp/summary" | head -n 4
fi
check "--summary --json" python3 - "$tmp/summary" <(
    "$qtrace_dump" --summary --json "$trace"
) <<'END'
import json, sys
want = [tuple(map(int, line.split())) for line in open(sys.argv[1])]
got = sorted((b["block"], b["executions"], b["instructions"], b["loads"], b["stores"])
             for b in json.load(open(sys.argv[2]))["blocks"])
sys.exit(want != got)
END
check "--json" python3 - "$trace" <("$qtrace_dump" --json "$trace") <<'END'
import json, os, sys
trace = json.load(open(sys.argv[2]))
sys.exit(trace["file_size"] != os.path.getsize(sys.argv[1]) or trace["state"]["status"] != 0
         or sum(s["blocks"] for s in trace["streams"])
         != sum(c["rows"] for c in trace["columns"] if c["column"] == "block"))
END
"$qtrace_dump" --events --vcpu 0 "$trace" >"$tmp/vcpu"
"$qtrace_dump" --events --vcpu 0 --from 3000 --count 500 "$trace" >"$tmp/piece"
if [[ $(grep -c ' i[0-9]* id=' "$tmp/piece") == 500 ]] &&
    grep -qF "$(head -n 1 "$tmp/piece")" "$tmp/vcpu" &&
    python3 -c 'import sys; sys.exit(open(sys.argv[1]).read() not in open(sys.argv[2]).read())' \
        "$tmp/piece" "$tmp/vcpu"; then
    ok "--events: a piece of them"
else
    not_ok "--events: a piece of them" "$(wc -l <"$tmp/piece") lines"
fi

# ---- memory

check_status "--memory: too little" 6 "$qtrace_dump" --verify --memory=2M "$trace"
stderr_says "--memory: the remedy" "--memory=SIZE allows more"
check_status "--memory: nonsense" 2 "$qtrace_dump" --verify --memory=much "$trace"
check_status "--recover: nothing to do" 0 "$qtrace_dump" --recover "$trace"
stdout_says "--recover: says so" "unchanged"
check_status "--recover: not of a stream" 2 "$qtrace_dump" --recover -
