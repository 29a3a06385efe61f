#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Plugins of our own that use every part of the API, in every version of it that a QEMU here
# accepts, print the same live and replayed: tests/probe/trans.c looks at its counts at every
# translation, tests/probe/api.c at everything else. Then several of them at once, also of
# different versions and several copies of one; threads; and what no trace can answer.

. "$(dirname "$0")/../lib.sh"

if [[ ! -x $QEMU10/qemu-x86_64 || ! -r $GUESTS/x86_64/faults ]]; then
    skip "all" "the test bed lacks QEMU 10.0 or the guests"
    exit 0
fi

build_probe() {
    # shellcheck disable=SC2046
    cc -shared -fPIC -O2 -g -Wall -Wextra -Wno-unused-parameter -DQEMU_PLUGIN_API_VERSION="$2" \
        $(pkg-config --cflags glib-2.0) -I"$top/libqtrace/include" "$top/tests/probe/$1.c" \
        -o "$tmp/$1$2.so" -lglib-2.0
}

for version in 1 2 3 4; do
    if ! build_probe trans $version || ! build_probe api $version; then
        not_ok "build the probes"
        exit 1
    fi
done
cp "$tmp/trans4.so" "$tmp/another-trans4.so"

# qemu_of VERSION ARCH: the QEMU that accepts plugins of the version
qemu_of() {
    if (($1 < 2)); then
        echo "qemu-$2"
    else
        echo "$QEMU10/qemu-$2"
    fi
}

# run_both QEMU PLUGINS GUEST...: leaves $tmp/live and $tmp/replayed, stderr in live.err and
# stderr, the exit statuses in $live_status and $status. Plugins are separated by blanks.
run_both() {
    local qemu=$1 plugin live=() replayed=()
    for plugin in $2; do
        live+=(-plugin "$plugin")
        replayed+=(-a "$plugin")
    done
    shift 2
    rm -f "$tmp"/{run.qtr,live,replayed}
    live_status=0
    (cd "$tmp" && exec timeout -k 10 100 "$qemu" -d plugin -D "$tmp/live" "${live[@]}" \
        -plugin "$qtrace_plugin,out=$tmp/run.qtr" "$@" >"$tmp/guest.out" 2>"$tmp/live.err" \
        </dev/null) || live_status=$?
    status_of timeout -k 10 100 "$qtrace_replay" -o "$tmp/replayed" "${replayed[@]}" "$tmp/run.qtr"
}

# same NAME LINES: the two are the same and have so many lines at least
same() {
    local n
    n=$(wc -l <"$tmp/live")
    if ((status != 0)); then
        not_ok "$1" "replay: status $status"
        show_output
    elif ! cmp -s "$tmp/live" "$tmp/replayed"; then
        not_ok "$1" "$(cmp "$tmp/live" "$tmp/replayed" 2>&1 | sed "s|$tmp/||g")"
        diff "$tmp/live" "$tmp/replayed" | cut -c 1-200 | head -n 6
    elif ((n < $2)); then
        not_ok "$1" "only $n lines"
    else
        ok "$1: $n lines"
    fi
}

# ---- the place of translations ----

for arch in x86_64 aarch64 arm riscv64 ppc64le s390x i386; do
    for case in "mix 1" "faults 5" smc syscalls; do
        if [[ ! $long && $arch != x86_64 && $case != faults* ]]; then
            continue
        fi
        read -ra guest <<<"$case"
        for version in 1 2 3 4; do
            if [[ ! $long && $arch != x86_64 && $version == [23] ]]; then
                continue
            fi
            run_both "$(qemu_of $version $arch)" "$tmp/trans$version.so" \
                "$GUESTS/$arch/${guest[0]}" "${guest[@]:1}"
            same "trans, version $version, $arch $case" 1000
        done
    done
done

# ---- everything else ----

