# SPDX-License-Identifier: GPL-2.0-or-later
#
# For the shell tests, which begin with:  . "$(dirname "$0")/../lib.sh"
#
# A test prints a line for each thing that it checked: `ok NAME`, `not ok NAME - why` or
# `skip NAME - why`; scripts/test counts them. Functions:
#
#   ok NAME | not_ok NAME WHY | skip NAME WHY
#   check NAME COMMAND...            ok if it succeeds; else its output is shown
#   check_status NAME N COMMAND...   ok if its exit status is N
#   status_of COMMAND...             sets $status and leaves its output in $tmp/stdout, stderr
#   refused NAME TEXT COMMAND...     ok if it fails, says TEXT, and makes no $tmp/run.qtr
#   replay_as_live NAME SECONDS ARGUMENT...
#                                    ok if qtrace-replay ARGUMENT... $tmp/run.qtr, in that time,
#                                    prints what is in $tmp/live
#   record_small                     $tmp/run.qtr, $trace for short: a small real one, $size bytes
#
# Variables: $top (the sources), $QTRACE_BUILD (default: $top/build), $qtrace_dump,
# $qtrace_replay, $qtrace_plugin, $tmp (a folder that is removed at the end), what
# scripts/testbed --print prints ($GUESTS, $QEMU10, ...), $long (1 in a long run, else empty).
# The test's status is 1 if anything was not ok.

set -u -o pipefail
export LC_ALL=C
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
: "${QTRACE_BUILD:=$top/build}"
export QTRACE_BUILD
qtrace_dump=$QTRACE_BUILD/tools/qtrace-dump/qtrace-dump
qtrace_replay=$QTRACE_BUILD/tools/qtrace-replay/qtrace-replay
qtrace_plugin=$QTRACE_BUILD/plugin/libqtrace.so
long=${QTRACE_TEST_LONG:-}
eval "$("$top/scripts/testbed" --print)"
ulimit -c 0

test_name=$(basename "$0" .sh)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/qtrace-$test_name.XXXXXX")
failures=0

finish() {
    local result=$?
    rm -rf "$tmp"
    if ((result == 0 && failures > 0)); then
        result=1
    fi
    exit "$result"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

ok() {
    echo "ok $test_name: $1"
}

not_ok() {
    echo "not ok $test_name: $1 - ${2:-failed}"
    failures=$((failures + 1))
}

skip() {
    echo "skip $test_name: $1 - ${2:-no reason given}"
}

status_of() {
    status=0
    "$@" >"$tmp/stdout" 2>"$tmp/stderr" || status=$?
}

show_output() {
    sed 's/^/    # /' "$tmp/stdout" | head -n 20
    sed 's/^/    # /' "$tmp/stderr" | head -n 20
}

check_status() {
    local name=$1 wanted=$2
    shift 2
    status_of "$@"
    if ((status == wanted)); then
        ok "$name"
    else
        not_ok "$name" "status $status instead of $wanted: $*"
        show_output
        return 1
    fi
}

check() {
    local name=$1
    shift
    check_status "$name" 0 "$@"
}

record_small() {
    trace=$tmp/run.qtr
    if ! qemu-x86_64 -plugin "$qtrace_plugin,out=$trace" "$GUESTS/x86_64/mix" 1 \
        >"$tmp/stdout" 2>"$tmp/stderr"; then
        not_ok "record a trace" "$(tail -n 1 "$tmp/stderr")"
        exit 1
    fi
    size=$(stat -c %s "$trace")
}

refused() {
    local name=$1 text=$2
    shift 2
    rm -f "$tmp/run.qtr"
    status_of "$@"
    if ((status == 0)) || ! grep -qF -- "$text" "$tmp/stderr" || [[ -e $tmp/run.qtr ]]; then
        not_ok "$name" "status $status"
        show_output
    else
        ok "$name"
    fi
}

replay_as_live() {
    local name=$1 seconds=$2
    shift 2
    status_of timeout -k 10 "$seconds" "$qtrace_replay" -o "$tmp/replayed" "$@" "$tmp/run.qtr"
    if ((status != 0)); then
        not_ok "$name" "replay: status $status"
        show_output
    elif ! cmp -s "$tmp/live" "$tmp/replayed"; then
        not_ok "$name" "$(cd "$tmp" && cmp live replayed 2>&1)"
        diff "$tmp/live" "$tmp/replayed" | cut -c 1-200 | head -n 6
    else
        ok "$name: $(wc -l <"$tmp/live") lines"
    fi
}
