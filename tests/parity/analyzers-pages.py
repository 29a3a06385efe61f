#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares what our analyzers and QEMU's plugins of the same names printed in one run.

  reports VERSION LOG[,LOG]... SECTION...
                                   ours are the same in all logs; sections in the order of the
                                   log; each is WHO:WHAT:HOW,
                                   WHO = qemu|ours, WHAT = hotblocks|hotpages, HOW = text|csv|json
                                   and for hotpages -KEY, KEY = sum|reads|writes|address
  vcpus LOG SECTION N              hotpages: a page that N vCPUs have read
  execlog VERSION TARGET LOG       WHAT = csv, json and text of ours, and QEMU's text
  vectors OUTFILE OUTFILE [N]      bbv: the same (N) files and lines, in any order within a line
  intervals FILE N TOTAL           bbv: lines of N instructions each, TOTAL in all
  drcov FILE LOG                   the format, and the blocks of ours:hotblocks:text in LOG

VERSION is 72 or 100: QEMU 7.2's plugins mix up what has the same hash. Ends with a message and
status 1 if something differs; otherwise prints how much was compared.
"""
import collections
import csv
import glob
import json
import re
import struct
import sys


def expect(condition, message):
    if not condition:
        sys.exit(message)


# ---- reports ----

COLUMNS = {
    "hotblocks": ["pc", "tcount", "icount", "ecount"],
    "hotpages": ["Addr", "RCPUs", "Reads", "WCPUs", "Writes"],
}


class Log:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.text = file.read()
        self.at = 0

    def line(self):
        end = self.text.index("\n", self.at)
        line, self.at = self.text[self.at:end], end + 1
        return line

    def rows(self):
        """Lines that begin with an address."""
        rows = []
        while self.text.startswith("0x", self.at):
            rows.append(self.line())
        return rows

    def section(self, what, how):
        """The rows of a report, and how many there are in QEMU's opinion."""
        columns = COLUMNS[what]
        if how == "json":
            value, self.at = json.JSONDecoder().raw_decode(self.text, self.at)
            expect(self.line() == "", "no newline after JSON")
            expect(list(value) == [what], "JSON: tables %s" % list(value))
            for row in value[what]:
                expect(list(row) == columns, "JSON: columns %s" % list(row))
            return [tuple(str(cell) for cell in row.values()) for row in value[what]], None
        total = None
        if how == "text" and what == "hotblocks":
            total = int(re.fullmatch(r"collected (\d+) entries in the hash table",
                                     self.line())[1])
        separator = ", " if how == "text" else ","
        header = self.line()
        expect(header == separator.join(columns), "%s: header '%s'" % (what, header))
        lines = self.rows()
        rows = list(csv.reader(lines)) if how == "csv" else [x.split(", ") for x in lines]
        expect(all(len(row) == len(columns) for row in rows), "%s: a row's cells" % what)
        return [tuple(row) for row in rows], total


def merged_blocks(rows, version):
    """By QEMU's key: the counts and who may stand for them."""
    groups = {}
    for pc, translations, insns, count in rows:
        pc, insns = int(pc, 16), int(insns)
        group = groups.setdefault(pc ^ insns if version == 72 else (pc, insns),
                                  {"who": set(), "counts": [0, 0]})
        group["who"].add((pc, insns))
        group["counts"][0] += int(translations)
        group["counts"][1] += int(count)
    return groups


def compare_blocks(version, ours, theirs, total):
    groups = merged_blocks(ours, version)
    expect(total == len(groups), "hotblocks: %s entries, we have %d" % (total, len(groups)))
    expect(len(theirs) == min(20, total - 1), "hotblocks: QEMU printed %d rows" % len(theirs))
    ordered = sorted((g["counts"][1] for g in groups.values()), reverse=True)
    seen = set()
    for i, (pc, translations, insns, count) in enumerate(theirs):
        pc, insns = int(pc, 16), int(insns)
        key = pc ^ insns if version == 72 else (pc, insns)
        expect(key in groups and (pc, insns) in groups[key]["who"], "hotblocks: no %x" % pc)
        expect([int(translations), int(count)] == groups[key]["counts"],
               "hotblocks: %x: %s, QEMU has %s, %s" % (pc, groups[key]["counts"], translations,
                                                        count))
        expect(int(count) == ordered[i], "hotblocks: row %d" % i)
        seen.add(key)
    expect(len(seen) == len(theirs), "hotblocks: rows twice")


def merged_pages(rows, version):
    groups = {}
    for address, readers, reads, writers, writes in rows:
        address = int(address, 16)
        group = groups.setdefault(address & 0xffffffff if version == 72 else address,
                                  [set(), 0, 0, 0, 0])
        group[0].add(address)
        group[1] |= int(readers, 16)
        group[2] += int(reads)
        group[3] |= int(writers, 16)
        group[4] += int(writes)
    return groups


PAGE_KEYS = {
    "sum": lambda row: -(int(row[2]) + int(row[4])),
    "reads": lambda row: -int(row[2]),
    "writes": lambda row: -int(row[4]),
    "address": lambda row: -int(row[0], 16),
}


