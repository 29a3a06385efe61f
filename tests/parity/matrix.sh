#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Every plugin of QEMU's own, with every option that has a meaning in user mode, prints and writes
# the same in QEMU and in qtrace-replay, in the same run. Two copies of it run live, next to the
# recorder: what they agree on is what can be compared, and the replay has to agree with it. What
# two copies disagree on (7.2's plugins count without atomics, so threads lose counts) is listed.
#
# Where one thread runs, files are compared as they are. Where several run, the order between
# their lines may differ, and lines are compared as a set, those of execlog in the order of each
# vCPU.
#
# The long run has all guests on all targets, the normal one a selection.

. "$(dirname "$0")/../lib.sh"

outs=$tmp/outs.so
copies=$tmp/copies
mkdir -p "$copies"
if ! cc -shared -fPIC -O2 -Wall -Wextra "$top/tests/parity/outs.c" -o "$outs"; then
    not_ok "build outs.c"
    exit 1
fi

# ---- what ----

# Each line runs together. @ is the name of a file to write, @main the address of main.
plugins_of() {
    echo "bb bb,inline=on bb,idle=on insn insn,inline=on insn,sizes=on empty"
    echo "mem mem,callback=on mem,inline=on mem,callback=on,haddr=on"
    echo "mem,callback=on,track=r"
    echo "mem,callback=on,track=w"
    echo "mem,inline=on,track=r"
    echo "mem,inline=on,track=w"
    echo "syscall syscall,print=on hotblocks hotblocks,inline=on"
    echo "hotpages hotpages,sortby=reads hotpages,sortby=writes hotpages,sortby=address" \
        "hotpages,pagesize=65536 hotpages,io=on"
    echo "howvec howvec,inline=on howvec,verbose=on howvec,count=!ldst howvec,count=hint" \
        "howvec,count=unclas howvec,inline=on,count=ldstp"
    echo "cache,cores=64 cache,cores=64,evict=fifo cache,cores=64,l2=on,limit=100" \
        "cache,cores=64,dcachesize=4096,dassoc=2,dblksize=32" \
        "cache,cores=64,icachesize=8192,iassoc=1,iblksize=16,evict=fifo,limit=7" \
        "cache,cores=64,l2cachesize=65536,l2assoc=4,l2blksize=128,evict=fifo"
    if [[ ! $several ]]; then # threads that share a cache have no result but with an order
        echo "cache cache,cores=2,l2=on,evict=fifo"
    fi
    if [[ $small ]]; then # a line for each instruction
        echo "execlog execlog,ifilter=$mnemonic execlog,afilter=@main"
        echo "insn,match=$mnemonic"
    fi
    if [[ $version == 7.2 ]]; then
        echo "mem,inline=on,callback=on"
        echo "drcov,filename=@"
    else
        if [[ $small ]]; then
            echo "insn,match=$mnemonic,trace=on execlog,rdisas=on"
        fi
        echo "bbv,outfile=@,interval=1000 bbv,outfile=@,interval=100000 inline"
        echo "cflow cflow,sort=early cflow,sort=exceptions"
        echo "reset"
    fi
}

declare -A mnemonics=([x86_64]=mov [i386]=mov [aarch64]=ldr [arm]=ldr [riscv64]=ld [ppc64le]=ld
    [s390x]=lg)

# ---- live ----

digits=0123456789abcdef

# copy_of PLUGIN SLOT: prints the path of a copy that prints to the slot
copy_of() {
    local copy=$copies/$version-$1-$2.so
    if [[ ! -f $copy ]]; then
        sed "s/qemu_plugin_outs/qemu_plugin_out$2/g" "$folder/lib$1.so" >"$copy"
    fi
    echo "$copy"
}

