#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Every public header compiles alone, before all others, as C11 and as C++, without a warning.

. "$(dirname "$0")/../lib.sh"

read -ra glib < <(pkg-config --cflags glib-2.0 | sed 's/-I/-isystem /g')
flags=(-Wall -Wextra -Werror -fsyntax-only -I "$top/libqtrace/include" "${glib[@]}")

# alone HEADER: a source file that includes it
alone() {
    echo "#include <qtrace/$1>"
    if [[ $1 == analyzer.h ]]; then
        cat <<'END'
static void analyzer_translate(struct qemu_plugin_tb *tb) { (void)tb; }
static void analyzer_exit(void) { }
int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    (void)info, (void)argc, (void)argv;
    analyzer_register(id);
    return 0;
}
END
    fi
}

compilers=("gcc -std=c11 -pedantic -x c" "g++ -std=c++17 -x c++"
    "clang -std=c11 -pedantic -x c" "clang++ -std=c++17 -x c++")
for compiler in "${compilers[@]}"; do
    read -ra command <<<"$compiler"
    if ! command -v "${command[0]}" >/dev/null; then
        skip "$compiler" "there is no ${command[0]}"
        continue
    fi
    for path in "$top"/libqtrace/include/qtrace/*.h; do
        header=${path##*/}
        alone "$header" >"$tmp/alone.c"
        check "$compiler: $header" "${command[@]}" "${flags[@]}" "$tmp/alone.c"
    done
    for version in 0 2 3 5 6 7; do
        alone qemu-plugin.h >"$tmp/alone.c"
        check "$compiler: qemu-plugin.h, version $version" "${command[@]}" "${flags[@]}" \
            "-DQEMU_PLUGIN_API_VERSION=$version" "$tmp/alone.c"
    done
done
