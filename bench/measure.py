# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs QEMU without plugin, with the anchor, with the recorder and with execlog, in turns."""

import json
import os
import re
import signal
import statistics
import subprocess
import time

HEADERS = {"7.2": "HDR72", "10.0": "HDR100"}
PLUGINS = {"7.2": "PLUGINS72", "10.0": "PLUGINS100"}
KINDS = ("none", "floor", "qtrace")
EXECLOG_SECONDS = 1.0
ENVIRONMENT = {**os.environ, "LC_ALL": "C", "PYTHONHASHSEED": "0"}


class Failure(Exception):
    pass


class Bench:
    """What all measurements share: helpers that were compiled for them, options."""

    def __init__(self, top, build, testbed, folder, recorder_options):
        self.testbed, self.folder = testbed, folder
        self.recorder = build + "/plugin/libqtrace.so"
        self.dump = build + "/tools/qtrace-dump/qtrace-dump"
        self.decoder = folder + "/decode"
        self.trace = folder + "/run.qtr"
        self.recorder_options = "".join("," + option for option in recorder_options)
        self.cpus = sorted(os.sched_getaffinity(0))
        if not os.path.exists(self.recorder):
            raise Failure(self.recorder + " is missing: build first")
        glib = subprocess.run(["pkg-config", "--cflags", "glib-2.0"], check=True, text=True,
                              stdout=subprocess.PIPE).stdout.split()
        for version, headers in HEADERS.items():
            for name in ("anchor", "usage"):
                subprocess.run(["cc", "-shared", "-fPIC", "-O2", *glib, "-isystem",
                                testbed[headers], "%s/bench/%s.c" % (top, name), "-o",
                                "%s/%s-%s.so" % (folder, name, version)], check=True)
        subprocess.run(["cc", "-O2", "-I", top + "/libqtrace/include", top + "/bench/decode.c",
                        "-o", self.decoder, self.recorder,
                        "-Wl,-rpath," + os.path.dirname(self.recorder)], check=True)

    def helper(self, name, version):
        return "%s/%s-%s.so" % (self.folder, name, version)

    def start(self, job, options, error):
        return subprocess.Popen([job.qemu, *options, *job.arguments], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=error, env=ENVIRONMENT,
                                cwd=self.folder)

    def run(self, job, kind, cpu):
        """One run: a dictionary of seconds, and of KiB."""
        usage = self.folder + "/usage"
        where = ",cpu=%d" % cpu if job.single else ""
        options = ["-plugin", "%s,out=%s%s" % (self.helper("usage", job.version), usage, where)]
        if kind == "floor":
            anchor = self.helper("anchor", job.version)
            options += ["-plugin", ",".join(filter(None, [anchor, job.anchor]))]
        elif kind == "qtrace":
            options += ["-plugin", "%s,out=%s,overwrite=on,verbose=on%s" %
                        (self.recorder, self.trace, self.recorder_options)]
        with open(self.folder + "/stderr", "w+b") as error:
            begin = time.monotonic()
            qemu = self.start(job, options, error)
            status = qemu.wait()
            wall = time.monotonic() - begin
            error.seek(0)
            message = error.read().decode(errors="replace")
        if status != 0:
            raise Failure("%s, %s: status %d: %s" % (job.name(), kind, status, message[-300:]))
        with open(usage) as file:
            *times, peak = (float(word) for word in file.read().split())
        os.remove(usage)
        # The process has the vCPUs' threads and the recorder's. Of a single vCPU the time is
        # known; else the recorder says its own (not always: guests close their standard error).
        thread, process = times[:2], times[2:]
        if job.single:
            recorder = [process[0] - thread[0], process[1] - thread[1]]
        else:
            recorder = recorder_times(job, message) if kind == "qtrace" else [0, 0]
        return {"vcpu": process[0] - recorder[0], "process": process[0], "wall": wall,
                "peak": peak, "recorder": sum(recorder)}

    def execlog(self, job):
        """Nanoseconds for an instruction: it writes a line for each. It is too slow to be
        waited for."""
        log = self.folder + "/execlog"
        options = ["-d", "plugin", "-D", log, "-plugin",
                   self.testbed[PLUGINS[job.version]] + "/libexeclog.so"]
        begin = time.monotonic()
        qemu = self.start(job, options, subprocess.DEVNULL)
        try:
            qemu.wait(EXECLOG_SECONDS)
        except subprocess.TimeoutExpired:
            qemu.send_signal(signal.SIGKILL)
            qemu.wait()
        wall = time.monotonic() - begin
        with open(log, "rb") as file:
            lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
        os.remove(log)
        if lines == 0:
            raise Failure("%s: execlog wrote nothing" % job.name())
        return wall / lines * 1e9

    def contents(self, passes):
        """Of the trace: counts, bits by column, what decoding costs."""
        # (of a trace that lost something the tool gives all there is, and fails)
        overview = json.loads(subprocess.run([self.dump, "--json", self.trace], text=True,
                                             stdout=subprocess.PIPE).stdout)
        streams, columns = overview["streams"], overview["columns"]
        row = {name: sum(stream[name] for stream in streams)
               for name in ("insns", "blocks", "accesses", "events")}
        row["lost"] = sum(stream["lost_" + name] for stream in streams
                          for name in ("blocks", "accesses", "events"))
        row.update(streams=len(streams), bytes=overview["file_size"],
                   whole=overview["state"]["status"] == 0)
        row["columns"] = {column["column"]: column["bytes"] * 8 / row["insns"]
                          for column in columns}
        row["bits"] = row["bytes"] * 8 / row["insns"]
        times = subprocess.run([self.decoder, self.trace, str(passes)], check=True, text=True,
                               stdout=subprocess.PIPE).stdout.splitlines()
        for name, line in zip(("decode", "decode_blocks"), times):
            row[name] = dict(zip(("min", "median"), (float(word) for word in line.split())))
        return row


def recorder_times(job, message):
    found = re.search(r"thread took ([\d.]+) s user, ([\d.]+) s system", message)
    if not found:
        raise Failure("%s: the recorder's summary has no time: %s" % (job.name(), message[-300:]))
    return [float(found[1]), float(found[2])]


def spread(values):
    values = list(values)
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def measure(bench, job, runs, with_execlog):
    """A row of the table: of each run its figures, and of each figure median and spread."""
    taken = {kind: [] for kind in KINDS}
    execlog = []
    for i in range(runs):
        for kind in KINDS:
            taken[kind].append(bench.run(job, kind, bench.cpus[i % len(bench.cpus)]))
        if with_execlog:
            execlog.append(bench.execlog(job))
    row = {"version": job.version, "guest": job.guest, "program": job.program}
    for kind in KINDS:
        for what in taken[kind][0]:
            row["%s_%s" % (what, kind)] = spread(run[what] for run in taken[kind])
    for what in ("vcpu", "process", "wall"):
        # of neighbours: what slows down one run slows down the next
        row["ratio_" + what] = spread(q[what] / f[what]
                                      for q, f in zip(taken["qtrace"], taken["floor"]))
    row.update(bench.contents(runs))
    row["encode"] = spread(run["recorder"] / (row["blocks"] + row["accesses"]) * 1e9
                           for run in taken["qtrace"])
    if execlog:
        row["execlog"] = spread(execlog)
    return row
