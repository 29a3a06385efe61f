#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The analyzers howvec and opcode-mix, on every target and both user-mode QEMUs: live as in
# replay; they count as many instructions as QEMU's plugin insn in the same run; classes and
# single instructions have the counts that QEMU's howvec gives them; CSV and JSON can be read and
# say the same.

. "$(dirname "$0")/../lib.sh"

analyzers=$QTRACE_BUILD/tools/qtrace-replay/analyzers
# QEMU takes two options with one path for one plugin.
cp "$analyzers/libhowvec.so" "$tmp/inline-howvec.so"
cp "$analyzers/libopcode-mix.so" "$tmp/class-mix.so"

# What all of them printed in one run: FOLDER/insn, qemu, howvec.csv, inline.csv, mix.csv,
# single.csv, howvec.json, mix.json.
cat >"$tmp/check.py" <<'END'
import csv, json, re, sys

folder, arch, version = sys.argv[1:]


def text(name):
    return open(folder + "/" + name).read()


def table(name):
    """The first table, and the second one if there is any."""
    return [list(csv.DictReader(t.splitlines())) for t in text(name).split("\n\n")]


def expect(what, got, wanted):
    if got != wanted:
        sys.exit("%s: %s instead of %s" % (what, got, wanted))


total = int(re.search(r"total insns: (\d+)", text("insn")).group(1))
classes = {row["class"]: int(row["hits"]) for row in table("howvec.csv")[0]}
expect("instructions in classes", sum(classes.values()), total)
expect("unclassified", classes.get("Unclassified", 0), 0)
expect("inline", text("inline.csv"), text("howvec.csv"))
rows = json.loads(text("howvec.json"))["classes"]
expect("howvec as JSON", {r["class"]: r["hits"] for r in rows}, classes)

mix = table("mix.csv")[0]
expect("instructions in opcode-mix", sum(int(r["count"]) for r in mix), total)
expect("cumulative share", mix[-1]["cumulative"], "100.00")
if arch == "riscv64":
    expect("mnemonics that are bytes",
           [r["mnemonic"] for r in mix if re.fullmatch("([0-9a-f]{4})+", r["mnemonic"])], [])
by_class = json.loads(text("mix.json"))["opcode-mix"]
expect("opcode-mix by class", {r["class"]: r["count"] for r in by_class},
       {c: n for c, n in classes.items() if n > 0})

single = table("single.csv")
expect("classes of single instructions",
       {r["class"]: int(r["hits"]) for r in single[0] if int(r["hits"]) > 0}, classes)
expect("single instructions", sum(int(r["hits"]) for r in single[1]), total)
# QEMU looks at 32 bits; before 10.0 those behind a shorter instruction are anything.
opcodes = {}
for row in single[1]:
    opcode = int(row["opcode"], 16) & 0xffffffff
    opcodes[opcode] = opcodes.get(opcode, 0) + int(row["hits"])

rows = 0
if arch == "aarch64":
    # See isa/aarch64.c: QEMU counts wrongly within this group.
    group = {"AdvSimd ldstmult++", "Load Reg (lit)", "ldst reg", "Atomic ldst",
             "ldst reg (reg off)", "ldst reg (pac)", "Loads & Stores"}
    qemu = {m.group(1).strip(): int(m.group(2))
            for m in re.finditer(r"Class: (.*)\t\((\d+) hits\)", text("qemu"))}
    for name in qemu.keys() - group:
        rows += 1
        expect(name, classes.get(name, 0), qemu[name])
    expect("loads and stores", sum(classes.get(n, 0) for n in group), sum(qemu[n] for n in group))
elif version == "10.0" or arch == "ppc64le":
    for m in re.finditer(r"\((\d+) hits\)\t\(op=0x([0-9a-f]+)", text("qemu")):
        rows += 1
        expect("opcode " + m.group(2), opcodes.get(int(m.group(2), 16)), int(m.group(1)))
if rows < 30 and (version == "10.0" or arch in ("aarch64", "ppc64le")):
    sys.exit("only %d rows of QEMU's to compare with" % rows)
print("%d instructions, %d classes, %d rows of QEMU's" % (total, len(classes), rows))
END