# arguments_of SPECIFICATION FOLDER: prints what follows the name, with the marks replaced
arguments_of() {
    local text=${1#"${1%%,*}"}
    text=${text//@main/$main}
    echo "${text//@/$2/file}"
}

# slot_text SLOT: prints what went there
slot_text() {
    tail -c +4097 "$tmp/slot.$1" | head -c "$(od -An -t u8 -N 8 "$tmp/slot.$1" | tr -d ' ')"
}

# Leaves $tmp/run.qtr, and of specification I what its copies printed and wrote in the folders
# $tmp/I.a and $tmp/I.b.
run_live() {
    local i role slot args=() status
    rm -rf "$tmp"/run.qtr "$tmp"/[0-9]*.[abr]
    for i in "${!specs[@]}"; do
        for role in a b; do
            slot=${digits:2 * i:1}
            [[ $role == a ]] || slot=${digits:2 * i + 1:1}
            mkdir "$tmp/$i.$role"
            args+=(-plugin "$(copy_of "${specs[i]%%,*}" "$slot")$(
                arguments_of "${specs[i]}" "$tmp/$i.$role")")
        done
    done
    status=0
    args+=(-plugin "$qtrace_plugin,out=$tmp/run.qtr")
    (cd "$tmp" && exec timeout -k 5 60 env LD_PRELOAD="$outs" OUTS="$tmp/slot" \
        ${several:+OUTS_LINES=1} "$qemu" -U LD_PRELOAD,OUTS,OUTS_LINES -d plugin -D "$tmp/log" \
        "${args[@]}" "${guest[@]}" >"$tmp/stdout" 2>"$tmp/stderr" </dev/null) || status=$?
    for i in "${!specs[@]}"; do
        slot_text "${digits:2 * i:1}" >"$tmp/$i.a/text"
        slot_text "${digits:2 * i + 1:1}" >"$tmp/$i.b/text"
    done
    rm -f "$tmp"/slot.*
    return "$status"
}

# ---- the judgement ----

# The lines of each vCPU, whose number they begin with
by_vcpu() {
    sort -s -t, -k 1,1 "$1"
}

# beyond_judgement SPECIFICATION: prints why two copies that agree prove nothing, if so
beyond_judgement() {
    case $version:$several:$1 in
    7.2:1:*inline=on* | 7.2:1:mem* | 7.2:1:howvec* | 7.2:1:insn*)
        # Called one after the other, two copies may well lose the same counts.
        echo "counts without atomics"
        ;;
    10.0:1:bbv*)
        # It numbers blocks as it is told of them. When two threads translate at the same time,
        # it and the recorder are not told in the same order; two copies may well agree.
        echo "numbers blocks in an order of its own"
        ;;
    7.2:*:mem*track=*)
        if [[ $arch == s390x || $arch == i386 || ! $small || ${guest[0]} == */widevec ]]; then
            # QEMU 7.2 confuses directions, but not in helper functions: see register.c.
            echo "accesses of helper functions"
        fi
        ;;
    esac
}

# 10.0's insn,match frees the names that it looks its records up by: how often it finds one, and
# so the lines for each, depend on what the allocator does. All but these lines:
without_records() {
    sed -E '/^Created record|^  [0-9a-f]+: /d; s/, [0-9]+ hits ,/,/' "$1"
}

# judge NAME A B R: A and B are files of two live copies, R is the replay's. Adds to the counts.
judge() {
    local name=$1 a=$2 b=$3 r=$4 n common
    n=$(wc -l <"$a")
    if cmp -s "$a" "$b" && cmp -s "$a" "$r"; then
        lines=$((lines + n))
    elif [[ ! $several ]] && cmp -s "$a" "$b"; then
        bad+=("$name: $(cmp "$a" "$r" 2>&1 | sed "s|$tmp/||g")")
        diff "$a" "$r" | cut -c 1-200 | head -n 6 | sed 's/^/    # /'
    elif [[ $name == execlog* ]] && cmp -s <(by_vcpu "$a") <(by_vcpu "$b"); then
        lines=$((lines + n))
        if ! cmp -s <(by_vcpu "$a") <(by_vcpu "$r"); then
            bad+=("$name, by vCPU")
            diff <(by_vcpu "$a") <(by_vcpu "$r") | cut -c 1-200 | head -n 6 | sed 's/^/    # /'
        fi
    else
        comm -12 <(sort "$a") <(sort "$b") >"$tmp/common"
        common=$(wc -l <"$tmp/common")
        lines=$((lines + common))
        if ((common < n)); then
            apart+=("$name (two live copies disagree)")
        fi
        comm -23 "$tmp/common" <(sort "$r") >"$tmp/missing"
        if [[ -s $tmp/missing ]]; then
            bad+=("$name: lines that both live copies have are missing")
            diff "$tmp/common" <(sort "$r") | cut -c 1-200 | head -n 6 | sed 's/^/    # /'
        fi
    fi
}

# judge_files NUMBER: whatever the three wrote
judge_files() {
    local file role
    for file in $(cd "$tmp" && find "$1".[abr] -type f -printf '%P\n' | sort -u); do
        for role in a b r; do
            if [[ ! -f $tmp/$1.$role/$file ]]; then
                bad+=("${specs[$1]}: $role wrote no $file")
                continue 2
            fi
        done
        if [[ $version == 10.0 && ${specs[$1]} == insn,match* ]]; then
            for role in a b r; do
                without_records "$tmp/$1.$role/$file" >"$tmp/$role"
                mv "$tmp/$role" "$tmp/$1.$role/$file"
            done
        fi
        judge "${specs[$1]} ($file)" "$tmp/$1."{a,b,r}"/$file"
    done
}

