#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What `meson install` installs is complete, exports what its headers declare, and works away
# from the sources: the examples are built from nothing but installed files, the tools find
# their analyzers when the whole installation is moved, and the example analyzer counts what a
# guest is known to do, the same live in both QEMUs and replayed.

. "$(dirname "$0")/../lib.sh"

prefix=$tmp/prefix
moved=$tmp/elsewhere
build=$tmp/build

# ---- install, into a prefix and below a DESTDIR

# What is to be installed, as ninja calls it; the tests of a build are not needed here.
installed_targets() {
    meson introspect --installed "$build" | python3 -c '
import json, os, sys
for path in json.load(sys.stdin):
    name = os.path.relpath(path, sys.argv[1])
    if not name.startswith(("..", "meson-private")):
        print(name)' "$build"
}

status_of meson setup "$build" "$top" --prefix="$prefix" --libdir=lib -Dtests=disabled
if ((status == 0)); then
    read -ra targets < <(installed_targets | tr '\n' ' ')
    status_of ninja -C "$build" "${targets[@]}"
fi
if ((status == 0)); then
    status_of meson install -C "$build" --no-rebuild
fi
if ((status != 0)); then
    not_ok "meson install" "status $status"
    show_output
    exit 1
fi
ok "meson install: ${#targets[@]} targets"
check "install below a DESTDIR" meson install -C "$build" --no-rebuild --destdir "$tmp/dest"
check "it is the same" diff -r "$prefix" "$tmp/dest/$prefix"

# ---- what is there

expected() {
    local path
    printf '%s\n' bin/qtrace-dump bin/qtrace-replay lib/libqtrace.so \
        lib/pkgconfig/qtrace.pc lib/pkgconfig/qtrace-analyzer.pc
    for path in "$top"/libqtrace/include/qtrace/*.h; do
        echo "include/qtrace/${path##*/}"
    done
    grep -rl --include='*.c' 'int qemu_plugin_install(' "$top/tools/qtrace-replay/analyzers" |
        sed 's,.*/\(.*\)\.c$,lib/qtrace/analyzers/lib\1.so,'
    if command -v scdoc >/dev/null; then
        for path in "$top"/docs/*.scd; do
            echo "share/man/man1/$(basename "$path" .scd)"
        done
    fi
}

expected | sort >"$tmp/expected"
(cd "$prefix" && find . ! -type d) | sed 's,^\./,,' | sort >"$tmp/found"
check "every file, and no other" diff "$tmp/expected" "$tmp/found"
for file in bin/qtrace-dump bin/qtrace-replay lib/libqtrace.so; do
    readelf -d "$prefix/$file" >"$tmp/dynamic"
    check_status "$file looks for libraries only where the system has them" 1 \
        grep -E 'RPATH|RUNPATH' "$tmp/dynamic"
done

if ! command -v scdoc >/dev/null; then
    skip "man pages" "there is no scdoc"
elif ! command -v mandoc >/dev/null; then
    skip "man pages" "there is no mandoc"
else
    for page in "$prefix"/share/man/man1/*.1; do
        # scdoc begins more paragraphs than needed
        mandoc -T lint -W warning "$page" | grep -v 'skipping paragraph macro' >"$tmp/lint"
        check "man page $(basename "$page")" diff /dev/null "$tmp/lint"
    done
fi

# ---- what is exported

# declared MARK HEADER OPTION...: names of the functions that are declared behind MARK
declared() {
    local mark=$1 header=$2
    shift 2
    # shellcheck disable=SC2046
    echo "#include <qtrace/$header>" |
        cc -E -P -x c - -I "$prefix/include" $(pkg-config --cflags glib-2.0) "$@" |
        tr '\n' ' ' | grep -oP "$mark"'[^;()]*?\K\w+(?=\()' | sort -u
}

exported() {
    nm -D --defined-only "$1" | awk '{ print $3 }' | sort
}

exported "$prefix/lib/libqtrace.so" >"$tmp/exported"
{
    declared '__attribute__\(\(visibility\("default"\)\)\)' qtrace.h
    echo qemu_plugin_install
    echo qemu_plugin_version
} | sort >"$tmp/declared"
check "libqtrace.so exports what its headers declare" diff "$tmp/declared" "$tmp/exported"
check "... and they are many" test "$(wc -l <"$tmp/declared")" -gt 40
exported "$prefix/bin/qtrace-replay" >"$tmp/exported"
declared EVERY_CALL qemu-plugin.h -DQEMU_PLUGIN_API_ALL -DQEMU_PLUGIN_API=EVERY_CALL \
    >"$tmp/declared"
check "qtrace-replay exports the plugin interface" diff "$tmp/declared" "$tmp/exported"
check "... all of it" test "$(wc -l <"$tmp/declared")" -gt 60
for file in "$prefix"/lib/qtrace/analyzers/*.so; do
    exported "$file" >"$tmp/exported"
    check "$(basename "$file") exports what a plugin does" \
        diff <(printf '%s\n' qemu_plugin_install qemu_plugin_version \
            qtrace_analyzer_summary) "$tmp/exported"
done

# ---- built outside, from installed files alone

export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
mkdir "$tmp/outside"
cp "$top"/docs/examples/* "$tmp/outside/"
check "the examples compile" make -C "$tmp/outside" CFLAGS="-O2 -Wall -Wextra -Werror" \
    CPPFLAGS=-MD
check "with installed headers" grep -q "$prefix/include/qtrace/analyzer.h" \
    "$tmp/outside/libtraffic.d"
check_status "and no other file of qtrace" 1 grep -F "$top/" "$tmp"/outside/*.d
# shellcheck disable=SC2046
check "a C++ program links" g++ -x c++ -std=c++17 -Wall -Wextra -Werror \
    -o "$tmp/outside/totals-c++" "$tmp/outside/totals.c" $(pkg-config --cflags --libs qtrace)
grep -hE '^    cc .*pkg-config' "$top/docs/writing-analyzers.md" >"$tmp/commands"
check "the manual has commands" test "$(wc -l <"$tmp/commands")" -eq 2
while read -r command; do
    rm -f "$tmp"/outside/{totals,libtraffic.so}
    check "the manual: $command" bash -ec "cd '$tmp/outside' && $command"
done <"$tmp/commands"
check "make again" make -C "$tmp/outside"
check "make install of an analyzer" make -C "$tmp/outside" install
check "it is where pkg-config says" test -x \
    "$(pkg-config --variable=analyzersdir qtrace-analyzer)/libtraffic.so"
check "pkg-config knows the recorder" test -x "$(pkg-config --variable=plugin qtrace)"

# ---- used at another place

mv "$prefix" "$moved"
replay=$moved/bin/qtrace-replay
"$replay" --list | cut -d " " -f 1 >"$tmp/list"
check "a moved installation lists its analyzers" \
    diff <(sed -n 's,.*/analyzers/lib\(.*\)\.so$,\1,p' "$tmp/found" |
        sort - <(echo traffic)) "$tmp/list"
