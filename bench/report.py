# SPDX-License-Identifier: GPL-2.0-or-later
"""The rows of the table as text, which is Markdown, too."""

import os
import platform
import statistics
import subprocess
import time

from programs import APART

MIB = 1024.0  # KiB
RING = 8  # MiB, the recorder's default for a vCPU
RINGS = 256  # MiB, for all of them
QUIET = 0.3  # load of a machine that does nothing but this, before it begins

COLUMNS = [  # of the file, in qtrace-dump's words; what a trace has none of is left out
    "block", "started", "access-shape", "access-address", "access-literal", "phys", "device",
    "value", "value-literal", "event", "summary", "definitions", "second copy", "index"]

EXPLANATION = """\
Made by `bench/run`, which says with `--help` how to make less of it. A row is a program under a
QEMU: without plugin (*none*); with the *floor*, a plugin that has one empty callback for each
block and one for each access and does nothing else (`bench/anchor.c`; for *threads* on 7.2, where
inline operations are not for each vCPU, one for each instruction and each access); with qtrace,
everything recorded, nothing lost; with QEMU's own execlog, ended after a second. They take turns,
and the processors take turns as that of a single vCPU. Figures are medians, in parentheses the
least and the greatest. *chase* (pointer chasing, nothing else) and *linux* (a machine boots, with
physical addresses) are apart from averages and from the limits of size.
"""

TIME = """\
User time of the vCPUs' threads and of the whole process and elapsed time, in seconds. A ratio is
qtrace / floor of runs that were neighbours. execlog: nanoseconds for an instruction, and how many
times as long as with qtrace that is, both elapsed.
"""

COST = """\
Peak resident memory in MiB; *own* is qtrace's above none, without rings (8 MiB for each vCPU). The
trace in MB and in bits for an instruction. Nanoseconds of processor time, user
and system, for an event (a block or an access): of the recorder's thread; and of decoding on one
thread, everything and, for a block, blocks alone, median and best of as many passes as runs.
"""

SIZE = """\
Bits for an instruction, by column of the file. *second copy* is that of the definitions.
"""


def table(header, rows):
    """Aligned, numbers to the right; readable with and without a browser."""
    width = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = ["| " + " | ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                               for i, (cell, w) in enumerate(zip(row, width))) + " |"
             for row in [header, *rows]]
    rule = "|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":")
                          for i, w in enumerate(width)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def with_spread(figure, digits=2):
    return "%.*f (%.*f-%.*f)" % (digits, figure["median"], digits, figure["min"], digits,
                                 figure["max"])


def name(row):
    return "%s %s %s" % (row["version"], row["guest"], row["program"])


def events(row):
    return row["blocks"] + row["accesses"]


def times_execlog(row):
    return row["execlog"]["median"] / (row["wall_qtrace"]["median"] / row["insns"] * 1e9)


def own_memory(row):
    """MiB above QEMU's without plugin, without rings."""
    more = (row["peak_qtrace"]["median"] - row["peak_none"]["median"]) / MIB
    return more - min(RINGS, RING * row["streams"])


def time_table(rows):
    header = ["run", "Minsns", "Mevents"]
    header += ["vCPU none", "floor", "qtrace", "ratio"]
    header += ["process floor", "qtrace", "ratio", "wall none", "floor", "qtrace", "ratio"]
    header += ["execlog", "times"]
    cells = []
    for row in rows:
        cell = [name(row), "%.1f" % (row["insns"] / 1e6), "%.1f" % (events(row) / 1e6)]
        cell += [with_spread(row["vcpu_" + kind]) for kind in ("none", "floor", "qtrace")]
        cell += [with_spread(row["ratio_vcpu"])]
        cell += ["%.2f" % row["process_" + kind]["median"] for kind in ("floor", "qtrace")]
        cell += [with_spread(row["ratio_process"])]
        cell += ["%.2f" % row["wall_" + kind]["median"] for kind in ("none", "floor", "qtrace")]
        cell += [with_spread(row["ratio_wall"])]
        cell += ([with_spread(row["execlog"], 0), "%.0f" % times_execlog(row)]
                 if "execlog" in row else ["-", "-"])
        cells.append(cell)
    return table(header, cells)


def cost_table(rows):
    header = ["run", "peak none", "floor", "qtrace", "own", "MB", "bits/insn", "encode",
              "decode", "best", "blocks", "best", "lost"]
    cells = []
    for row in rows:
        cell = [name(row)]
        cell += ["%.1f" % (row["peak_" + kind]["median"] / MIB)
                 for kind in ("none", "floor", "qtrace")]
        cell += ["%.1f" % own_memory(row), "%.2f" % (row["bytes"] / 1e6), "%.3f" % row["bits"],
                 with_spread(row["encode"])]
        cell += ["%.2f" % row[what][which] for what in ("decode", "decode_blocks")
                 for which in ("median", "min")]
        cell += [str(row["lost"]) if row["whole"] else "%d, not whole" % row["lost"]]
        cells.append(cell)
    return table(header, cells)