# ---- the rows of the matrix ----

# QEMU's execlog and insn,match are not made for several vCPUs: now and then they crash, or die
# within malloc, whose lock QEMU takes along. True: these plugins can do so.
dies() {
    [[ $several && "${specs[*]}" == *@(execlog|match=)* ]]
}

run_group() {
    local i status why try
    for try in 1 2 3; do
        status=0
        run_live || status=$?
        if ((status < 124)) || ! dies; then
            break
        fi
    done
    if ((status >= 124)) && dies; then
        for i in "${!specs[@]}"; do
            apart+=("${specs[i]} (QEMU dies)")
        done
        return
    elif ((status >= 124)); then
        bad+=("${specs[*]}: live, status $status")
        show_output
        return
    fi
    for i in "${!specs[@]}"; do
        mkdir "$tmp/$i.r"
        status_of timeout -k 10 100 "$qtrace_replay" -o "$tmp/$i.r/text" \
            -a "$folder/lib${specs[i]%%,*}.so$(arguments_of "${specs[i]}" "$tmp/$i.r")" \
            "$tmp/run.qtr"
        plugins=$((plugins + 1))
        why=$(beyond_judgement "${specs[i]}")
        if [[ $why ]]; then
            apart+=("${specs[i]} ($why)")
        elif ((status != 0)); then
            bad+=("${specs[i]}: replay, status $status")
            show_output
        else
            judge_files "$i"
        fi
    done
}

total_lines=0
declare -A not_comparable=()

# matrix VERSION ARCH GUEST...: the variables of this function are what all others know
matrix() {
    version=$1 arch=$2
    shift 2
    local name="$version $arch ${*##*/}" line text bad=() apart=() lines=0 plugins=0
    guest=("$@")
    mnemonic=${mnemonics[$arch]}
    if [[ $version == 7.2 ]]; then
        qemu=qemu-$arch folder=$PLUGINS72
    else
        qemu=$QEMU10/qemu-$arch folder=$PLUGINS100
    fi
    if ! command -v "$qemu" >/dev/null || [[ ! -r $folder/libinsn.so || ! -r $1 ]]; then
        skip "$name" "the test bed lacks its QEMU, plugins or guest"
        return
    fi
    case ${1##*/} in
    threads | churn | atomics) several=1 ;;
    *) several= ;;
    esac
    [[ $1 == "$GUESTS"/* ]] && small=1 || small=
    main=$(readelf -Ws "$1" | awk '$8 == "main" { print $2; exit }')
    main=$(printf %x $((0x${main:-0} & ~1)))
    while read -ra specs; do
        run_group
    done < <(plugins_of)
    for text in "${apart[@]}"; do
        not_comparable[$version $text]+=" $arch/${1##*/}"
    done
    total_lines=$((total_lines + lines))
    if ((${#bad[@]} > 0)); then
        for text in "${bad[@]}"; do
            not_ok "$name: $text" "it differs"
        done
    else
        ok "$name: $plugins plugins, $lines lines"
    fi
}

# ---- the guests ----

all_guests=("mix 1" "faults 5" smc widevec syscalls "exits exit_group" "threads 8" "churn 20"
    atomics)
some=("x86_64 mix 1" "x86_64 threads 8" "aarch64 atomics" "arm faults 5" "riscv64 threads 8"
    "ppc64le churn 20" "s390x faults 5" "i386 smc")
rows=("${some[@]}")
if [[ $long ]]; then
    rows=()
    for arch in x86_64 aarch64 arm riscv64 ppc64le s390x i386; do
        rows+=("${all_guests[@]/#/$arch }")
    done
fi
for row in "${rows[@]}"; do
    read -ra words <<<"$row"
    for version in 7.2 10.0; do
        matrix "$version" "${words[0]}" "$GUESTS/${words[0]}/${words[1]}" "${words[@]:2}"
    done
done

programs=("gzip -c $top/LICENSE")
if [[ $long ]]; then
    programs+=("sort $top/LICENSE" "python3 -c print(sum(range(9)))")
fi
for row in "${programs[@]}"; do
    read -ra words <<<"$row"
    for version in 7.2 10.0; do
        matrix "$version" x86_64 "$(command -v "/usr/bin/${words[0]}")" "${words[@]:1}"
    done
done

# ---- all in all ----

for name in "${!not_comparable[@]}"; do
    echo "# not comparable: $name:${not_comparable[$name]}"
done | sort
echo "# ${#not_comparable[@]} plugins with their arguments were not comparable somewhere"
minimum=3000000
if ((total_lines >= minimum)); then
    ok "$total_lines lines could be compared"
else
    not_ok "lines that can be compared" "$total_lines, fewer than $minimum"
fi
