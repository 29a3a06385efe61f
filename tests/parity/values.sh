#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What was loaded and stored, recorded with values=on. The witness is QEMU's own mem plugin with
# print-accesses=on in the same run: its lines are those of the replayed plugin, and they say what
# the event log says. Byte orders, sizes up to 16 bytes, faults, atomics, threads.

. "$(dirname "$0")/../lib.sh"

mem=$PLUGINS100/libmem.so,print-accesses=on
if [[ ! -r ${mem%%,*} ]]; then
    skip "values" "there is no ${mem%%,*}"
    exit
fi

# record QEMU GUEST...: $tmp/run.qtr and the plugin's lines, $tmp/live
record() {
    local qemu=$1
    shift
    rm -f "$tmp"/{run.qtr,live,replayed}
    (cd "$tmp" && timeout -k 10 100 "$qemu" -d plugin -D "$tmp/live" -plugin "$mem" \
        -plugin "$qtrace_plugin,out=$tmp/run.qtr,values=on" "$@" >"$tmp/stdout" 2>"$tmp/stderr" \
        </dev/null)
    if [[ ! -s $tmp/live ]]; then
        not_ok "record $*" "nothing was printed live"
        show_output
    fi
}

# The plugin's lines without what the event log has not: symbols, physical addresses.
# 0x401007,main,0x7ffe0010,0x0,64,load,0x000000000000001f
witness() {
    sed -n -E 's/^(0x[0-9a-f]+),.*,(0x[0-9a-f]+),0x[0-9a-f]+,([0-9]+),(load|store),0x0*([0-9a-f]+)$/\1 \4 \3 \2=0x\5/p' \
        "$tmp/live"
}

# The accesses of the event log in the same form; sizes in bits.
accesses() {
    "$qtrace_dump" --events "$tmp/run.qtr" |
        awk '$2 ~ /^a/ { print substr($6, 4), $7, 8 * $8, $9 }'
}

# parity NAME ORDER: ORDER, a command, makes logs comparable; cat where they are already
parity() {
    local name=$1 order=$2
    status_of timeout -k 10 100 "$qtrace_replay" -o "$tmp/replayed" --analyzer="$mem" "$tmp/run.qtr"
    if ((status != 0)) || [[ -s $tmp/stderr ]]; then
        not_ok "$name: replayed" "status $status"
        show_output
    elif ! cmp -s <($order "$tmp/live") <($order "$tmp/replayed"); then
        not_ok "$name: replayed" "the logs differ"
        diff <($order "$tmp/live") <($order "$tmp/replayed") | head -n 6
    else
        ok "$name: replayed, $(wc -l <"$tmp/live") lines"
    fi
    witness | $order >"$tmp/witness"
    accesses | $order >"$tmp/accesses"
    if [[ ! -s $tmp/witness ]] || ! cmp -s "$tmp/witness" "$tmp/accesses"; then
        not_ok "$name: event log" "it is not what the witness saw"
        diff "$tmp/witness" "$tmp/accesses" | head -n 6
    else
        ok "$name: event log, $(grep -c ' 128 ' "$tmp/witness") of 16 bytes"
    fi
}

for arch in x86_64 aarch64 s390x i386 riscv64; do
    for case in "mix 1" "faults 5" widevec smc; do
        read -ra words <<<"$case"
        record "$QEMU10/qemu-$arch" "$GUESTS/$arch/${words[0]}" "${words[@]:1}"
        parity "$arch $case" cat
    done
    # What several threads print comes in an order that is not that of the trace.
    for case in threads atomics; do
        record "$QEMU10/qemu-$arch" "$GUESTS/$arch/$case"
        parity "$arch $case" sort
    done
done
record "$QEMU10/qemu-x86_64" /usr/bin/gzip -c "$top/LICENSE"
parity "gzip" cat

# The plugin knows what was stored before and finds each load that contradicts it.
region=$PLUGINS100/libmem.so,region-summary=on
rm -f "$tmp"/{run.qtr,live,replayed}
"$QEMU10/qemu-aarch64" -d plugin -D "$tmp/live" -plugin "$region" \
    -plugin "$qtrace_plugin,out=$tmp/run.qtr,values=on" "$GUESTS/aarch64/mix" 1 >"$tmp/stdout"
check "region-summary: replay" "$qtrace_replay" -o "$tmp/replayed" --analyzer="$region" \
    "$tmp/run.qtr"
check "region-summary" cmp "$tmp/live" "$tmp/replayed"

# Without values: zeros, and one message.
"$QEMU10/qemu-x86_64" -plugin "$qtrace_plugin,out=$tmp/run.qtr,overwrite=on" \
    "$GUESTS/x86_64/faults" >"$tmp/stdout"
check "without values: replayed" "$qtrace_replay" -o "$tmp/replayed" --analyzer="$mem" \
    "$tmp/run.qtr"
if [[ $(grep -c 'without values=on' "$tmp/stderr") == 1 && $(wc -l <"$tmp/stderr") == 1 ]]; then
    ok "without values: one message"
else
    not_ok "without values: one message" "$(head -n 2 "$tmp/stderr")"
fi
if grep -q ',0x0*[1-9a-f][0-9a-f]*$' "$tmp/replayed"; then
    not_ok "without values: zeros" "$(grep -m 1 ',0x0*[1-9a-f][0-9a-f]*$' "$tmp/replayed")"
else
    ok "without values: zeros"
fi
if "$qtrace_dump" --events "$tmp/run.qtr" | grep -q '0x[0-9a-f]*=0x'; then
    not_ok "without values: event log" "it shows some"
else
    ok "without values: event log"
fi

refused "7.2 has no values" "9.2 or later (plugin API 4)" \
    qemu-x86_64 -plugin "$qtrace_plugin,out=$tmp/run.qtr,values=on" "$GUESTS/x86_64/mix" 1
refused "values without accesses" "values=on needs mem=on" "$QEMU10/qemu-x86_64" \
    -plugin "$qtrace_plugin,out=$tmp/run.qtr,values=on,mem=off" "$GUESTS/x86_64/mix" 1
