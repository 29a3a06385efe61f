#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Threads come and go. Each is a stream of its own, and memory follows those that live: above what
# QEMU takes alone, 32 MiB and what rings= allows.

. "$(dirname "$0")/../lib.sh"

short=${long:+10000}
short=${short:-200}
live=${long:+1000}
live=${live:-150}
rings=256

# peak COMMAND...: the most memory that it takes, in KiB
peak() {
    python3 - "$@" <<'END'
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
print(usage.ru_maxrss)
sys.exit(status != 0)
END
}

for version in 7.2 10.0; do
    qemu=qemu-x86_64
    if [[ $version == 10.0 ]]; then
        qemu=$QEMU10/qemu-x86_64
    fi
    name="$version, $short threads in turn, $live at once"
    command=("$GUESTS/x86_64/churn" "$live" 1 "$short")
    rm -f "$tmp/run.qtr"
    if ! alone=$(peak "$qemu" "${command[@]}") || ! with=$(peak "$qemu" \
        -plugin "$qtrace_plugin,out=$tmp/run.qtr,rings=${rings}M" "${command[@]}"); then
        not_ok "$name" "it failed"
        continue
    fi
    above=$(((with - alone) / 1024))
    if ((above <= 32 + rings)); then
        ok "$name: $above MiB above QEMU's $((alone / 1024)), of which the rings may be $rings"
    else
        not_ok "$name" "$above MiB above QEMU's $((alone / 1024)), the rings may be $rings"
    fi
    found=$("$qtrace_dump" --verify "$tmp/run.qtr" | sed -n 's/.* \([0-9]*\) streams.*/\1/p')
    if [[ $found == $((short + live + 1)) ]]; then
        ok "$name: $found streams"
    else
        not_ok "$name" "$found streams"
    fi
    check "$name: whole" "$qtrace_dump" --verify "$tmp/run.qtr"
done
