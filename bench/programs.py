# SPDX-License-Identifier: GPL-2.0-or-later
"""What is recorded: programs, the guests they are for, and their inputs."""

import glob
import os
import subprocess

GUESTS = {
    # name: folder of the test bed, options of QEMU
    "x86_64": ("x86_64", []),
    "aarch64-a57": ("aarch64", ["-cpu", "cortex-a57"]),
    "aarch64-max": ("aarch64", ["-cpu", "max"]),
}

# Inputs are what Debian has of text, not what this repository has: that changes.
HEADERS = "elf math obstack pthread resolv search stdio stdlib string tgmath unistd wchar".split()

WORDS = r"""
import json, re, sys
text = open(sys.argv[1], encoding="utf-8", errors="replace").read()
count = {}
for word in re.findall(r"\w+", text):
    count[word] = count.get(word, 0) + 1
again = json.loads(json.dumps(sorted(count.items(), key=lambda item: (-item[1], item[0]))))
print(len(again), again[:3])
"""

SQL = """
create table word(a, b);
with recursive c(x) as (select 1 union all select x + 1 from c where x < 9000)
insert into word select x, (x * 7919) % 1000 || 'k' from c;
create index by_b on word(b);
select b, count(*), sum(a) from word group by b order by 2 desc, 1 limit 5;
select count(*) from word x join word y on x.b = y.b where x.a < y.a;
"""

COMPILERS = {"x86_64": "gcc", "aarch64": "aarch64-linux-gnu-gcc"}

# The order of the table. These two are apart from the average: no trace of a chase can be small,
# and a machine has more to record of each access.
PROGRAMS = ["gzip", "python3", "sort", "sqlite3", "cc1", "xz", "mix", "threads", "chase", "linux"]
APART = ["chase", "linux"]


class Inputs:
    """Files that programs read, in a folder; and where the programs are."""

    def __init__(self, folder, testbed, top):
        self.testbed = testbed
        self.text = os.path.join(folder, "text")
        self.words = os.path.join(folder, "words.py")
        self.preprocessed = {}
        text = b"".join(open(path, "rb").read() for path in self._texts())
        with open(self.text, "wb") as file:
            file.write(text)
        for name, size in (("part", 150000), ("piece", 60000)):
            setattr(self, name, os.path.join(folder, name))
            with open(getattr(self, name), "wb") as file:
                file.write(text[:size])
        with open(self.words, "w") as file:
            file.write(WORDS)
        for arch, compiler in COMPILERS.items():
            self.preprocessed[arch] = os.path.join(folder, arch + ".i")
            subprocess.run([compiler, "-E", "-P", top + "/tests/guests/threads.c", "-o",
                            self.preprocessed[arch]], check=True)

    @staticmethod
    def _texts():
        licenses = sorted(glob.glob("/usr/share/common-licenses/*"))
        return ([path for path in licenses if not os.path.islink(path)] +
                ["/usr/include/%s.h" % name for name in HEADERS])

    def command(self, program, arch):
        """Of a program in a process of its own, as arguments of QEMU's user mode."""
        own = {"mix": ["800"], "chase": ["5000"], "threads": ["4", "3000"]}
        if program in own:
            return [os.path.join(self.testbed["GUESTS"], arch, program)] + own[program]
        root = "" if arch == "x86_64" else os.path.join(self.testbed["PROGRAMS"], arch)
        path, *arguments = {
            "gzip": ["/bin/gzip", "-c", self.text, self.text],
            "python3": ["/usr/bin/python3.11", "-I", "-S", "-B", self.words, self.part],
            "sort": ["/usr/bin/sort", "--parallel=1", self.text, self.text, self.text],
            "sqlite3": ["/usr/bin/sqlite3", ":memory:", SQL],
            "cc1": ["/usr/lib/gcc/%s-linux-gnu/12/cc1" % arch, "-quiet", "-O1", "-fpreprocessed",
                    self.preprocessed[arch], "-o", "/dev/null"],
            "xz": ["/usr/bin/xz", "-c", self.piece],
        }[program]
        return (["-L", root] if root else []) + [root + path] + arguments


class Job:
    """One row of the table."""

    def __init__(self, version, guest, program, testbed, inputs):
        self.version, self.guest, self.program = version, guest, program
        self.system = program == "linux"
        self.single = program not in ("threads", "linux")  # all of it on one thread
        self.anchor = "insns=on" if program == "threads" and version == "7.2" else ""
        arch, options = GUESTS[guest]
        if self.system:
            folder, name = testbed["SYSTEM100"], "qemu-system-" + arch
            self.arguments = ["-display", "none", "-monitor", "none", "-serial", "stdio", "-nic",
                              "none", "-no-reboot", "-m", "256", "-kernel",
                              testbed["MACHINES"] + "/vmlinuz", "-initrd",
                              testbed["MACHINES"] + "/initrd.gz", "-append",
                              "console=ttyS0 quiet cryptomgr.notests"]
        else:
            folder, name = testbed["QEMU10"], "qemu-" + arch
            self.arguments = options + inputs.command(program, arch)
        self.qemu = name if version == "7.2" else os.path.join(folder, name)

    def name(self):
        return "%s %s %s" % (self.version, self.guest, self.program)


def jobs(versions, guests, programs, testbed, inputs):
    return [Job(version, guest, program, testbed, inputs)
            for version in versions for guest in guests for program in PROGRAMS
            if program in programs and (program != "linux" or guest == "x86_64")]