# compare VERSION ARCH QEMU PLUGINS GUEST...
compare() {
    local version=$1 arch=$2 qemu=$3 plugins=$4 name out=$tmp/out live=() all=() n=0
    shift 4
    name="$version $arch $(basename "$1") ${*:2}"
    local files=(insn qemu howvec.csv inline.csv mix.csv mix.json)
    local calls=("$plugins/libinsn.so" "$plugins/libhowvec.so,verbose=on"
        "$analyzers/libhowvec.so,format=csv" "$tmp/inline-howvec.so,inline=on,format=csv"
        "$analyzers/libopcode-mix.so,limit=0,format=csv"
        "$tmp/class-mix.so,by=class,inline=on,limit=0,format=json")
    rm -rf "$out" "$tmp"/{run.qtr,live,replayed}
    mkdir "$out"
    for call in "${calls[@]}"; do
        live+=(-plugin "$call")
        all+=("--analyzer=$call")
    done
    (cd "$tmp" && timeout -k 10 60 "$qemu" -d plugin -D "$tmp/live" "${live[@]}" \
        -plugin "$qtrace_plugin,out=$tmp/run.qtr" "$@" >/dev/null 2>"$tmp/stderr" </dev/null)
    status_of timeout -k 10 60 "$qtrace_replay" -o "$tmp/replayed" "${all[@]}" "$tmp/run.qtr"
    if ((status != 0)) || ! cmp -s "$tmp/live" "$tmp/replayed"; then
        not_ok "$name: live and replayed" "status $status"
        show_output
        return
    fi
    # What each of them has printed.
    files+=(howvec.json single.csv)
    calls+=("$analyzers/libhowvec.so,format=json"
        "$analyzers/libhowvec.so,count=individual,limit=0,format=csv")
    for call in "${calls[@]}"; do
        "$qtrace_replay" -o "$out/${files[n++]}" "--analyzer=$call" "$tmp/run.qtr" \
            2>"$tmp/stderr"
    done
    if python3 "$tmp/check.py" "$out" "$arch" "$version" >"$tmp/stdout" 2>"$tmp/stderr"; then
        ok "$name: $(cat "$tmp/stdout")"
    else
        not_ok "$name" "$(tail -n 1 "$tmp/stderr")"
    fi
}

for arch in x86_64 aarch64 arm riscv64 ppc64le s390x i386; do
    for case in "mix 1" "faults 5"; do
        read -ra words <<<"$case"
        guest=("$GUESTS/$arch/${words[0]}" "${words[@]:1}")
        compare 7.2 "$arch" "qemu-$arch" "$PLUGINS72" "${guest[@]}"
        compare 10.0 "$arch" "$QEMU10/qemu-$arch" "$PLUGINS100" "${guest[@]}"
    done
done
for arch in x86_64 aarch64 arm; do # with threads, QEMU 7.2's plugins race with themselves
    compare 10.0 "$arch" "$QEMU10/qemu-$arch" "$PLUGINS100" "$GUESTS/$arch/threads" 8
done

# Arguments: as the old documentation spells them, as QEMU does now, and wrong ones.
run() { # NAME CALL: its output becomes $tmp/NAME
    status_of timeout -k 10 60 "$qtrace_replay" -o "$tmp/$1" "--analyzer=$2" "$trace"
}

rm -f "$tmp/run.qtr"
record_small
run old howvec,arg=inline,arg=ret
run new howvec,inline=on,count=ret
check "both spellings of arguments" cmp "$tmp/old" "$tmp/new"
check "a class that is counted individually" grep -q "^Class: Return  .*counted individually" \
    "$tmp/old"
check "its instructions" grep -q "^Instr: retq .*hits)	(op=0x000000c3/Return)" "$tmp/old"
run not 'howvec,count=individual,!ret'
check "a class that is not counted" grep -q "^Class: Return  .*not counted" "$tmp/not"
run verbose howvec,verbose=on
check "classes without hits" grep -q "^Class: Crypto .*(0 hits)" "$tmp/verbose"
run mix opcode-mix,limit=2,format=csv
check "as many rows as asked for" test "$(wc -l <"$tmp/mix")" -eq 3
rm -f "$tmp/bare.qtr"
timeout -k 10 60 qemu-x86_64 -plugin "$qtrace_plugin,out=$tmp/bare.qtr,disas=off" \
    "$GUESTS/x86_64/mix" 1 \
    >/dev/null
trace=$tmp/bare.qtr run bare opcode-mix,limit=0
if grep -q "^callq, " "$tmp/bare" && ! grep -q unknown "$tmp/bare"; then
    ok "mnemonics without recorded disassembly"
else
    not_ok "mnemonics without recorded disassembly" "$(head -n 3 "$tmp/bare")"
fi
run unknown howvec,count=movs
if ((status != 0)) && grep -q "'movs' is no class .* alu mul " "$tmp/stderr"; then
    ok "an unknown class is an error"
else
    not_ok "an unknown class is an error" "status $status"
fi
