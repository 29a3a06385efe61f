# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that are made to do harm: each must be called damaged or refused, by every mode, within
the limits of memory and time. usage: hostile.py QTRACE-DUMP READER-DIRECTORY TEMPORARY-DIRECTORY"""

import os
import struct
import subprocess
import sys
import time

dump, reader, tmp = sys.argv[1:]
sys.path.insert(0, reader)
from qtr import crc32c  # noqa: E402

MAX_RSS_KIB = 80 << 10  # 64 MiB, the program itself and what is not its data
MAX_SECONDS = 20
NONCE = b"hostile!"
HEADER, RUN, FRAME, END, MARK = range(1, 6)


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def text(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


class File:
    def __init__(self):
        self.data = b""
        self.seq = 0
        self.put(HEADER, text(3, b"hostile"))

    def put(self, kind, body, behind=b""):
        head = b"QTRframe" + NONCE + struct.pack("<IHHI", self.seq, kind, 1, len(body))
        crc = crc32c(head + body)
        self.data += struct.pack("<II", 0x184D2A5C, 32 + len(body)) + head
        self.data += struct.pack("<I", crc) + body + behind
        self.seq += 1

    def frame(self, fields, columns=()):
        """columns: (id, rows, raw size, codec, stored bytes, stored size or None)"""
        body = fields
        for ident, rows, raw, codec, stored, size in columns:
            column = number(1, ident) + number(3, rows) + number(4, 1) + number(5, codec)
            column += number(6, raw) + number(7, len(stored) if size is None else size)
            column += varint(8 << 3 | 5) + struct.pack("<I", crc32c(stored)) + number(9, 1)
            body += text(15, column)
        self.put(FRAME, body, b"".join(column[4] for column in columns))

    def end(self, fields=b""):
        at = len(self.data)
        self.put(END, text(1, b"exit") + fields)
        self.put(MARK, struct.pack("<QQ", at, len(self.data) + 56))
        return self.data


def lz4_zeros(n):
    """An LZ4 frame of n zero bytes, from the tool. (They never are in our memory: what a child is
    said to have used begins with what its parent once had.)"""
    zeros = os.path.join(tmp, "zeros")
    with open(zeros, "wb") as out:
        out.truncate(n)
    return subprocess.run(["lz4", "-9", "-c", "--content-size", zeros], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def raw(data):
    return struct.pack("<II", 0x184D2A5D, len(data)) + data


def files():
    rows = number(7, 10) + number(8, 10) + number(20, 8)
    for bits in (28, 31, 32, 40, 63, 64):
        size = (1 << bits) - 1
        file = File()
        file.frame(rows, [(1, 10, size, 1, b"x" * 100, None)])
        yield "a column of 2^%d bytes" % bits, file.end()
        file = File()
        file.frame(rows, [(1, 10, 100, 1, b"x" * 100, size)])
        yield "a column stored in 2^%d bytes" % bits, file.end()
        file = File()
        file.frame(number(7, size) + number(9, size) + number(20, 16), [])
        yield "2^%d rows" % bits, file.end()
        file = File()
        file.frame(number(3, size) + number(4, size) + rows, [])
        yield "ordinals of 2^%d" % bits, file.end()
        file = File()
        file.frame(number(17, size), [(16, size, 50, 0, raw(bytes(50)), None)])
        yield "2^%d translations" % bits, file.end()
        file = File()
        file.frame(number(1, size & 0xffffffff) + rows, [])
        yield "stream 2^%d" % bits, file.end(text(4, number(1, size & 0xffffffff)))
        file = File()
        file.frame(b"", [(17, 1, 100, 0, raw(bytes(100)), None)])
        yield "an index at 2^%d" % bits, file.end(number(5, size) + number(6, size))
    for megabytes in (15, 60, 200):
        bomb = lz4_zeros(megabytes << 20)
        for ident, fields in ((1, rows), (6, rows + number(10, 1 << 15)), (7, rows),
                              (8, rows + number(9, 10)),
                              (16, number(17, 100)), (17, b"")):
            file = File()
            file.frame(fields, [(ident, 10, megabytes << 20, 1, bomb, None)])
            yield "%d MiB of zeros in column %d" % (megabytes, ident), file.end()
    file = File()
    for _ in range(3000):
        file.frame(number(1, 7) + number(7, 1 << 20) + number(9, 1 << 20) + number(20, 16), [])
    yield "frames of millions of rows without columns", file.end()
    file = File()
    for i in range(3000):
        file.frame(number(1, i * 80) + rows, [])
    yield "thousands of streams", file.end()
    file = File()
    file.put(RUN, text(15, b"") * 100000)
    yield "a command line of empty words, totals of one stream", file.end(text(4, b"") * 100000)
    file = File()
    file.put(FRAME, (text(15, b"") * 30000))
    yield "columns without end", file.end()
    file = File()
    file.put(FRAME, b"\x0b" * 60000)
    yield "groups within groups", file.end()
    yield "marks without end", File().data + (b"\x5c\x2a\x4d\x18" + b"\xff" * 4 + b"QTRframe"
                                              + NONCE) * 100000
    yield "an end mark alone", File().end()[-56:]
    file = File()
    file.frame(b"", [(17, 1, 2, 0, raw(number(1, len(file.data))), None)])
    yield "an index that leads to itself", file.end(number(5, len(file.data)) + number(6, 1))


def run(path, mode):
    begin = time.monotonic()
    child = subprocess.Popen([dump, *mode, path], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, usage.ru_maxrss, time.monotonic() - begin


def main():
    worst = (0, 0)
    for name, data in files():
        path = os.path.join(tmp, "hostile.qtr")
        with open(path, "wb") as out:
            out.write(data)
        wrong = []
        for mode in ([], ["--verify"], ["--events"], ["--summary"], ["--blocks"], ["--frames"],
                     ["--json"], ["--events", "--vcpu", "0", "--from", "5", "--count", "1"]):
            status, rss, seconds = run(path, mode)
            worst = (max(worst[0], rss), max(worst[1], seconds))
            allowed = (4, 6) if mode == ["--verify"] else (0, 1, 3, 4, 6)
            if status not in allowed or rss > MAX_RSS_KIB or seconds > MAX_SECONDS:
                wrong.append("%s: status %d, %d KiB, %.1f s" % (" ".join(mode) or "overview",
                                                                status, rss, seconds))
        print("not ok hostile: %s - %s" % (name, "; ".join(wrong)) if wrong
              else "ok hostile: %s" % name)
    print("ok hostile: at most %d KiB and %.1f s" % worst)


main()