def averages(rows):
    """(name, rows) of each QEMU and guest, and of all, that have several programs."""
    counted = [row for row in rows if row["program"] not in APART]
    groups = {}
    for row in counted:
        groups.setdefault("%s %s" % (row["version"], row["guest"]), []).append(row)
    if len(groups) > 1:
        groups["all"] = counted
    return [(group, members) for group, members in groups.items() if len(members) > 1]


def size_table(rows):
    columns = [column for column in COLUMNS
               if any(row["columns"].get(column) for row in rows)]
    header = ["run", *columns, "file"]

    def cells(label, members):
        means = [statistics.mean(row["columns"].get(column, 0) for row in members)
                 for column in columns]
        return [label, *("%.3f" % bits if bits else "-" for bits in means),
                "%.3f" % statistics.mean(row["bits"] for row in members)]

    return table(header, [cells(name(row), [row]) for row in rows] +
                 [cells("average " + group, members) for group, members in averages(rows)])


# ---- limits ----

def single_on(version):
    return lambda row: row["version"] == version and row["program"] not in ("threads", "linux")


LIMITS = [
    # what, of which rows, figure of a row, limit, is it the least that counts?
    ("vCPU / floor, 10.0, one thread", single_on("10.0"),
     lambda row: row["ratio_vcpu"]["median"], 1.10, False),
    ("vCPU / floor, 7.2, one thread", single_on("7.2"),
     lambda row: row["ratio_vcpu"]["median"], 1.20, False),
    ("vCPU / floor, 7.2, threads", lambda row: (row["version"], row["program"]) == (
        "7.2", "threads"), lambda row: row["ratio_vcpu"]["median"], 1.20, False),
    ("wall / floor, mix", lambda row: row["program"] == "mix",
     lambda row: row["ratio_wall"]["median"], 1.30, False),
    ("times as fast as execlog", lambda row: "execlog" in row, times_execlog, 100, True),
    ("bits/insn of a program", lambda row: row["program"] not in APART,
     lambda row: row["bits"], 1.15, False),
    ("encoder, ns/event", lambda row: True, lambda row: row["encode"]["median"], 5, False),
    ("decoder, ns/event", lambda row: True, lambda row: row["decode"]["median"], 4, False),
    ("decoder, ns/block of blocks alone", lambda row: True,
     lambda row: row["decode_blocks"]["median"], 1, False),
    ("own memory, MiB", lambda row: True, own_memory, 32, False),
    ("events lost", lambda row: True, lambda row: row["lost"], 0, False),
]

AVERAGE_LIMIT = 0.75


def limit_table(rows):
    """The worst row for each limit."""
    def line(what, limit, value, where, least):
        held = value >= limit if least else value <= limit
        return [what, "%s %g" % (">=" if least else "<=", limit), "%.3g" % value, where,
                "yes" if held else "no"]

    cells = [line("bits/insn, average", AVERAGE_LIMIT,
                  statistics.mean(row["bits"] for row in members), group, False)
             for group, members in averages(rows)]
    for what, concerns, figure, limit, least in LIMITS:
        concerned = [row for row in rows if concerns(row)]
        if concerned:
            worst = (min if least else max)(concerned, key=figure)
            cells.append(line(what, limit, figure(worst), name(worst), least))
    return table(["what", "limit", "worst", "where", "held"], cells)


# ---- where and when ----

def first_line(*command):
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return run.stdout.partition("\n")[0]


def cpu_model():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def circumstances(top, qemus, settings):
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) / MIB / MIB
    load = os.getloadavg()[0]
    lines = [
        ("date", time.strftime("%Y-%m-%d", time.gmtime())),
        ("qtrace", first_line("git", "-C", top, "describe", "--always", "--dirty")),
        ("machine", "%s, %d processors for this, %.1f GiB" % (
            cpu_model(), len(os.sched_getaffinity(0)), memory)),
        ("kernel", "%s %s" % (platform.system(), platform.release())),
        ("compiler", first_line("cc", "--version")),
        *(("QEMU", first_line(qemu, "--version")) for qemu in qemus),
        ("settings", settings),
        ("load", "%.1f processes wanted a processor in the minute before" % load),
    ]
    if load > QUIET:
        lines.append(("**no results**", "the machine was busy with something else"))
    return "".join("- %s: %s\n" % line for line in lines)


def document(rows, where, failures):
    parts = ["<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n# What recording costs\n",
             EXPLANATION, where]
    if failures:
        parts += ["**Rows that could not be made:**\n",
                  "".join("- %s\n" % failure for failure in failures)]
    parts += ["## Limits\n", limit_table(rows), "## Time\n", TIME, time_table(rows),
              "## Memory, trace, codec\n", COST, cost_table(rows), "## Size\n", SIZE,
              size_table(rows)]
    return "\n".join(parts)
