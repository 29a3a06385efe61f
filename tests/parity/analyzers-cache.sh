#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The analyzers cache, reuse and footprint: they print the same live and replayed; cache counts
# what QEMU's plugin of that name counts in the same run, and beyond it what a model of another
# make counts (cache-witness.py); reuse has the misses of every fully associative cache; footprint
# agrees with sets of pages and lines.

. "$(dirname "$0")/../lib.sh"

analyzers=$QTRACE_BUILD/tools/qtrace-replay/analyzers
witness=$top/tests/parity/cache-witness.py

# run NAME QEMU GUEST -- SPEC...: the plugins live, in the order of the SPECs, and replayed.
# Leaves run.qtr, live, replayed.
run() {
    local name=$1 qemu=$2 spec status live=() replayed=() guest=()
    shift 2
    while [[ $1 != -- ]]; do
        guest+=("$1")
        shift
    done
    shift
    for spec; do
        live+=(-plugin "$spec")
        replayed+=("--analyzer=$spec")
    done
    rm -f "$tmp"/{run.qtr,live,replayed}
    status_of timeout -k 10 60 "$qemu" -d plugin -D "$tmp/live" "${live[@]}" \
        -plugin "$qtrace_plugin,out=$tmp/run.qtr" "${guest[@]}"
    if [[ ! -s $tmp/live ]]; then
        not_ok "$name" "nothing was printed live, status $status"
        show_output
        return 1
    fi
    status_of timeout -k 10 60 "$qtrace_replay" -o "$tmp/replayed" "${replayed[@]}" "$tmp/run.qtr"
    if ((status != 0)); then
        not_ok "$name" "replay: status $status"
        show_output
        return 1
    fi
}

same() {
    cmp -s "$tmp/live" "$tmp/replayed" && return
    not_ok "$1" "$(cd "$tmp" && cmp live replayed 2>&1)"
    diff "$tmp/live" "$tmp/replayed" | cut -c 1-200 | head -n 6
    return 1
}

# both ARCH FUNCTION NAME ARGS...: call it for both QEMUs: NAME QEMU PLUGINS ARGS...
both() {
    local arch=$1 function=$2 name=$3
    shift 3
    "$function" "7.2 $arch $name" "qemu-$arch" "$PLUGINS72" "$@"
    "$function" "10.0 $arch $name" "$QEMU10/qemu-$arch" "$PLUGINS100" "$@"
}

# ---- live and replayed: three analyzers in three formats ----

three() {
    local name=$1 qemu=$2 format=$4
    shift 4
    run "$name" "$qemu" "$@" -- \
        "$analyzers/libcache.so,format=$format,l2=on,llc=on,evict=rand,seed=7" \
        "$analyzers/libreuse.so,format=$format,line=32" \
        "$analyzers/libfootprint.so,format=$format,interval=1000" || return
    if ! cmp -s "$tmp/live" "$tmp/replayed"; then
        not_ok "$name" "$(cd "$tmp" && cmp live replayed 2>&1)"
        diff "$tmp/live" "$tmp/replayed" | cut -c 1-200 | head -n 6
    elif [[ $format == text ]]; then
        ok "$name"
    else
        # Where a report ends and the next begins there is no empty line.
        sed -i 's/^\(core\|stack,accesses\|insns,\)/\n&/' "$tmp/replayed"
        check "$name" "$witness" "$format" "$tmp/replayed"
    fi
}

for arch in x86_64 aarch64 s390x; do
    for format in text csv json; do
        both $arch three "mix, all three as $format: live and replayed" $format \
            "$GUESTS/$arch/mix" 1
    done
done
both s390x three "faults, all three: live and replayed" text "$GUESTS/s390x/faults" 5

# What does not depend on how threads took turns: the numbers of accesses, of lines, of pages.
without_order() {
    awk '/^[0-9]+ / && NF == 7 { print $2, $5 }
        /^(data|insn), [0-9]+, [0-9]+$/
        /^[0-9]+, / && NF == 9' "$1"
}

threads() {
    run "$1" "$2" "${@:4}" -- "$analyzers/libcache.so,llc=on" "$analyzers/libreuse.so" \
        "$analyzers/libfootprint.so,interval=0" || return
    without_order "$tmp/live" >"$tmp/wanted"
    without_order "$tmp/replayed" >"$tmp/got"
    check "$1, 5 rows" test "$(wc -l <"$tmp/wanted")" = 5
    check "$1" diff "$tmp/wanted" "$tmp/got"
}

for arch in x86_64 aarch64 s390x; do
    both $arch threads "threads: totals live and replayed" "$GUESTS/$arch/threads" 8 4
done

# ---- cache: what QEMU's counts ----