check "--version" "$replay" --version
export LD_LIBRARY_PATH=$moved/lib

# known ARCH REPORT: what transfers.c says of itself
known() {
    local ret=0
    if [[ $1 == x86_64 ]]; then
        ret=1
    fi
    grep -qx "fill_words, $ret, $((ret * 8)), 1000, 8000" "$2" &&
        grep -qx "read_octets, $((300 + ret)), $((300 + ret * 8)), 0, 0" "$2" &&
        grep -qx "copy_words, $((70 + ret)), $((280 + ret * 8)), 70, 280" "$2"
}

# live NAME QEMU ANALYZER GUEST...: $tmp/live is what the analyzer prints next to the installed
# recorder; it must print the same on $tmp/run.qtr
live() {
    local name=$1 qemu=$2 analyzer=$3
    shift 3
    rm -f "$tmp/run.qtr" "$tmp/live" "$tmp/replayed"
    check "$name: record" timeout -k 10 100 "$qemu" -d plugin -D "$tmp/live" \
        -plugin "$moved/lib/qtrace/analyzers/lib$analyzer" \
        -plugin "$moved/lib/libqtrace.so,out=$tmp/run.qtr" "$@"
    check "$name: replay" timeout -k 10 100 "$replay" -o "$tmp/replayed" \
        --analyzer="${analyzer/.so/}" "$tmp/run.qtr"
    check "$name: the same, $(wc -l <"$tmp/live") lines" cmp "$tmp/live" "$tmp/replayed"
}

same_totals() {
    "$moved/bin/qtrace-dump" --json "$tmp/run.qtr" | python3 -c '
import json, sys
for s in json.load(sys.stdin)["streams"]:
    print("stream=%d vcpu=%d blocks=%d insns=%d accesses=%d syscalls=%d" % tuple(
        s[k] for k in ("stream", "vcpu", "blocks", "insns", "accesses", "syscalls")))
' >"$tmp/json"
    "$tmp/outside/$1" "$tmp/run.qtr" | awk -F '[= ]' '{
        printf "stream=%s vcpu=%s blocks=%s insns=%s accesses=%d syscalls=%s\n",
            $2, $4, $6, $8, $10 + $12, $14 }' | diff "$tmp/json" -
}

for arch in x86_64 aarch64; do
    cc=gcc
    if [[ $arch != x86_64 || $(uname -m) != x86_64 ]]; then
        cc=$arch-linux-gnu-gcc
    fi
    if ! command -v "$cc" >/dev/null; then
        skip "$arch" "there is no $cc"
        continue
    fi
    guest=$tmp/transfers-$arch
    check "$arch: guest" "$cc" -O2 -ffreestanding -fno-stack-protector -nostdlib -static \
        -o "$guest" "$top/tests/e2e/transfers.c"
    for version in 7.2 10.0; do
        qemu=qemu-$arch
        if [[ $version == 10.0 ]]; then
            qemu=$QEMU10/qemu-$arch
        fi
        live "$version $arch" "$qemu" traffic.so "$guest"
        check "$version $arch: it is what the guest does" known "$arch" "$tmp/live"
        cp "$tmp/live" "$tmp/live-$version"
        live "$version $arch mix" "$qemu" traffic.so,limit=10 "$GUESTS/$arch/mix" 1
        live "$version $arch hotblocks" "$qemu" hotblocks.so,limit=5 "$GUESTS/$arch/mix" 1
        check "$version $arch: a program reads it" same_totals totals
        check "$version $arch: threads" timeout -k 10 100 "$qemu" \
            -plugin "$moved/lib/libqtrace.so,out=$tmp/run.qtr,overwrite=on" \
            "$GUESTS/$arch/threads" 4
        check "$version $arch: a program reads several streams" same_totals totals-c++
    done
    # ... but for AArch64's stp, two accesses in 7.2 and one in 10.0, with which _start begins
    sed -i /^_start,/d "$tmp/live-7.2" "$tmp/live-10.0"
    check "$arch: both QEMUs see the same" cmp "$tmp/live-7.2" "$tmp/live-10.0"
done
