#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Compares how often each instruction of a program's own functions was executed, by a trace and
# by valgrind. Prints one line; the exit status is 1 if they differ.
#
#   lackey.py GUEST SOURCE BLOCKS EVENTS LACKEY [--once]
#
# SOURCE is the name of the C file whose functions count. BLOCKS and EVENTS are the output of
# qtrace-dump --blocks and --events, LACKEY the log of lackey --trace-mem=yes. With --once,
# repeated string instructions are counted once in the trace, however often they repeat.

import bisect
import collections
import re
import subprocess
import sys


def own_functions(guest, source):
    """[(begin, end)] by ascending address"""
    symbols = subprocess.run(["nm", "-lS", guest], capture_output=True, text=True, check=True)
    pattern = r"([0-9a-f]+) ([0-9a-f]+) [tT] \S+\t.*/%s:\d+" % re.escape(source)
    found = []
    for match in re.finditer(pattern, symbols.stdout, re.MULTILINE):
        begin = int(match[1], 16)
        found.append((begin, begin + int(match[2], 16)))
    return sorted(found)


def trace_counts(blocks, events):
    """address -> executions, address -> disassembly"""
    block = []  # id -> addresses
    disas = {}
    counts = collections.Counter()
    with open(blocks) as lines:
        for line in lines:
            if line.startswith("id="):
                block.append([])
            else:
                address, _, text = line.strip().split(None, 2)
                block[-1].append(int(address[:-1], 16))
                disas[block[-1][-1]] = text
    with open(events) as lines:
        for match in re.finditer(r" id=(\d+) pc=\S+ started=(\d+)/", lines.read()):
            counts.update(block[int(match[1])][:int(match[2])])
    return counts, disas


def lackey_counts(log):
    counts = collections.Counter()
    with open(log) as lines:
        for line in lines:
            if line.startswith("I  "):
                counts[int(line[3:].split(",")[0], 16)] += 1
    return counts


def main():
    guest, source, blocks, events, log = sys.argv[1:6]
    own = own_functions(guest, source)
    begins = [begin for begin, _ in own]
    traced, disas = trace_counts(blocks, events)
    seen = lackey_counts(log)
    total = libc_traced = libc_seen = 0
    wrong = []
    for address in sorted(set(traced) | set(seen)):
        i = bisect.bisect_right(begins, address) - 1
        if i < 0 or address >= own[i][1]:
            libc_traced += traced[address]
            libc_seen += seen[address]
            continue
        total += seen[address]
        repeats = "--once" in sys.argv and disas.get(address, "").startswith("rep")
        if repeats and 0 < traced[address] < seen[address]:
            continue
        if traced[address] != seen[address]:
            wrong.append("%#x: %d, valgrind says %d" % (address, traced[address], seen[address]))
    if wrong or total == 0:
        print("%d addresses differ: %s" % (len(wrong), "; ".join(wrong[:3])))
        return 1
    print("%d in %d functions (of libc %d, valgrind %d)" % (total, len(own), libc_traced,
                                                            libc_seen))
    return 0


sys.exit(main())
