#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Kill QEMU at random moments, and see that the trace has all that was recorded.

    kill.py RUNS SIGNAL LONGEST WITNESS-DUMP TRACE-SUMS QTRACE-DUMP FOLDER COMMAND...

SIGNAL is `none` if something in QEMU does it; all runs must end so within LONGEST seconds. COMMAND, with {folder} replaced, runs QEMU with the witness (shm={folder}/shm) and then, called
before it at each point, the recorder (out={folder}/run.qtr). The witness counts in shared memory:
what its callback has counted, the recorder's callback had returned from before. So per vCPU the
trace must have what the witness has, and at most one block and one access more. Prints a line for
each wrong run and the figures at the end; the status is 1 if anything was wrong.
"""
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time


def fields(line):
    return dict(word.split("=") for word in line.split() if "=" in word)


def lines(text, word):
    found = re.finditer(r"^%s (\d+) (.*)$" % word, text, re.M)
    return {int(m.group(1)): fields(m.group(2)) for m in found}


def compare(kind, witness, trace, witness_sum, trace_sum, before):
    """None, or what is wrong."""
    if trace < witness or trace > witness + 1:
        return "%d %s, the witness has %d" % (trace, kind, witness)
    # killed between its count and its sum, the witness lacks the last one
    allowed = [before] if trace > witness else [trace_sum, before]
    return None if witness_sum in allowed else "other %s" % kind


def accesses(counts):
    return int(counts["loads"]) + int(counts["stores"])


def compare_vcpus(witness, sums):
    have, before = lines(sums, "vcpu"), lines(sums, "before")
    for vcpu, w in lines(witness, "vcpu").items():
        t, b = have.get(vcpu), before.get(vcpu)
        if int(w["blocks"]) == 0:
            continue
        if t is None:
            yield "vCPU %d is missing" % vcpu
            continue
        for wrong in (compare("blocks", int(w["blocks"]), int(t["blocks"]), w["bsum"], t["bsum"],
                              b["bsum"]),
                      compare("accesses", accesses(w), accesses(t), w["asum"], t["asum"],
                              b["asum"]),
                      compare("physical addresses", accesses(w), accesses(t), w["psum"],
                              t.get("psum"), b["psum"]) if "psum" in w else None):
            if wrong:
                yield "vCPU %d: %s" % (vcpu, wrong)


class Kill:
    def __init__(self, number, longest, dump, sums, qtrace_dump, folder, command):
        self.number, self.longest, self.folder = number, longest, folder
        self.dump, self.sums, self.qtrace_dump = dump, sums, qtrace_dump
        self.command = [word.replace("{folder}", folder) for word in command]
        self.runs = self.early = self.ended = self.wrong = self.blocks = 0

    def text(self, *command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return done.returncode, done.stdout, done.stderr

    def once(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        guest = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, start_new_session=True)
        if self.number is None:
            guest.wait(self.longest)
        else:
            time.sleep(random.random() * self.longest)
            guest.send_signal(self.number)
            guest.wait()
        self.runs += 1
        trace, shm = self.folder + "/run.qtr", self.folder + "/shm"
        if not os.path.exists(trace):
            self.early += 1
            return []
        return list(self.problems(trace, shm))

    def problems(self, trace, shm):
        status, out, err = self.text(self.qtrace_dump, "--verify", trace)
        witness = self.text(self.dump, shm)[1] if os.path.exists(shm) else ""
        seen = sum(int(w["blocks"]) for w in lines(witness, "vcpu").values())
        if status == 0 and self.number is not None:
            self.ended += 1
        elif status != 3 or ("gap" in err and seen > 0):
            yield "status %d: %s%s" % (status, out, err)
            return
        sums = self.text(self.sums, "--last", trace)[1]
        self.blocks += seen
        yield from compare_vcpus(witness, sums)
        if status == 3:
            yield from self.recover(trace, sums)

    def recover(self, trace, sums):
        status, out, err = self.text(self.qtrace_dump, "--recover", trace)
        if status != 3 or os.path.exists(trace + ".live"):
            yield "--recover: status %d: %s%s" % (status, out, err)
        elif self.text(self.sums, "--last", trace)[1] != sums:
            yield "other rows after --recover"

    def all(self, runs):
        for _ in range(runs):
            wrong = self.once()
            if wrong:
                self.wrong += 1
                print("run %d: %s" % (self.runs, "; ".join(wrong)))
                shutil.copytree(self.folder, "%s.wrong-%d" % (self.folder, self.runs))
        print("%d kills: %d before there was a file, %d after the end, %d wrong; the witness counted "
              "%d blocks" % (self.runs, self.early, self.ended, self.wrong, self.blocks))
        return self.wrong


def main():
    runs, longest = int(sys.argv[1]), float(sys.argv[3])
    number = None if sys.argv[2] == "none" else getattr(signal, sys.argv[2])
    kill = Kill(number, longest, *sys.argv[4:8], sys.argv[8:])
    sys.exit(1 if kill.all(runs) else 0)


main()
