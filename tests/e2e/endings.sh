#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Every way to end, and guests that do to their process what a recorder in it might not survive. The
# guest shows what it shows without a recorder: exit status, output, numbers and contents of its
# files, /proc/self/fd. The trace is whole where QEMU tells plugins of the end, and otherwise
# incomplete but readable.

. "$(dirname "$0")/../lib.sh"

times=${long:+100}
times=${times:-2}
exits=$GUESTS/x86_64/exits
intruder=$GUESTS/x86_64/intruder

# end SIGNAL COMMAND...: the exit status, into $ended; SIGNAL (if any) comes from outside
end() {
    local signal=$1
    shift
    if [[ -z $signal ]]; then
        timeout -k 10 60 "$@" >"$tmp/out" 2>"$tmp/err"
        ended=$?
        return
    fi
    python3 - "$signal" "$@" >"$tmp/out" 2>"$tmp/err" <<'END'
import os, signal, subprocess, sys, time
child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
child.stdout.readline()
time.sleep(0.05)
child.send_signal(getattr(signal, sys.argv[1]))
status = child.wait()
sys.exit(status if status >= 0 else 128 - status)
END
    ended=$?
}

# enough WANTED GOT: is the trace as it should be? A limit of file sizes leaves of it what it allows.
enough() {
    local blocks
    blocks=$(sed -n 's/.* \([0-9]*\) blocks.*/\1/p' "$tmp/verified")
    if [[ $1 == limited ]]; then
        (($2 == 3 || $2 == 5))
    else
        (($2 == $1 && ${blocks:-0} > 5000))
    fi
}

# ending NAME SIGNAL STATUS GUEST...: STATUS is the trace's
ending() {
    local name=$1 signal=$2 wanted=$3 bad="" i plain got
    shift 3
    folder=$tmp/files
    rm -rf "$folder" && mkdir "$folder"
    end "$signal" "$qemu" "$@" 2>/dev/null # (the shell's own remarks)
    plain=$ended
    mv "$tmp/out" "$tmp/plain"
    for ((i = 0; i < times && ${#bad} == 0; i++)); do
        rm -rf "$folder" "$tmp"/run.qtr* && mkdir "$folder"
        end "$signal" "$qemu" -plugin "$qtrace_plugin,out=$tmp/run.qtr" "$@" 2>/dev/null
        "$qtrace_dump" --verify "$tmp/run.qtr" >"$tmp/verified" 2>&1
        got=$?
        "$qtrace_dump" --events "$tmp/run.qtr" >/dev/null 2>&1
        if ((ended != plain)); then
            bad="status $ended instead of $plain"
        elif ! cmp -s "$tmp/out" "$tmp/plain"; then
            bad="the output differs: $(diff "$tmp/out" "$tmp/plain" | head -n 3 | tr '\n' ' ')"
        elif grep -lq -v '^mine$' -r "$folder"; then
            bad="something else is in a file of the guest's"
        elif ! enough "$wanted" "$got"; then
            bad="the trace has status $got instead of $wanted: $(head -n 1 "$tmp/verified")"
        fi
    done
    if [[ -z $bad ]]; then
        ok "$name: $times times, status $plain, the trace's $got"
    else
        not_ok "$name" "$bad"
    fi
}

for version in 7.2 10.0; do
    qemu=qemu-x86_64 fatal=3
    if [[ $version == 10.0 ]]; then
        qemu=$QEMU10/qemu-x86_64 fatal=0 # QEMU tells
    fi
    for mode in return exit _exit thread concurrent busy main-first fork fork-threads fork-orphan \
        close; do
        ending "$version, $mode" "" 0 "$exits" "$mode"
    done
    for mode in abort segv; do
        ending "$version, $mode" "" "$fatal" "$exits" "$mode"
    done
    for mode in kill term; do
        ending "$version, $mode" "" 3 "$exits" "$mode"
    done
    for signal in SIGINT SIGTERM SIGHUP SIGKILL; do
        ending "$version, $signal from outside" "$signal" 3 "$exits" busy 2000000000
    done
    ending "$version, SIGQUIT from outside" SIGQUIT "$fatal" "$exits" busy 2000000000
    for mode in nothing close-all dup-over nofile-0 block-signals chdir chroot umask; do
        ending "$version, $mode" "" 0 "$intruder" "$mode" "$tmp/files"
    done
    # A limit of file sizes is one for the recorder's file, too.
    for mode in fsize-4k fsize-0; do
        ending "$version, $mode" "" limited "$intruder" "$mode" "$tmp/files"
    done
done