faults=("$GUESTS/x86_64/faults" 5)
for version in 1 2 3 4; do
    for arch in x86_64 s390x; do
        for what in queries events conditions steps boards; do
            if ((version < 2)) && [[ $what == [cbs]* ]]; then
                continue
            fi
            run_both "$(qemu_of $version $arch)" "$tmp/api$version.so,tag=$what:,$what" \
                "$GUESTS/$arch/faults" 5
            same "$what, version $version, $arch" 15
        done
    done
    for where in trans block insn mem access syscall ret install; do
        run_both "$(qemu_of $version x86_64)" "$tmp/api$version.so,reset=$where" \
            "$GUESTS/x86_64/syscalls"
        same "reset in $where, version $version" 4
        if [[ $where == @(insn|mem|syscall|ret) ]]; then
            run_both "$(qemu_of $version x86_64)" "$tmp/api$version.so,grow=$where" \
                "$GUESTS/x86_64/mix" 1
            same "reset in $where, more is registered then, version $version" 6
        fi
        if [[ $where != install ]]; then
            run_both "$(qemu_of $version x86_64)" "$tmp/api$version.so,uninstall=$where" \
                "${faults[@]}"
            same "uninstall in $where, version $version" 2
        fi
    done
done

# A run in which nobody was reset has no flush for it; all callbacks come all the same.
for where in trans block insn mem access syscall ret; do
    status_of "$qtrace_replay" -o "$tmp/late" -a "$tmp/api4.so,reset=$where" "$tmp/run.qtr"
    if ((status == 0)) && grep -q '^reset: ' "$tmp/late" && grep -q '^uninstalled: ' "$tmp/late"
    then
        ok "reset in $where in somebody else's run"
    else
        not_ok "reset in $where in somebody else's run" "status $status: $(cat "$tmp/late")"
    fi
done

# Nor has it an end of rows there. Alone, the rows of many blocks are taken together, or no more of
# them is read than the plugin needs before it is reset; next to one that wants everything it is
# not so.
for how in reset=access uninstall=access grow=insn grow=mem; do
    "$qtrace_replay" -o "$tmp/alone" -a "$tmp/api4.so,tag=a:,$how" "$tmp/run.qtr"
    "$qtrace_replay" -a "$tmp/api4.so,tag=a:,$how" -a "$tmp/api4.so,tag=b:,reset=never" \
        "$tmp/run.qtr" | grep '^a:' >"$tmp/together"
    if (($(grep -c accesses "$tmp/alone") >= 2)) && cmp -s "$tmp/alone" "$tmp/together"; then
        ok "$how, alone and not"
    else
        not_ok "$how, alone and not" "$(diff "$tmp/alone" "$tmp/together" | head -n 4)"
    fi
done

mv "$tmp/run.qtr" "$tmp/others.qtr"

# Rows of a block that another stream translates later: 220 blocks, 110 of them of that one.
"$QTRACE_BUILD/tests/late" "$tmp/late.qtr" || not_ok "a late translation" "no trace"
for what in add sum look call; do
    for version in 1 4; do
        status_of "$qtrace_replay" -a "$tmp/api$version.so,late=$what" "$tmp/late.qtr"
        wanted="220 blocks, $([[ $what == call ]] && echo 110 || echo 0) accesses"
        if ((status == 0)) && [[ $(tail -n 1 "$tmp/stdout") == "$wanted" ]]; then
            ok "a late translation, late=$what, version $version"
        else
            not_ok "a late translation, late=$what, version $version" \
                "status $status: $(tail -n 1 "$tmp/stdout")"
        fi
    done
done

# ---- several at once ----

run_both "$(qemu_of 4 x86_64)" "$tmp/trans2.so,tag=a: $tmp/trans3.so,tag=b: $tmp/trans4.so,tag=c:
    $tmp/another-trans4.so,tag=d: $tmp/api3.so,tag=e:,events $tmp/api4.so,tag=f:,conditions" \
    "${faults[@]}"
same "six plugins of versions 2 to 4" 8000
run_both "$(qemu_of 1 x86_64)" "$tmp/trans1.so,tag=a: $tmp/api1.so,tag=b:,events" "${faults[@]}"
same "two plugins of version 1" 1500
run_both "$(qemu_of 4 x86_64)" "$tmp/another-trans4.so,tag=a: $tmp/trans4.so,tag=b:
    $tmp/api2.so,tag=c:,uninstall=block $tmp/api4.so,tag=d:,reset=insn" "${faults[@]}"
same "two that stay and two that go" 3000