def compare_pages(version, key, ours, theirs):
    groups = merged_pages(ours, version)
    expected = min(50, len(groups) - 1) if len(groups) > 1 else 0
    expect(len(theirs) == expected, "hotpages: QEMU printed %d rows of %d" % (len(theirs),
                                                                             len(groups)))
    order = [PAGE_KEYS[key](row) for row in theirs]
    expect(order == sorted(order), "hotpages: QEMU's order by %s" % key)
    if len(groups) == len(ours):
        expect(order == [PAGE_KEYS[key](row) for row in ours][:len(theirs)],
               "hotpages: not QEMU's order by %s" % key)
    seen = set()
    for row in theirs:
        address = int(row[0], 16)
        merged = address & 0xffffffff if version == 72 else address
        expect(merged in groups and address in groups[merged][0], "hotpages: no %x" % address)
        values = [int(row[1], 16), int(row[2]), int(row[3], 16), int(row[4])]
        expect(values == groups[merged][1:],
               "hotpages: %x: %s, QEMU has %s" % (address, groups[merged][1:], values))
        seen.add(merged)
    expect(len(seen) == len(theirs), "hotpages: rows twice")


def check_order(what, key, rows):
    """A total order: equal counts by address."""
    if what == "hotblocks":
        order = [(-int(r[3]), int(r[0], 16), int(r[2])) for r in rows]
    else:
        order = [(PAGE_KEYS[key](r), int(r[0], 16)) for r in rows]
    expect(order == sorted(set(order)), "%s: no total order" % what)


def check_log(version, log, sections, ours):
    n, theirs = 0, []
    for section in sections:
        who, what, how = section.split(":")
        how, _, key = how.partition("-")
        rows, total = log.section(what, how)
        n += len(rows)
        if who == "qemu":
            theirs.append((what, key, rows, total))
            continue
        expect(rows, section + ": no rows")
        check_order(what, key, rows)
        before = ours.setdefault((what, key), rows)
        expect(before == rows, section + ": not what another format, option or log says")
    expect(log.at == len(log.text), "more text than expected")
    for what, key, rows, total in theirs:
        if what == "hotblocks":
            compare_blocks(version, ours[what, key], rows, total)
        else:
            compare_pages(version, key, ours[what, key], rows)
    return n


def reports(version, paths, *sections):
    ours = {}
    print("%d rows" % sum(check_log(int(version), Log(path), sections, ours)
                          for path in paths.split(",")))


def vcpus(path, section, n):
    rows, _ = Log(path).section("hotpages", section)
    most = max(int(row[1], 16) for row in rows)
    expect(most == (1 << int(n)) - 1, "RCPUs: at most 0x%x" % most)
    print("0x%x" % most)


# ---- execlog ----

BIG_ENDIAN = ["s390x"]


def split_text(line):
    """(vcpu, pc, opcode, disassembly, accesses, registers)"""
    head, disassembly, tail = re.fullmatch(r'([^"]*), "(.*)"([^"]*)', line).groups()
    vcpu, pc, opcode = head.split(", ")
    accesses, registers = [], []
    cells = tail.split(", ")[1:]
    while cells:
        cell = cells.pop(0)
        if " -> " in cell:
            name, value = cell.split(" -> ")
            registers.append((name, int(value, 16), len(value)))
        else:
            accesses.append((cell, int(cells.pop(0), 16)))
    return int(vcpu), int(pc, 16), int(opcode, 16), disassembly, accesses, registers


def split_csv(line):
    cells = next(csv.reader([line]))
    vcpu, pc, opcode, disassembly, accesses = cells[:5]
    accesses = [x.split(" ") for x in accesses.split("; ")] if accesses else []
    registers = [x.split(" ") for x in cells[5].split("; ")] if cells[5:] and cells[5] else []
    return (int(vcpu), int(pc, 16), int(opcode, 16), disassembly,
            [(kind, int(address, 16)) for kind, address in accesses],
            [(name, int(value, 16), len(value)) for name, value in registers])


def split_json(line):
    row = json.loads(line)
    return (row["vcpu"], int(row["pc"], 16), int(row["opcode"], 16), row["disassembly"],
            [(x["kind"], int(x["address"], 16)) for x in row["accesses"]],
            [(name, int(value, 16), len(value))
             for name, value in row.get("registers", {}).items()])