# The plugin that was loaded last prints first.
split_log() {
    awk -v ours="$tmp/ours" -v theirs="$tmp/theirs" '
        /^core #/ { n++ }
        { print > (n < 2 ? ours : theirs) }' "$1"
}

same_counts() {
    local name=$1 qemu=$2 plugins=$3 args=$4
    shift 4
    run "$name" "$qemu" "$@" -- "$plugins/libcache.so,limit=9999999$args" \
        "$analyzers/libcache.so,limit=0$args" || return
    rm -f "$tmp"/{ours,theirs}
    split_log "$tmp/live"
    check "$name, live" "$witness" qemu "$tmp/ours" "$tmp/theirs"
    if cmp -s "$tmp/live" "$tmp/replayed"; then
        ok "$name, replayed: the same"
        return
    fi
    rm -f "$tmp"/{ours,theirs}
    split_log "$tmp/replayed"
    check "$name, replayed" "$witness" qemu "$tmp/ours" "$tmp/theirs"
}

small=dcachesize=1024,dassoc=4,dblksize=32,icachesize=512,iassoc=1
for arch in x86_64 aarch64 s390x; do
    geometries=(",$small,l2cachesize=4096,l2assoc=2,l2blksize=128" ,l2=on)
    if [[ $arch == x86_64 ]]; then
        geometries+=("" ",$small" ,dcachesize=12288,dassoc=12,icachesize=2048,iassoc=32,cores=3
            ,l2cachesize=2048,l2blksize=16,l2assoc=128)
    fi
    for args in "${geometries[@]}"; do
        for policy in lru fifo; do
            both $arch same_counts "cache,evict=$policy$args" ",evict=$policy$args" \
                "$GUESTS/$arch/mix" 1
        done
    done
    # Every thread has a core: what the threads do to each other's caches is nothing.
    args=",cores=64,evict=fifo,l2=on,$small"
    both $arch same_counts "threads, cache$args" "$args" "$GUESTS/$arch/threads" 6
done

# ---- what QEMU's does not count, by a witness ----

# record NAME QEMU GUEST...: NAME.qtr, and a folder NAME with its text for the witness
record() {
    local name=$1 qemu=$2
    shift 2
    mkdir "$tmp/$name"
    "$qemu" -plugin "$qtrace_plugin,out=$tmp/$name.qtr" "$@" &&
        "$qtrace_dump" --events -o "$tmp/$name/events" "$tmp/$name.qtr" &&
        "$qtrace_dump" --blocks -o "$tmp/$name/blocks" "$tmp/$name.qtr"
}

# report TRACE SPEC: leaves what an analyzer says in report
report() {
    timeout -k 10 60 "$qtrace_replay" -o "$tmp/report" -a "$2" "$tmp/$1.qtr"
}