# One that ends QEMU in a callback: what the others had done by then depends on the order.
for version in 1 4; do
    for order in "api trans" "trans api"; do
        plugins=
        for name in $order; do
            plugins+=" $tmp/$name$version.so$([[ $name == api ]] && echo ,leave)"
        done
        run_both "$(qemu_of $version x86_64)" "$plugins" "${faults[@]}"
        if ((status == 9 && live_status == 9)); then
            status=0
            same "version $version, $order: a plugin calls exit" 40
        else
            not_ok "version $version, $order: a plugin calls exit" "$live_status, $status"
        fi
    done
done

# QEMU's own one, at an instruction and at an address
main=$(readelf -Ws "${faults[0]}" | awk '$8 == "main" { print $2; exit }')
for where in icount=5000 "addr=0x$main"; do
    run_both "$(qemu_of 4 x86_64)" "$PLUGINS100/libstoptrigger.so,$where:7 $tmp/trans4.so" \
        "${faults[@]}"
    if ((status == 7 && live_status == 7)) && grep -q 'reached' "$tmp/live"; then
        status=0
        same "stoptrigger,${where%=*}" 40
    else
        not_ok "stoptrigger,${where%=*}" "$live_status, $status"
    fi
done

# What a plugin printed before it crashed is there.
status_of "$qtrace_replay" -o "$tmp/left" -a "$tmp/api4.so,leave" -a "$tmp/trans4.so" \
    "$tmp/others.qtr"
status_of "$qtrace_replay" -o "$tmp/aborted" -a "$tmp/api4.so,crash" -a "$tmp/trans4.so" \
    "$tmp/others.qtr"
if ((status == 134)) && grep -q leaving "$tmp/aborted" &&
    cmp -s "$tmp/aborted" <(sed '/leaving/q' "$tmp/left"); then
    ok "a plugin aborts: $(wc -l <"$tmp/aborted") lines"
else
    not_ok "a plugin aborts" "status $status, $(cmp "$tmp/aborted" "$tmp/left" 2>&1)"
fi

check "a copy of one plugin" "$qtrace_replay" -o "$tmp/twice" -a "$tmp/trans4.so,tag=a:" \
    -a "$tmp/trans4.so,tag=b:" "$tmp/others.qtr"
if cmp -s <(sed -n 's/^a://p' "$tmp/twice") <(sed -n 's/^b://p' "$tmp/twice"); then
    ok "two uses of one file have their own variables"
else
    not_ok "two uses of one file have their own variables"
fi

# ---- threads ----

# QEMU lists vCPUs in the order of a hash table, which depends on the order in which they came.
# Each of these begins when the one before it runs, so that there is one such order.
run_both "$(qemu_of 4 x86_64)" "$tmp/api4.so,events" "$GUESTS/x86_64/churn" 40 1
for file in live replayed; do
    grep 'init 40,' "$tmp/$file" | cut -d: -f 2 | tr ' ' '\n' | sed '/^$/d' >"$tmp/$file.order"
done
listed=$(wc -l <"$tmp/live.order")
if cmp -s "$tmp/live.order" "$tmp/replayed.order" && ((listed == 41)) &&
    ! sort -cn "$tmp/live.order" 2>/dev/null; then
    ok "the order of $listed vCPUs"
else
    not_ok "the order of $listed vCPUs" "$(diff "$tmp/live.order" "$tmp/replayed.order")"
    show_output
fi
# More vCPUs than scoreboards begin with. QEMU makes them larger when a vCPU begins, and only those
# that execute blocks wait meanwhile: the probe would crash if it looked in two inits at a time.
run_both "$(qemu_of 4 x86_64)" "$tmp/api4.so,boards" "$GUESTS/x86_64/churn" 40 1
sort "$tmp/live" | grep -v 'vCPU .*board' >"$tmp/a"
sort "$tmp/replayed" | grep -v 'vCPU .*board' >"$tmp/b"
if cmp -s "$tmp/a" "$tmp/b" && (($(wc -l <"$tmp/a") > 6 * 40)); then
    ok "scoreboards of 41 vCPUs"
else
    not_ok "scoreboards of 41 vCPUs" "$(diff "$tmp/a" "$tmp/b" | head -n 5)"
fi
