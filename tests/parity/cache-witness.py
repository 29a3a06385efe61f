#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Checks reports of the analyzers cache, reuse and footprint by other means; for analyzers-cache.sh.

  qemu OURS THEIRS          texts of our cache and of QEMU's: the same but for the order of ties
  model RUN REPORT SPEC...  cache,limit=1,format=json against models of another make
  stack RUN REPORT LINE     reuse,access=unified,exact=on,format=json against counting in a list
  curve REUSE CACHE.N...    all format=json: the misses of fully associative caches of N lines
  footprint RUN REPORT INTERVAL LINE PAGE     format=csv against sets
  json FILE                 three values of well-formed JSON that follow each other
  csv FILE                  tables whose rows have as many cells as their heads

RUN is a folder with the output of `qtrace-dump --events` and `--blocks`, of one vCPU. SPEC:
policy=lru|fifo|plru, and data=, insn=, l2=, llc=SIZE:ASSOC:BLOCK.
Silent if all is well; else says what is not and fails.
"""
import csv
import json
import re
import sys


def fail(text):
    sys.exit("cache-witness: " + text)


def expect(name, got, wanted):
    if got != wanted:
        fail(f"{name}: {got} instead of {wanted}")


# ---- the run ----

def read_blocks(path):
    """id -> [(address, size)]"""
    blocks = {}
    with open(path) as f:
        for text in f:
            if head := re.match(r"id=(\d+) ", text):
                insns = blocks[int(head[1])] = []
            elif row := re.match(r" +0x([0-9a-f]+): ([0-9a-f]+)", text):
                insns.append((int(row[1], 16), len(row[2]) // 2))
    return blocks


block_row = re.compile(r"s\d+ b\d+ i\d+ id=(\d+) pc=\w+ started=(\d+)/").match
access_row = re.compile(
    r"s\d+ a\d+ b\d+ id=\d+ insn=(\d+) pc=\w+ (load|store) (\d+) 0x(\w+)").match


def events(folder):
    """(kind, address, size) in order; kind: i, r, w"""
    blocks = read_blocks(folder + "/blocks")
    insns, at, started = [], 0, 0
    with open(folder + "/events") as f:
        for text in f:
            if row := block_row(text):
                for insn in insns[at:started]:
                    yield ("i", *insn)
                insns, at, started = blocks[int(row[1])], 0, int(row[2])
            elif row := access_row(text):
                for insn in insns[at:int(row[1]) + 1]:
                    yield ("i", *insn)
                at = max(at, int(row[1]) + 1)
                yield ("r" if row[2] == "load" else "w", int(row[4], 16), int(row[3]))
    for insn in insns[at:started]:
        yield ("i", *insn)


# ---- caches ----

class Tree:
    """A binary tree over the ways: each inner node knows on which side the older half is."""

    def __init__(self, ways):
        self.half = ways // 2
        self.older = 0
        self.side = [Tree(self.half), Tree(self.half)] if ways > 1 else None

    def use(self, way):
        if self.side:
            where = way >= self.half
            self.older = 1 - where
            self.side[where].use(way - self.half if where else way)

    def victim(self):
        if not self.side:
            return 0
        return self.older * self.half + self.side[self.older].victim()


class Set:
    def __init__(self, policy, ways):
        self.policy, self.ways = policy, [None] * ways
        self.order = []  # of ways, the next victim first
        self.tree = Tree(ways)
        self.dirty = set()

    def touch(self, block):
        """(hit, block that had to leave)"""
        if block in self.ways:
            way, left = self.ways.index(block), None
            if self.policy == "lru":
                self.order.remove(way)
                self.order.append(way)
        else:
            if None in self.ways:
                way = self.ways.index(None)
            else:
                way = self.tree.victim() if self.policy == "plru" else self.order.pop(0)
            left, self.ways[way] = self.ways[way], block
            if self.policy != "plru":
                self.order.append(way)
            self.tree.use(way)
            return False, left
        self.tree.use(way)
        return True, None


class Cache:
    def __init__(self, policy, spec, below):
        size, assoc, self.block = map(int, spec.split(":"))
        self.sets = [Set(policy, assoc) for _ in range(size // assoc // self.block)]
        self.below = below
        self.accesses = self.misses = self.write_backs = 0

    def set_of(self, block):
        return self.sets[block % len(self.sets)]

    def access(self, address, write):
        block = address // self.block
        where = self.set_of(block)
        self.accesses += 1
        hit, left = where.touch(block)
        if left in where.dirty:
            where.dirty.remove(left)
            self.write_backs += 1
            self.write_back_below(left * self.block)
        if write:
            where.dirty.add(block)
        if not hit:
            self.misses += 1
            if self.below:
                self.below.access(address, False)

    def write_back_below(self, address):
        cache = self.below
        while cache:
            block = address // cache.block
            if block in cache.set_of(block).ways:
                cache.set_of(block).dirty.add(block)
                return
            cache = cache.below


def check_model(folder, report, *specs):
    spec = dict(s.split("=") for s in specs)
    make = lambda name, below: Cache(spec["policy"], spec[name], below) if name in spec else below
    llc = make("llc", None)
    l2 = make("l2", llc)
    data, insn = make("data", l2), make("insn", l2)
    for kind, address, _ in events(folder):
        (insn if kind == "i" else data).access(address, kind == "w")
    got = json.load(open(report))
    for name, cache in ("data", data), ("insn", insn), ("l2", l2 if "l2" in spec else None):
        if cache:
            expect(name + " accesses", got["cores"][0][name + "_accesses"], cache.accesses)
            expect(name + " misses", got["cores"][0][name + "_misses"], cache.misses)
        if cache and name != "insn":
            expect(name + " write-backs", got["write_backs"][0][name + "_write_backs"],
                   cache.write_backs)
    if llc:
        expect("llc", [got["llc"][0]["llc_" + n] for n in ("accesses", "misses", "write_backs")],
               [llc.accesses, llc.misses, llc.write_backs])
    if data.write_backs == 0:
        fail("nothing was written back: this checks too little")


def sections(path):
    return [s.splitlines() for s in re.split(r"\n{2,}", open(path).read().strip("\n"))]


def check_cores(ours, theirs):
    expect("number of cores", len(ours), len(theirs))
    for mine, other in zip(ours, theirs):
        # QEMU 10.0 leaves the columns of an L2 that never missed out.
        if re.fullmatch(r"  \d+ +0 +0\.0000%", mine.removeprefix(other)):
            continue
        expect("core", mine, other)


def check_qemu(ours, theirs):
    ours, theirs = sections(ours), sections(theirs)
    for mine, other in zip(ours, theirs):
        if mine[0].startswith("core"):
            check_cores(mine, other)
            continue
        expect(mine[0], sorted(mine), sorted(other))
        key = [(-int(m[2]), int(m[1], 16))
               for m in (re.match(r"0x([0-9a-f]+).*?, (\d+), ", row) for row in mine[1:])]
        if key != sorted(key):
            fail(mine[0] + ": not in order")
        if key[0][0] == 0:
            fail(mine[0] + ": nothing missed")
    if len(ours) <= len(theirs) or len(theirs) < 3:
        fail(f"{len(ours)} and {len(theirs)} sections")


# ---- stack distances ----

def check_stack(folder, report, line):
    stack, counts, first, n = [], {}, 0, 0
    for _, address, _ in events(folder):
        block, n = address // int(line), n + 1
        if block in stack:
            at = stack.index(block)
            counts[at + 1] = counts.get(at + 1, 0) + 1
            del stack[at]
        else:
            first += 1
        stack.insert(0, block)
    got = json.load(open(report))
    expect("totals", [got["totals"][0][n] for n in ("stack", "accesses", "lines")],
           ["unified", n, first])
    expect("histogram", [(row["from"], row["to"], row["accesses"]) for row in got["histogram"]],
           [(distance, distance, counts[distance]) for distance in sorted(counts)])


def misses_of(reuse, stack, lines):
    fitting = [row for row in reuse["miss_ratio"] if row["stack"] == stack]
    exact = [row["misses"] for row in fitting if row["lines"] == lines]
    if exact:
        return exact[0]
    if lines < max(row["lines"] for row in fitting):
        fail(f"no row for {lines} lines")
    return [row["lines"] for row in reuse["totals"] if row["stack"] == stack][0]


def check_curve(reuse, *caches):
    reuse = json.load(open(reuse))
    for path in caches:
        lines = int(path.rpartition(".")[2])
        cache = json.load(open(path))["cores"][0]
        for stack in "data", "insn":
            accesses = [r["accesses"] for r in reuse["totals"] if r["stack"] == stack]
            expect(stack + " accesses", accesses, [cache[stack + "_accesses"]])
            expect(f"{stack} misses with {lines} lines", misses_of(reuse, stack, lines),
                   cache[stack + "_misses"])


# ---- footprints ----

KINDS = ("i", "rw", "r", "w")


def check_footprint(folder, report, interval, line, page):
    sizes = int(page), int(line)
    touched = {(k, s): set() for k in KINDS for s in sizes}  # (unit, interval)
    insns = 0
    for kind, address, size in events(folder):
        number = max(insns - (kind != "i"), 0) // int(interval)
        insns += kind == "i"
        for k in KINDS:
            for s in sizes if kind in k else ():
                for unit in range(address // s, (address + size - 1) // s + 1):
                    touched[k, s].add((unit, number))
    ends = list(range(int(interval), insns, int(interval))) + [insns]
    within, so_far = [], []
    for number, end in enumerate(ends):
        columns = [touched[k, s] for k in KINDS for s in sizes]
        within.append([end] + [sum(n == number for _, n in c) for c in columns])
        so_far.append([end] + [len({unit for unit, n in c if n <= number}) for c in columns])
    got = [[[int(cell) for cell in row] for row in csv.reader(table[1:])]
           for table in sections(report)]
    expect("within the intervals", got[0], within)
    expect("from the beginning", got[1], so_far)
    if len(ends) < 3:
        fail("too few intervals")


# ---- formats ----

def check_json(path):
    text, n = open(path).read(), 0
    while text.strip():
        value, end = json.JSONDecoder().raw_decode(text.lstrip())
        text, n = text.lstrip()[end:], n + 1
        if not all(isinstance(rows, list) and rows for rows in value.values()):
            fail("an empty table")
    if n != 3:
        fail(f"{n} values")


def check_csv(path):
    for table in sections(path):
        rows = list(csv.reader(table))
        if len(rows) < 2 or len({len(row) for row in rows}) != 1:
            fail("table " + table[0])


if __name__ == "__main__":
    {"qemu": check_qemu, "model": check_model, "stack": check_stack, "curve": check_curve,
     "footprint": check_footprint, "json": check_json, "csv": check_csv,
     }[sys.argv[1]](*sys.argv[2:])
