#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# hotblocks, hotpages, execlog, bbv and drcov of ours against QEMU's own in the same live run, row
# by row for what QEMU prints, and against their replay. Where a QEMU cannot load the other's
# plugin (bbv of 10.0, drcov of 7.2), that is replayed on the trace of the same run.

. "$(dirname "$0")/../lib.sh"

compare=$top/tests/parity/analyzers-pages.py
ours=$QTRACE_BUILD/tools/qtrace-replay/analyzers
interval=1000

plugins=()  # in the order of loading
sections=() # of what they print, in the order of printing

# load FILE[,ARGS] [SECTION]: a copy, for QEMU has one state for each file
load() {
    local file=${1%%,*} copy
    copy=$tmp/copy${#plugins[@]}-$(basename "$file")
    cp "$file" "$copy"
    plugins+=("$copy${1#"$file"}")
    if (($# > 1)); then
        sections=("$2" "${sections[@]}")
    fi
}

# run QEMU GUEST...: live, then replayed; $tmp/live and $tmp/replayed
run() {
    local qemu=$1 plugin live=() replayed=()
    shift
    for plugin in "${plugins[@]}"; do
        live+=(-plugin "${plugin//DIR/$tmp\/files}")
        replayed+=("--analyzer=${plugin//DIR/$tmp\/again}")
    done
    rm -rf "$tmp"/{run.qtr,live,replayed,files,again}
    mkdir "$tmp"/{files,again}
    timeout -k 10 60 "$qemu" -d plugin -D "$tmp/live" "${live[@]}" \
        -plugin "$qtrace_plugin,out=$tmp/run.qtr" "$@" >"$tmp/stdout" 2>"$tmp/stderr" </dev/null
    status_of timeout -k 10 60 "$qtrace_replay" -o "$tmp/replayed" "${replayed[@]}" "$tmp/run.qtr"
    if ((status != 0)); then
        not_ok "replay of $*" "status $status"
        show_output
    fi
}

replay_also() {
    status_of timeout -k 10 60 "$qtrace_replay" "--analyzer=$1" "$tmp/run.qtr"
}

# same NAME FILE FILE
same() {
    if cmp -s "$2" "$3"; then
        ok "$1: $(stat -c %s "$2") bytes"
    else
        not_ok "$1" "$(cmp "$2" "$3" 2>&1)"
    fi
}

# agree NAME ARGUMENT...: of the comparing program
agree() {
    local name=$1 text
    shift
    if text=$("$compare" "$@" 2>&1); then
        ok "$name: $text"
    else
        not_ok "$name" "$(tail -n 1 <<<"$text")"
    fi
}

# ---- hotblocks, hotpages, bbv, drcov in one run ----

load_reports() {
    local version=$1 theirs=$2 key args
    plugins=()
    sections=()
    for key in sum reads writes address; do
        args=
        if [[ $key != sum ]]; then
            args=,sortby=$key
        fi
        load "$theirs/libhotpages.so$args" "qemu:hotpages:text-$key"
        load "$ours/libhotpages.so$args,limit=0" "ours:hotpages:text-$key"
    done
    load "$ours/libhotpages.so,arg=limit=0,arg=format=csv" "ours:hotpages:csv-sum"
    load "$ours/libhotpages.so,limit=0,format=json" "ours:hotpages:json-sum"
    load "$theirs/libhotblocks.so" "qemu:hotblocks:text"
    load "$ours/libhotblocks.so,limit=0,format=csv" "ours:hotblocks:csv"
    load "$ours/libhotblocks.so,limit=0,format=json" "ours:hotblocks:json"
    if ((version == 72)); then
        load "$theirs/libdrcov.so,filename=DIR/drcov-qemu"
    else
        load "$theirs/libbbv.so,interval=$interval,outfile=DIR/bbv-qemu"
    fi
    load "$ours/libdrcov.so,filename=DIR/drcov"
    load "$ours/libbbv.so,outfile=DIR/bbv,interval=$interval"
    load "$ours/libhotblocks.so,limit=0" "ours:hotblocks:text" # prints first
}

# Inline counters of 7.2 lose counts when there are threads.
load_inline() {
    load "$1/libhotblocks.so,inline=on" "qemu:hotblocks:text"
    load "$ours/libhotblocks.so,limit=0,inline" "ours:hotblocks:text"
}

# The other QEMU's drcov or bbv, on the trace.
complete() {
    if (($1 == 72)); then
        replay_also "$PLUGINS100/libbbv.so,interval=$interval,outfile=$tmp/files/bbv-qemu"
    else
        replay_also "$PLUGINS72/libdrcov.so,filename=$tmp/files/drcov-qemu"
    fi
}

# How far the blocks' table has grown when a thread's interval ends depends on the others, and with
# it the order within a line.
compare_files() {
    local name=$1 how=$2
    same "$name: drcov is QEMU's" "$tmp/files/drcov" "$tmp/files/drcov-qemu"
    same "$name: drcov, live and replayed" "$tmp/files/drcov" "$tmp/again/drcov"
    agree "$name: drcov and hotblocks" drcov "$tmp/files/drcov" "$tmp/live"
    if [[ $how == exact ]]; then
        same "$name: bbv is QEMU's" "$tmp"/files/bbv{,-qemu}.0.bb
        same "$name: bbv, live and replayed" "$tmp"/{files,again}/bbv.0.bb
    else
        agree "$name: bbv is QEMU's" vectors "$tmp"/files/bbv{,-qemu}
        agree "$name: bbv, live and replayed" vectors "$tmp"/{files,again}/bbv
    fi
}

insns_of_log() {
    awk -F', ' '/^collected/ && n++ { exit } /^0x/ { sum += $3 * $4 } END { print sum }' "$1"
}

compare_reports() {
    local version=$1 name=$2 how=$3
    # With threads the order of QEMU's rows with the same count is by chance.
    if [[ $how == exact ]]; then
        same "$name: live and replayed" "$tmp/live" "$tmp/replayed"
    fi
    agree "$name: hotblocks, hotpages" reports "$version" "$tmp/live,$tmp/replayed" \
        "${sections[@]}"
    complete "$version"
    compare_files "$name" "$how"
}

each_version() {
    local version=$1 qemu=$2 theirs=$3 arch=$4 name guest words
    for guest in "faults 1" "smc" "threads 4"; do
        if [[ $guest == smc && $arch != x86_64 ]]; then
            continue
        fi
        read -ra words <<<"$guest"
        name="$version $arch $guest"
        load_reports "$version" "$theirs"
        if [[ ${words[0]} == threads ]]; then
            run "$qemu" "$GUESTS/$arch/${words[0]}" "${words[@]:1}"
            compare_reports "$version" "$name" sorted
            continue
        fi
        load_inline "$theirs"
        run "$qemu" "$GUESTS/$arch/${words[0]}" "${words[@]:1}"
        compare_reports "$version" "$name" exact
        agree "$name: bbv and hotblocks" intervals "$tmp/files/bbv.0.bb" "$interval" \
            "$(insns_of_log "$tmp/live")"
    done
}

# ---- execlog ----

load_execlog() {
    plugins=()
    load "$1/libexeclog.so$2"
    load "$ours/libexeclog.so$2,format=json"
    load "$ours/libexeclog.so$2,format=csv"
    load "$ours/libexeclog.so$2"
}

each_execlog() {
    local version=$1 qemu=$2 theirs=$3 arch=$4 filter
    for filter in "" ",ifilter=l,ifilter=b,afilter=$first_pc"; do
        load_execlog "$theirs" "$filter"
        run "$qemu" "$GUESTS/$arch/mix" 0
        agree "$version $arch execlog$filter" execlog "$version" "$arch" "$tmp/live"
        same "$version $arch execlog$filter: live and replayed" "$tmp/live" "$tmp/replayed"
    done
}

# Registers: only live. A replay says what it lacks and prints the rest.
each_registers() {
    local arch=$1 filter
    for filter in "" ",rdisas=on,ifilter=b"; do
        load_execlog "$PLUGINS100" ",reg=*1*,reg=*sp$filter"
        run "$QEMU10/qemu-$arch" "$GUESTS/$arch/mix" 0
        agree "100 $arch execlog,reg=$filter" execlog 100 "$arch" "$tmp/live"
    done
    if grep -q -e ' -> 0x' "$tmp/replayed" || ! grep -q "registers" "$tmp/stderr"; then
        not_ok "100 $arch execlog,reg=: replayed" "registers, or no message"
    else
        ok "100 $arch execlog,reg=: replayed"
    fi
}

each_thread_execlog() {
    local version=$1 qemu=$2 arch=$3 format file
    plugins=()
    for format in text csv json; do
        load "$ours/libexeclog.so,format=$format"
    done
    run "$qemu" "$GUESTS/$arch/threads" 3
    for file in live replayed; do
        sort -s -t, -k1,1 "$tmp/$file" >"$tmp/$file.sorted" # by vCPU, whatever the format
    done
    same "$version $arch execlog of threads: live and replayed" "$tmp"/{live,replayed}.sorted
}

# ---- what QEMU's cannot do ----

many_vcpus() {
    local name=$1 qemu=$2
    plugins=()
    load "$ours/libhotpages.so,limit=0"
    run "$qemu" "$GUESTS/x86_64/threads" 70
    agree "$name: hotpages of 71 vCPUs" vcpus "$tmp/live" text 71
    same "$name: hotpages of 71 vCPUs: live and replayed" "$tmp/live" "$tmp/replayed"
}

# Twenty threads have index 1 after each other; QEMU's file is the last one's.
reused_indices() {
    local n
    plugins=()
    load "$PLUGINS100/libbbv.so,interval=1000,outfile=DIR/bbv-qemu"
    load "$ours/libbbv.so,interval=1000,outfile=DIR/bbv"
    run "$QEMU10/qemu-x86_64" "$GUESTS/x86_64/churn" 20
    agree "100: bbv of reused indices: live and replayed" vectors "$tmp"/{files,again}/bbv
    n=$(stat -c %s "$tmp/files/bbv-qemu.1.bb")
    tail -c "$n" "$tmp/files/bbv.1.bb" >"$tmp/tail"
    if ((n > 0 && $(stat -c %s "$tmp/files/bbv.1.bb") > n)); then
        same "100: bbv of reused indices: QEMU's is the end of ours" "$tmp/tail" \
            "$tmp/files/bbv-qemu.1.bb"
    else
        not_ok "100: bbv of reused indices" "$n bytes of QEMU's"
    fi
}

# A file of each vCPU is written while only few can be open.
few_descriptors() {
    plugins=()
    load "$ours/libbbv.so,interval=1000,outfile=DIR/bbv"
    (ulimit -n 40 && run "$QEMU10/qemu-x86_64" "$GUESTS/x86_64/threads" 70)
    agree "100: bbv with few descriptors" vectors "$tmp"/{files,again}/bbv 71
}

# ---- a machine: physical pages, devices ----

# A boot sector that switches the machine off.
machine() {
    local qemu=qemu-system-x86_64 io
    if ! command -v "$qemu" >"$tmp/stdout"; then
        skip "72: hotpages of a machine" "there is no $qemu"
        return
    fi
    {
        printf '\xfa\xba\x04\x06\xb8\x00\x20\xef\xf4\xeb\xfd' # cli, 0x2000 to port 0x604, hlt
        head -c 499 /dev/zero
        printf '\x55\xaa'
    } >"$tmp/disk"
    for io in off on; do
        plugins=()
        sections=()
        load "$PLUGINS72/libhotpages.so,io=$io" "qemu:hotpages:text-sum"
        load "$ours/libhotpages.so,io=$io,limit=0" "ours:hotpages:text-sum"
        rm -f "$tmp/live"
        timeout -k 10 60 "$qemu" -display none -monitor none -serial none -nic none -m 32 \
            -drive "file=$tmp/disk,format=raw" -d plugin -D "$tmp/live" \
            -plugin "${plugins[0]}" -plugin "${plugins[1]}" >"$tmp/stdout" 2>"$tmp/stderr"
        agree "72: hotpages,io=$io of a machine" reports 72 "$tmp/live" "${sections[@]}"
    done
}

# ---- arguments ----

# refused ANALYZER,ARGS TEXT: with that in the message
refused() {
    status_of "$qtrace_replay" "--analyzer=$1" "$tmp/run.qtr"
    if ((status == 1)) && grep -q -F -e "$2" "$tmp/stderr"; then
        ok "refused: $1"
    else
        not_ok "refused: $1" "status $status: $(head -n 1 "$tmp/stderr")"
    fi
}

bad_arguments() {
    rm -f "$tmp/run.qtr"
    record_small
    refused hotpages,sortby=size "sortby=reads|writes|address"
    refused hotpages,pagesize=3000 "pagesize=3000"
    refused bbv,interval=100 "outfile=FILE"
    refused "bbv,outfile=$tmp/x,interval=0" "interval=0"
    refused "drcov,filename=$tmp/none/x" "$tmp/none/x"
    refused execlog,afilter=main "main"
    status_of qemu-x86_64 -plugin "$ours/libexeclog.so,reg=rax" "$GUESTS/x86_64/mix" 0
    if ((status != 0)) && grep -q "reg=" "$tmp/stderr"; then
        ok "refused: execlog,reg= by 7.2"
    else
        not_ok "refused: execlog,reg= by 7.2" "status $status"
    fi
}

for arch in x86_64 aarch64 s390x arm; do
    first_pc=$(LC_ALL=C readelf -h "$GUESTS/$arch/mix" | sed -n 's/.*Entry point.*0x//p')
    first_pc=$(printf '%x' $((0x$first_pc & ~1)))
    each_version 72 "qemu-$arch" "$PLUGINS72" "$arch"
    each_version 100 "$QEMU10/qemu-$arch" "$PLUGINS100" "$arch"
    each_execlog 72 "qemu-$arch" "$PLUGINS72" "$arch"
    each_execlog 100 "$QEMU10/qemu-$arch" "$PLUGINS100" "$arch"
    each_thread_execlog 72 "qemu-$arch" "$arch"
    each_thread_execlog 100 "$QEMU10/qemu-$arch" "$arch"
    each_registers "$arch"
done
many_vcpus 72 qemu-x86_64
many_vcpus 100 "$QEMU10/qemu-x86_64"
reused_indices
few_descriptors
machine
bad_arguments
