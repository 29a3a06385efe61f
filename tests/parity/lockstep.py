#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Compares two traces as the analyzer lockstep does, by what qtrace-dump says of them, and checks
# the analyzer's report.
#
#   lockstep.py QTRACE_DUMP A B WINDOW CONTEXT JSON CSV
#
# JSON and CSV are files with its report, made with verbose=on.

import csv
import json
import re
import subprocess
import sys

MATCH = 16
BLOCK = re.compile(r"s(\d+) b\d+ i\d+ id=(\d+) pc=(0x[0-9a-f]+) started=\d+/(\d+)$")
TRANSLATION = re.compile(r"id=(\d+) vaddr=\S+ insns=\d+(?: symbol=(.*))?$")


def dump(program, *arguments):
    """Its output; a trace that is cut has a status but no less of it."""
    done = subprocess.run([program, *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False)
    return done.stdout.decode("utf-8", "replace")


class Run:
    """The blocks of each vCPU index, as (address, instructions, translation)."""

    def __init__(self, program, path):
        streams = json.loads(dump(program, "--json", path))["streams"]
        vcpu = {s["stream"]: s["vcpu"] for s in streams}
        by_stream = {s["stream"]: [] for s in streams}
        for line in dump(program, "--events", path).splitlines():
            m = BLOCK.match(line)
            if m:
                row = (int(m[3], 16), int(m[4]), int(m[2]))
                by_stream[int(m[1])].append(row)
        self.rows = {}
        for stream in sorted(by_stream):
            self.rows.setdefault(vcpu[stream], []).extend(by_stream[stream])
        assert sum(s["blocks"] for s in streams) == sum(map(len, self.rows.values()))
        self.text = {}
        self.read_texts(dump(program, "--blocks", path).splitlines())

    def read_texts(self, lines):
        for i, line in enumerate(lines):
            m = TRANSLATION.match(line)
            if m:
                first = lines[i + 1].split(None, 2)
                self.text[int(m[1])] = (m[2] or "", first[2].strip())


def meet(a, b, i, j, window):
    """The nearest place after i and j, by trying every one: the first that fits is the nearest."""
    end_a, end_b = min(len(a) - i, window), min(len(b) - j, window)
    at = {}
    for y in range(end_b):
        at.setdefault(tuple(b[j + y:j + y + MATCH]), y)
    best = None
    for x in range(end_a):
        y = at.get(tuple(a[i + x:i + x + MATCH]))
        if y is not None and (best is None or x + y < sum(best)):
            best = (x, y)
    return best


def meet_near(a, b, i, j, window):
    """The same for those that are near, which most are."""
    for distance in range(min(window, 100)):
        for x in range(distance + 1):
            y = distance - x
            if i + x < len(a) and j + y < len(b) and \
                    a[i + x:i + x + MATCH] == b[j + y:j + y + MATCH]:
                return x, y
    return meet(a, b, i, j, window)


def insns(rows):
    return sum(row[1] for row in rows)


class Lane:
    """What lockstep shall say of a vCPU."""

    def __init__(self, vcpu, a, b, window, context):
        self.vcpu, self.rows, self.context_size = vcpu, (a, b), context
        # Slices at the very end are shorter, and the same only if both are as short.
        self.key = [[row[:2] for row in rows] for rows in self.rows]
        self.divergences, self.context = [], []
        self.same = self.same_insns = 0
        self.skipped, self.skipped_insns = [0, 0], [0, 0]
        self.rest = [(0, 0), (0, 0)]
        self.compare(window)

    def compare(self, window):
        (a, b), i, j, since, lost = self.key, 0, 0, 0, False
        while i < len(a) and j < len(b) and not lost:
            if a[i] == b[j]:
                self.same += 1
                self.same_insns += a[i][1]
                i, j, since = i + 1, j + 1, since + 1
                continue
            skip = meet_near(a, b, i, j, window)
            lost = skip is None
            x, y = skip or (0, 0)
            self.add_divergence(i, j, x, y, since, lost)
            self.skipped = [self.skipped[0] + x, self.skipped[1] + y]
            self.skipped_insns[0] += insns(a[i:i + x])
            self.skipped_insns[1] += insns(b[j:j + y])
            i, j, since = i + x, j + y, 0
        self.rest = [(len(a) - i, insns(a[i:])), (len(b) - j, insns(b[j:]))]

    def add_divergence(self, i, j, x, y, since, lost):
        number = len(self.divergences) + 1
        a, b = self.rows
        self.divergences.append([
            self.vcpu, number,
            i, self.same_insns + self.skipped_insns[0], "0x%016x" % a[i][0],
            j, self.same_insns + self.skipped_insns[1], "0x%016x" % b[j][0],
            x, y, "lost" if lost else "met"])
        n = self.context_size
        for name, run, first, last in (("=", 0, i - min(n, since), i), ("a", 0, i, i + n),
                                       ("b", 1, j, j + n)):
            for k in range(first, min(last, len(self.rows[run]))):
                self.context.append((number, name, run, k, self.rows[run][k]))

    def runs(self):
        n = len(self.divergences)
        for run in range(2):
            yield [self.vcpu, "ab"[run], n, len(self.rows[run]), insns(self.rows[run]),
                   self.same, self.same_insns, self.skipped[run], self.skipped_insns[run],
                   *self.rest[run]]

    def context_rows(self, text):
        for number, name, run, k, (pc, n, tr) in self.context:
            symbol, disas = text[run][tr]
            yield [self.vcpu, number, name, k, "0x%016x" % pc, n, symbol, disas]


def read_csv(path):
    tables = [[]]
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.reader(file):
            if row:
                tables[-1].append(row)
            else:
                tables.append([])
    return tables


def strip(row):
    return [str(cell).strip() for cell in row]


def expect(what, wanted, found):
    if [strip(row) for row in wanted] == [strip(row) for row in found]:
        return
    for i in range(max(len(wanted), len(found))):
        w, f = wanted[i:i + 1], found[i:i + 1]
        if [strip(row) for row in w] != [strip(row) for row in f]:
            sys.exit(f"{what}, row {i}: {f} instead of {w}")


def main():
    program, path_a, path_b, window, context, json_path, csv_path = sys.argv[1:]
    a, b = Run(program, path_a), Run(program, path_b)
    lanes = [Lane(v, a.rows.get(v, []), b.rows.get(v, []), int(window), int(context))
             for v in sorted(a.rows.keys() | b.rows.keys())]
    lanes = [lane for lane in lanes if lane.rows[0] or lane.rows[1]]
    tables = {
        "runs": [row for lane in lanes for row in lane.runs()],
        "divergences": [row for lane in lanes for row in lane.divergences],
        "context": [row for lane in lanes for row in lane.context_rows((a.text, b.text))],
    }
    with open(json_path, encoding="utf-8") as file:
        report = json.load(file)
    rows = read_csv(csv_path)
    if list(report) != list(tables) or len(rows) != len(tables):
        sys.exit(f"tables: {list(report)}, {len(rows)}")
    for i, (name, wanted) in enumerate(tables.items()):
        expect(f"json, {name}", wanted, [list(row.values()) for row in report[name]])
        expect(f"csv, {name}", wanted, rows[i][1:])
        if report[name] and rows[i][0] != list(report[name][0]):
            sys.exit(f"csv, {name}: columns {rows[i][0]}")
    print(sum(len(lane.divergences) for lane in lanes), sum(lane.same for lane in lanes))


main()