def as_qemu(row, version, target):
    """Ours, as QEMU would print it."""
    registers = row[5]
    if target in BIG_ENDIAN:
        registers = [(name, int.from_bytes(value.to_bytes(size // 2 - 1, "little"), "big"), size)
                     for name, value, size in registers]
    return row[:2] + (row[2] & 0xffffffff,) + row[3:5] + (registers,)


def comparable(row, version, ours):
    """QEMU 7.2 prints four bytes, whatever the size of the instruction."""
    if version == 72:
        size = max(1, (ours[2].bit_length() + 7) // 8)
        return row[:2] + (row[2] & ((1 << 8 * min(size, 4)) - 1),) + row[3:]
    return row


def execlog_lines(path):
    lines = {"text": collections.defaultdict(list), "csv": collections.defaultdict(list),
             "json": collections.defaultdict(list), "header": []}
    split = {"text": split_text, "csv": split_csv, "json": split_json}
    with open(path, encoding="utf-8") as file:
        for line in file:
            line = line.rstrip("\n")
            if line == "":
                continue # QEMU's, for a vCPU that has executed nothing that was wanted
            if line.startswith("vcpu,"):
                lines["header"].append(line)
                continue
            kind = ("json" if line[0] == "{" else
                    "text" if re.match(r"\d+, ", line) else "csv")
            row = split[kind](line)
            lines[kind][row[0]].append(row)
    return lines


def execlog(version, target, path):
    version, n = int(version), 0
    lines = execlog_lines(path)
    expect(len(lines["header"]) == 1, "%d headers" % len(lines["header"]))
    for vcpu, both in lines["text"].items():
        # QEMU 10.0 looks at registers, forgets the line and at exit prints it once more
        if len(both) % 2 and both[-1] == both[-2]:
            both.pop()
        # at each instruction the plugin that was loaded last prints first: ours
        ours, theirs = both[0::2], both[1::2]
        expect(lines["csv"][vcpu] == ours, "csv is not text on vCPU %d" % vcpu)
        expect(lines["json"][vcpu] == ours, "json is not text on vCPU %d" % vcpu)
        expect(len(ours) == len(theirs), "%d lines, QEMU has %d" % (len(ours), len(theirs)))
        for mine, other in zip(ours, theirs):
            expect(as_qemu(mine, version, target) == comparable(other, version, mine),
                   "%s, QEMU: %s" % (mine, other))
        n += len(ours)
    expect(n > 0, "no lines")
    print("%d lines" % n)


# ---- bbv ----

def read_vectors(path):
    with open(path, encoding="ascii") as file:
        for line in file:
            expect(re.fullmatch(r"T(:\d+:\d+ )+\n", line), "%s: '%s'" % (path, line))
            yield sorted(tuple(map(int, x.split(":"))) for x in line[2:].strip().split(" :"))


def read_files(prefix):
    return {name[len(prefix):]: list(read_vectors(name)) for name in glob.glob(prefix + ".*.bb")}


def vectors(a, b, n=None):
    a, b = read_files(a), read_files(b)
    expect(n is None or len(a) == int(n), "%d files" % len(a))
    expect(a and a.keys() == b.keys(), "files %s and %s" % (sorted(a), sorted(b)))
    expect(a == b, "the lines differ in %s" % [name for name in a if a[name] != b[name]])
    print("%d files, %d lines" % (len(a), sum(map(len, a.values()))))


def intervals(path, size, total):
    """Each interval ends with the first block that completes it."""
    size, total, done = int(size), int(total), 0
    for i, line in enumerate(read_vectors(path)):
        done += sum(insns for _, insns in line)
        expect((i + 1) * size <= done < (i + 1) * size + 600, "line %d ends at %d" % (i, done))
    expect(total - size < done <= total, "%d instructions of %d" % (done, total))
    print("%d of %d instructions" % (done, total))


# ---- drcov ----

def read_drcov(path):
    with open(path, "rb") as file:
        data = file.read()
    lines, at = [], 0
    for _ in range(6):
        end = data.index(b"\n", at)
        lines.append(data[at:end].decode())
        at = end + 1
    expect(lines[0] == "DRCOV VERSION: 2" and lines[1].startswith("DRCOV FLAVOR: "), "no header")
    n_modules = re.fullmatch(r"Module Table: version 2, count (\d+)", lines[2])[1]
    expect(n_modules == "1", n_modules + " modules")
    columns = lines[3][len("Columns: "):].split(", ")
    module = dict(zip(columns, lines[4].split(", ", len(columns) - 1)))
    n = int(re.fullmatch(r"BB Table: (\d+) bbs", lines[5])[1])
    expect(len(data) - at == 8 * n, "%d bytes for %d blocks" % (len(data) - at, n))
    return module, [x for x in struct.iter_unpack("<IHH", data[at:])]


def drcov(path, log):
    module, entries = read_drcov(path)
    expect(module["id"] == "0" and module["path"].startswith("/"), str(module))
    begin, end = int(module["base"], 16), int(module["end"], 16)
    expect(begin <= int(module["entry"], 16) <= end, str(module))
    expect(all(size > 0 and number == 0 for _, size, number in entries), "a bad entry")
    rows, _ = Log(log).section("hotblocks", "text")
    executed = {int(row[0], 16) & 0xffffffff for row in rows if int(row[3]) > 0}
    expect({start for start, _, _ in entries} == executed, "not the blocks of hotblocks")
    print("%d blocks" % len(entries))


commands = {f.__name__: f for f in (reports, vcpus, execlog, vectors, intervals, drcov)}
if len(sys.argv) < 2 or sys.argv[1] not in commands:
    sys.exit(__doc__)
commands[sys.argv[1]](*sys.argv[2:])