# by_model TRACE POLICY CACHE=SIZE:ASSOC:BLOCK...
by_model() {
    local trace=$1 policy=$2 spec=cache,format=json,limit=1,evict=$2 words name cache
    for cache in "${@:3}"; do
        IFS="=:" read -ra words <<<"${cache/#insn/i}"
        name=${words[0]/#data/d}
        spec+=,${name}cachesize=${words[1]},${name}assoc=${words[2]},${name}blksize=${words[3]}
    done
    report "$trace" "$spec"
    check "$trace: $policy ${*:3}" "$witness" model "$tmp/$trace" "$tmp/report" \
        "policy=$policy" "${@:3}"
}

# What the models know by construction: with one way every policy is the same, with two plru is
# lru, and chance repeats itself with the same seed.
same_reports() {
    local name=$1 trace=$2 first=$3 second=$4 wanted=$5
    report "$trace" "$first"
    mv "$tmp/report" "$tmp/first"
    report "$trace" "$second"
    check_status "$name" "$wanted" cmp "$tmp/first" "$tmp/report"
}

check "record on x86_64" record x86_64 qemu-x86_64 "$GUESTS/x86_64/smc"
check "record on s390x" record s390x "$QEMU10/qemu-s390x" "$GUESTS/s390x/faults" 5
check "record on aarch64" record aarch64 qemu-aarch64 "$GUESTS/aarch64/mix" 1
for trace in x86_64 s390x; do
    for policy in lru fifo plru; do
        by_model $trace $policy data=1024:4:32 insn=512:8:32
        by_model $trace $policy data=1024:2:32 insn=512:1:32 l2=2048:16:64 llc=8192:16:64
    done
done
by_model aarch64 plru data=2048:32:64 insn=2048:4:64 llc=4096:8:64
for policy in fifo rand plru; do
    args=dcachesize=1K,dassoc=1,icachesize=1K,iassoc=1,limit=0
    same_reports "one way: $policy is lru" x86_64 cache,$args cache,$args,evict=$policy 0
done
args=dcachesize=1K,dassoc=2,icachesize=1K,iassoc=2,limit=0,l2=on,l2assoc=2
same_reports "two ways: plru is lru" x86_64 cache,$args cache,$args,evict=plru 0
args=dcachesize=1K,dassoc=4,icachesize=1K,iassoc=4,limit=0,evict=rand
same_reports "rand repeats itself" x86_64 cache,$args,seed=3 cache,$args,seed=3 0
same_reports "rand has seeds" x86_64 cache,$args,seed=3 cache,$args,seed=4 1
same_reports "cores=0 with one vCPU is cores=1" x86_64 cache,cores=0 cache,cores=1 0

# Threads: cores=0 gives each a core, and the shared cache sees the misses of all.
check "record threads" qemu-x86_64 -plugin "$qtrace_plugin,out=$tmp/threads.qtr" \
    "$GUESTS/x86_64/threads" 6
report threads cache,cores=64,llc=on,format=csv,limit=1
awk -F, 'NF != 7 || $2 > 0' "$tmp/report" >"$tmp/wanted"
report threads cache,cores=0,llc=on,format=csv,limit=1
check "threads: cores=0 has the busy ones of cores=64" \
    diff <(head -n 9 "$tmp/report") <(head -n 9 "$tmp/wanted")
check "threads: the shared cache sees all misses" awk -F, '
    $1 == "sum" && NF == 7 { misses = $3 + $6 }
    /^llc_accesses/ { getline; seen = $1 }
    END { exit !(seen > 0 && seen == misses) }' "$tmp/report"

# ---- wrong arguments ----

# refused SPEC TEXT: the message has TEXT
refused() {
    status_of "$qtrace_replay" -a "$1" "$tmp/x86_64.qtr"
    if ((status == 1)) && grep -qF "$2" "$tmp/stderr"; then
        ok "$1 is refused"
    else
        not_ok "$1 is refused" "status $status"
        show_output
    fi
}

refused cache,dblksize=48 "data cache: block size 48 is not a power of two"
refused cache,iblksize=0 "instruction cache: block size 0 is not a power of two"
refused cache,dcachesize=0 "data cache: size 0 is not a multiple of the block size 64"
refused cache,dcachesize=100 "data cache: size 100 is not a multiple of the block size 64"
refused cache,dassoc=0 "data cache: associativity 0 is not between 1 and the number of blocks"
refused cache,dcachesize=1K,dassoc=17 "associativity 17 is not between"
refused cache,icachesize=1K,iassoc=5 "size 1024 is not a multiple of the set size 320"
refused cache,dcachesize=12K "the number of sets, 24, is not a power of two"
refused cache,dcachesize=12K,dassoc=12,evict=plru "associativity 12 is not a power of two"
refused cache,l2assoc=99999999 "L2 cache: associativity 99999999"
refused cache,llcblksize=3 "shared cache (llc): block size 3"
refused cache,dcachesize=1024G "makes more than"
refused cache,cores=65537 "cores=65537 is more than 65536"
refused cache,evict=mru "evict=lru|fifo|rand|plru"
refused reuse,line=48 "line size 48 is not a power of two"
refused footprint,line=0 "line=0 is not a power of two"
refused footprint,page=5000 "page=5000 is not a power of two"
refused footprint,page=32 "a line of 64 bytes is larger than a page of 32"

# ---- reuse ----

# Words of 4 bytes are so many lines that the stack has to grow.
for case in "x86_64 64" "s390x 64" "aarch64 4"; do
    read -r trace line <<<"$case"
    report $trace reuse,format=json,line=$line
    mv "$tmp/report" "$tmp/reuse"
    reports=()
    for ((lines = 1; lines <= 8192; lines *= 2)); do
        spec=cache,limit=1,format=json,dblksize=$line,iblksize=$line
        for side in d i; do
            spec+=,${side}cachesize=$((line * lines)),${side}assoc=$lines
        done
        report $trace $spec
        mv "$tmp/report" "$tmp/cache.$lines"
        reports+=("$tmp/cache.$lines")
    done
    check "$trace: reuse,line=$line is cache,dassoc=N,iassoc=N for all N = 2^n" \
        "$witness" curve "$tmp/reuse" "${reports[@]}"
done
for line in 16 4096; do
    report s390x reuse,access=unified,exact=on,format=json,line=$line
    check "s390x: reuse,access=unified,exact=on,line=$line" \
        "$witness" stack "$tmp/s390x" "$tmp/report" $line
done

# ---- footprint ----

for args in "1000 64 4096" "7777 16 1024"; do
    read -r interval line page <<<"$args"
    for trace in x86_64 s390x aarch64; do
        report $trace footprint,format=csv,interval=$interval,line=$line,page=$page
        check "$trace: footprint,interval=$interval,line=$line,page=$page" \
            "$witness" footprint "$tmp/$trace" "$tmp/report" $interval $line $page
    done
done
