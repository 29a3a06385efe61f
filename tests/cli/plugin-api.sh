#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# qtrace-replay exports every function of the plugin interface and nothing else, docs/plugin-api.md
# has a line for each, and what a trace cannot answer is answered by failure and one message.

. "$(dirname "$0")/../lib.sh"

# ---- functions ----

# functions_of HEADER OPTION...: of a header of the interface
functions_of() {
    local header=$1
    shift
    # shellcheck disable=SC2046
    cc -E "$@" $(pkg-config --cflags glib-2.0) -include stdbool.h -include stdint.h \
        -include stddef.h "$header" | grep -oE '\bqemu_plugin_[a-z0-9_]+ ?\(' | tr -d ' (' |
        grep -v '^qemu_plugin_install$' | sort -u
}

header=$top/libqtrace/include/qtrace/qemu-plugin.h
functions_of "$header" -x c -DQEMU_PLUGIN_API_VERSION=7 -DQEMU_PLUGIN_API_ALL >"$tmp/header"
nm -D --defined-only "$qtrace_replay" | awk '{ print $3 }' | sort -u >"$tmp/exported"
sed -nE 's/^\| `(qemu_plugin_[a-z0-9_]+)`.*/\1/p' "$top/docs/plugin-api.md" | sort >"$tmp/table"

same() {
    if [[ -s $2 ]] && cmp -s "$2" "$3"; then
        ok "$1"
    else
        not_ok "$1" "$(diff "$2" "$3" | grep '^[<>]' | tr '\n' ' ')"
    fi
}
same "the header's functions are what qtrace-replay exports" "$tmp/header" "$tmp/exported"
same "the header's functions stand in docs/plugin-api.md" "$tmp/header" "$tmp/table"
# versioned N: the functions that the table gives to the version
versioned() {
    sed -nE 's/^\| `(qemu_plugin_[a-z0-9_]+)` \| ([0-9])-([0-9]?) .*/\2 \3 \1/p' \
        "$top/docs/plugin-api.md" | awk -v n="$1" '
        NF == 2 { print $1 <= n ? $2 : "" }
        NF == 3 { print $1 <= n && n <= $2 ? $3 : "" }' | sed '/^$/d' | sort
}
for version in 0 1 2 3 4 5 6 7; do
    functions_of "$header" -x c -DQEMU_PLUGIN_API_VERSION=$version >"$tmp/declared"
    versioned $version >"$tmp/given"
    same "the table is right about version $version" "$tmp/declared" "$tmp/given"
done
for folder in "$HDR72" "$HDR100"; do
    functions_of "$folder/qemu-plugin.h" -x c >"$tmp/qemu"
    missing=$(comm -23 "$tmp/qemu" "$tmp/exported" | tr '\n' ' ')
    if [[ -s $tmp/qemu && ! $missing ]]; then
        ok "those of QEMU ${folder##*/} are among them: $(wc -l <"$tmp/qemu")"
    else
        not_ok "those of QEMU ${folder##*/} are among them" "not: $missing"
    fi
done

# ---- questions without an answer ----

if [[ ! -x $QEMU10/qemu-x86_64 || ! -r $PLUGINS100/libinsn.so ]]; then
    skip "questions without an answer" "the test bed lacks QEMU 10.0 or its plugins"
    exit
fi

# record10 NAME OPTIONS
record10() {
    "$QEMU10/qemu-x86_64" -plugin "$qtrace_plugin,out=$tmp/$1$2" "$GUESTS/x86_64/syscalls" \
        >/dev/null 2>"$tmp/stderr" || not_ok "record $1"
}

record10 run.qtr ""
record10 bare.qtr ",mem=off,disas=off"

# asks NAME STATUS TEXT PLUGIN TRACE: exactly one message, which contains the text
asks() {
    local name=$1 wanted=$2 text=$3
    status_of "$qtrace_replay" -o "$tmp/out" -a "$4" "$5"
    grep '^qtrace-replay: ' "$tmp/stderr" >"$tmp/messages"
    if ((status != wanted)); then
        not_ok "$name" "status $status"
        show_output
    elif [[ $(wc -l <"$tmp/messages") != 1 ]] || ! grep -qF -- "$text" "$tmp/messages"; then
        not_ok "$name" "its messages: $(cat "$tmp/messages")"
    else
        ok "$name"
    fi
}

asks "execlog,reg=: registers" 0 "there is no option to record them" \
    "$PLUGINS100/libexeclog.so,reg=rax" "$tmp/run.qtr"
asks "insn: registers" 0 "registers: the trace has none" "$PLUGINS100/libinsn.so" "$tmp/run.qtr"
asks "syscall,log_writes: memory" 0 "there is no option to record them" \
    "$PLUGINS100/libsyscall.so,log_writes=on" "$tmp/run.qtr"
asks "ips: time" 134 "control of time: a trace cannot be changed" "$PLUGINS100/libips.so" \
    "$tmp/run.qtr"
asks "mem=off" 0 "(mem=off)" "$PLUGINS100/libmem.so,callback=on" "$tmp/bare.qtr"
asks "disas=off" 0 "(disas=off)" "$PLUGINS100/libhowvec.so,count=unclas" "$tmp/bare.qtr"
check "syscall,log_writes still counts calls" grep -q '^syscall no' \
    <("$qtrace_replay" -a "$PLUGINS100/libsyscall.so,log_writes=on" "$tmp/run.qtr" 2>&1)

rm "$tmp/run.qtr"
record_small
mv "$trace" "$tmp/old.qtr"
asks "mem,track=r of QEMU 7.2" 0 "confuses" "$PLUGINS72/libmem.so,callback=on,track=r" \
    "$tmp/old.qtr"
