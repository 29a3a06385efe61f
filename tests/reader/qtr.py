#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Independent reader of qtrace files, written from FORMAT.md and trace.proto alone.

    qtr.py TRACE           print the event log, the streams one after the other by number
    qtr.py --frames TRACE  list the frames in their order, found by walking over the file
    qtr.py --index TRACE   list the frames, found through the index; without one, by walking
    qtr.py --self-test     decode the test vectors of FORMAT.md

A line of the list: offset, size, kind; then stream, first ordinals and counts of rows, or what
else the frame holds.

Exit status, the largest that applies: 0 whole, 1 other failure, 2 usage, 3 incomplete (no end
mark), 4 damaged, 5 losses were counted, 6 refused (something unknown that is mandatory).
"""

import ctypes
import os
import struct
import sys
from collections import Counter
from types import SimpleNamespace

OK, FAILURE, USAGE, INCOMPLETE, DAMAGED, LOSSES, REFUSED = range(7)

M32 = 0xffffffff
M64 = 0xffffffffffffffff
MIB = 1 << 20


class Damage(Exception):
    """These bytes are not what a writer writes."""
    status = DAMAGED


class Refused(Exception):
    """A mandatory thing that this reader does not know."""
    status = REFUSED


def need(condition, text):
    if not condition:
        raise Damage(text)


# Checksums

def _crc_tables():
    first = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
        first.append(value)
    tables = [first]
    for _ in range(7):
        tables.append([first[v & 255] ^ v >> 8 for v in tables[-1]])
    return tables


_CRC = _crc_tables()


def crc32c(data):
    """CRC32C, eight bytes at a time."""
    t0, t1, t2, t3, t4, t5, t6, t7 = _CRC
    crc = M32
    whole = len(data) & ~7
    for low, high in struct.iter_unpack("<II", data[:whole]):
        low ^= crc
        crc = (t7[low & 255] ^ t6[low >> 8 & 255] ^ t5[low >> 16 & 255] ^ t4[low >> 24]
               ^ t3[high & 255] ^ t2[high >> 8 & 255] ^ t1[high >> 16 & 255] ^ t0[high >> 24])
    for byte in data[whole:]:
        crc = t0[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ M32


_P1, _P2, _P3, _P4, _P5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393


def xxh32(data):
    """The checksum of LZ4 frames, with seed 0."""
    def lane(value, word):
        value = value + word * _P2 & M32
        return (value << 13 | value >> 19) * _P1 & M32

    whole = len(data) & ~15
    value = _P5
    if whole:
        a, b, c, d = (_P1 + _P2) & M32, _P2, 0, -_P1 & M32
        for e, f, g, h in struct.iter_unpack("<IIII", data[:whole]):
            a, b, c, d = lane(a, e), lane(b, f), lane(c, g), lane(d, h)
        value = ((a << 1 | a >> 31) + (b << 7 | b >> 25)
                 + (c << 12 | c >> 20) + (d << 18 | d >> 14))
    value = value + len(data) & M32
    words = len(data) & ~3
    for word, in struct.iter_unpack("<I", data[whole:words]):
        value = value + word * _P3 & M32
        value = (value << 17 | value >> 15) * _P4 & M32
    for byte in data[words:]:
        value = value + byte * _P5 & M32
        value = (value << 11 | value >> 21) * _P1 & M32
    value = (value ^ value >> 15) * _P2 & M32
    value = (value ^ value >> 13) * _P3 & M32
    return value ^ value >> 16


# LZ4

def _load_liblz4():
    """liblz4, which is faster; without it the functions below do the same."""
    try:
        lib = ctypes.CDLL("liblz4.so.1")
        lib.LZ4F_decompress.restype = ctypes.c_size_t
        lib.LZ4F_decompress.argtypes = [ctypes.c_void_p] * 6
        lib.LZ4F_createDecompressionContext.restype = ctypes.c_size_t
        lib.LZ4F_freeDecompressionContext.argtypes = [ctypes.c_void_p]
        lib.LZ4F_isError.argtypes = [ctypes.c_size_t]
    except (OSError, AttributeError):
        return None
    return lib


_LIBLZ4 = _load_liblz4()


def lz4_frame(data, size):
    """The content of one LZ4 frame, of which the size is known."""
    need(len(data) >= 15 and data[:4] == b"\x04\x22\x4d\x18", "no LZ4 frame")
    # version 1, block checksums, content size and checksum; reserved bit and dictionary off
    need(data[4] & ~0x20 == 0x5c, "LZ4 frame of another kind")
    need(data[14] == xxh32(data[4:14]) >> 8 & 255, "wrong checksum of the LZ4 frame header")
    need(struct.unpack_from("<Q", data, 6)[0] == size, "wrong LZ4 content size")
    return _lz4_frame_lib(data, size) if _LIBLZ4 else _lz4_frame_python(data, size)


def _lz4_frame_lib(data, size):
    context = ctypes.c_void_p()
    error = _LIBLZ4.LZ4F_createDecompressionContext(ctypes.byref(context), 100)
    if _LIBLZ4.LZ4F_isError(error):
        raise MemoryError
    out = ctypes.create_string_buffer(size)
    read = written = 0
    try:
        while True:
            n_in = ctypes.c_size_t(len(data) - read)
            n_out = ctypes.c_size_t(size - written)
            hint = _LIBLZ4.LZ4F_decompress(
                context, ctypes.addressof(out) + written, ctypes.byref(n_out),
                data[read:], ctypes.byref(n_in), None)
            need(not _LIBLZ4.LZ4F_isError(hint), "corrupt LZ4 frame")
            read += n_in.value
            written += n_out.value
            if not hint:
                break
            need(n_in.value or n_out.value, "LZ4 frame cut off")
    finally:
        _LIBLZ4.LZ4F_freeDecompressionContext(context)
    need(read == len(data) and written == size, "wrong size of the LZ4 frame")
    return out.raw


def _lz4_frame_python(data, size):
    def word():
        need(pos + 4 <= len(data), "LZ4 frame cut off")
        return struct.unpack_from("<I", data, pos)[0]

    independent = data[4] & 0x20
    need(data[5] & 0x8f == 0 and data[5] >> 4 >= 4, "wrong LZ4 block size")
    largest = 1 << 8 + 2 * (data[5] >> 4)
    out = bytearray()
    pos = 15
    while True:
        head = word()
        pos += 4
        if not head:
            break
        length = head & 0x7fffffff
        need(length <= largest and pos + length <= len(data), "LZ4 block cut off")
        block = data[pos:pos + length]
        pos += length
        need(word() == xxh32(block), "wrong checksum of an LZ4 block")
        pos += 4
        limit = min(size, len(out) + largest)
        if head >> 31:
            need(len(out) + length <= limit, "LZ4 content too long")
            out += block
        else:
            _lz4_block(block, out, len(out) if independent else 0, limit)
    need(word() == xxh32(out), "wrong checksum of the LZ4 content")
    need(pos + 4 == len(data) and len(out) == size, "wrong size of the LZ4 frame")
    return bytes(out)


def _lz4_block(block, out, base, limit):
    """Append the content of a block to out; matches reach back to base."""
    def length(nibble, pos):
        if nibble == 15:
            while True:
                nibble += block[pos]
                pos += 1
                if block[pos - 1] != 255:
                    break
        return nibble, pos

    pos = 0
    try:
        while True:
            token = block[pos]
            literals, pos = length(token >> 4, pos + 1)
            need(pos + literals <= len(block), "LZ4 literals cut off")
            need(len(out) + literals <= limit, "LZ4 content too long")
            out += block[pos:pos + literals]
            pos += literals
            if pos == len(block):
                return
            offset = block[pos] | block[pos + 1] << 8
            match, pos = length(token & 15, pos + 2)
            match += 4
            start = len(out) - offset
            need(offset and start >= base, "LZ4 match before the beginning")
            need(len(out) + match <= limit, "LZ4 content too long")
            if offset >= match:
                out += out[start:start + match]
            else:
                out += (out[start:] * (match // offset + 1))[:match]
    except IndexError:
        raise Damage("LZ4 block cut off") from None


# Numbers and messages

def unzigzag(value):
    return value >> 1 ^ -(value & 1)


class Cursor:
    """Reads the raw bytes of a column or message from the front."""

    def __init__(self, data):
        self.data = data
        self.pos = 0
        self.tokens_over = False

    def byte(self):
        need(self.pos < len(self.data), "bytes missing")
        self.pos += 1
        return self.data[self.pos - 1]

    def varint(self):
        value = self.byte()
        if value < 128:
            return value
        value &= 127
        for shift in range(7, 70, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                need(value <= M64, "varint of more than 64 bits")
                return value
        raise Damage("varint of more than 10 bytes")

    def bytes(self, count):
        need(count <= len(self.data) - self.pos, "bytes missing")
        self.pos += count
        return self.data[self.pos - count:self.pos]

    def more(self):
        return self.pos < len(self.data)

    def token(self, kinds):
        """(run, kind of the surprise); behind the last token a run without end."""
        if not self.more():
            self.tokens_over = True
            return 1 << 99, None
        top = 256 // kinds
        kind, run = divmod(self.byte(), top)
        need(kind < kinds, "no such token")
        if run == top - 1:
            run += self.varint()
        return run, kind

    def finish(self, tokens=False):
        need(not self.more() and (self.tokens_over or not tokens), "bytes behind the last row")


def packed(data):
    """The numbers of a packed field."""
    if data.isascii():
        return list(data)
    values = []
    value = shift = 0
    for byte in data:
        value |= (byte & 127) << shift
        if byte < 128:
            need(value <= M64, "varint of more than 64 bits")
            values.append(value)
            value = shift = 0
        else:
            shift += 7
            need(shift < 70, "varint of more than 10 bytes")
    need(not shift, "bytes missing")
    return values


# A schema maps field numbers to a name and what the field holds: "u32", "u64", "fixed32", "bytes"
# (also for text and packed numbers), a list of bytes, or the schema of repeated messages.
_WIRE = {"u32": 0, "u64": 0, "fixed32": 5}


def _fields(names, kind="u64"):
    return {number: (name, kind) for number, name in names.items()}


HEADER = {1: ("version", "u32"), 2: ("incompatible", "u64")}
COLUMN = {1: ("id", "u32"), 2: ("row_kind", "u32"), 3: ("rows", "u64"), 4: ("encoding", "u32"),
          5: ("codec", "u32"), 6: ("raw_size", "u64"), 7: ("stored_size", "u64"),
          8: ("crc32c", "fixed32"), 9: ("mandatory", "u64")}
FRAME = {1: ("stream", "u32"), 2: ("vcpu", "u32"), 15: ("columns", COLUMN),
         20: ("table_bits", "u32"),
         **_fields({3: "first_block", 4: "first_insn", 5: "first_access", 6: "first_event",
                    7: "blocks", 8: "insns", 9: "accesses", 10: "events", 11: "first_seq",
                    12: "last_seq", 13: "first_time", 14: "last_time", 16: "first_translation",
                    17: "translations", 18: "copy", 19: "syscalls", 21: "lost_blocks",
                    22: "lost_insns", 23: "lost_accesses", 24: "lost_events"})}
DEFINITIONS = {1: ("first_id", "u64"), 9: ("names", ["bytes"]),
               **_fields({2: "insns", 3: "vaddr", 4: "form", 5: "skip", 6: "symbol", 7: "haddr",
                          8: "no_haddr", 10: "size", 11: "extra", 12: "data", 13: "disas",
                          14: "same"}, "bytes")}
INDEX = {1: ("previous", "u64"), 2: ("first", "u64"), 3: ("frames", FRAME),
         **_fields({4: "skip", 5: "size", 6: "length"}, "bytes")}
TOTALS = {1: ("stream", "u32"),
          **_fields({number: prefix + what
                     for base, prefix in ((3, ""), (7, "lost_"), (11, "unwritten_"))
                     for number, what in enumerate(("blocks", "insns", "accesses", "events"),
                                                   base)})}
END = {4: ("streams", TOTALS),
       **_fields({3: "translations", 5: "index", 6: "frames", 7: "run", 8: "recovered", 9: "salvaged"})}


def parse(data, schema, once=False):
    """A protobuf message; with once, no field but lists may occur twice."""
    message = SimpleNamespace()
    for name, kind in schema.values():
        empty = b"" if kind == "bytes" else 0 if isinstance(kind, str) else []
        setattr(message, name, empty)
    seen = set()
    cursor = Cursor(data)
    while cursor.more():
        key = cursor.varint()
        value = _wire_value(cursor, key & 7)
        need(0 < key >> 3 < 1 << 29, "malformed message")
        name, kind = schema.get(key >> 3, (None, None))
        if name is None:
            continue
        expected = _WIRE.get(kind, 2) if isinstance(kind, str) else 2
        need(key & 7 == expected, "field %s has the wrong type" % name)
        if isinstance(kind, str):
            need(not (once and name in seen), "field %s occurs twice" % name)
            need(kind != "u32" or value <= M32, "field %s is too large" % name)
            seen.add(name)
            setattr(message, name, value)
        else:
            getattr(message, name).append(parse(value, kind) if isinstance(kind, dict) else value)
    return message


def _wire_value(cursor, wire):
    if wire == 0:
        return cursor.varint()
    if wire == 1:
        return int.from_bytes(cursor.bytes(8), "little")
    if wire == 2:
        return cursor.bytes(cursor.varint())
    need(wire == 5, "malformed message")
    return int.from_bytes(cursor.bytes(4), "little")


# Definitions

def decode_definitions(raw, first, count, known):
    """{translation id: (address, addresses of its instructions, what else is said of them)},
    None for a repetition of what is neither here nor in known."""
    message = parse(raw, DEFINITIONS, once=True)
    need(first + count <= M32 and count <= 1 << 18, "too many translations")
    same = packed(message.same) or [0] * count
    insns = packed(message.insns)
    vaddr = packed(message.vaddr)
    need(message.first_id == first and len(same) == count
         and len(insns) == len(vaddr) == same.count(0), "definitions of other translations")
    total = sum(insns)
    need(all(1 <= n <= 512 for n in insns) and total + count - len(insns) <= 1 << 18,
         "too many instructions")
    sizes, forms = _instruction_forms(message, total)
    addresses, begins = _instruction_addresses(message, insns, vaddr, sizes)
    names = _symbol_names(message, total)
    hosts = _host_addresses(message, addresses)

    result = {}
    number = at = 0
    for ident, distance in enumerate(same, first):
        if distance:
            need(distance <= ident, "repetition of a translation below 0")
            repeated = ident - distance
            result[ident] = known.get(repeated) or result.get(repeated)
            continue
        end = at + insns[number]
        result[ident] = begins[number], addresses[at:end], (forms[at:end], names[at:end],
                                                            hosts[at:end])
        number += 1
        at = end
    return result


def _instruction_addresses(message, insns, vaddr, sizes):
    """Addresses of all instructions, and of all translations that repeat none."""
    skips = packed(message.skip) or [0] * len(sizes)
    need(len(skips) == len(sizes), "wrong number of skips")
    addresses, begins = [], []
    end = 0
    for length, delta in zip(insns, vaddr):
        end = end + unzigzag(delta) & M64
        begins.append(end)
        for i in range(len(addresses), len(addresses) + length):
            skip = skips[i]
            start = end + unzigzag(skip) & M64 if skip else end
            addresses.append(start)
            end = start + sizes[i] & M64
    return addresses, begins


def _instruction_forms(message, total):
    """Sizes of all instructions, and their bytes, extra bytes and disassemblies."""
    numbers, size = packed(message.form), message.size
    extra = message.extra or bytes(len(size))
    need(len(numbers) == total, "wrong number of forms")
    need(len(extra) == len(size) and all(s + e <= 64 for s, e in zip(size, extra)),
         "wrong size of a form")
    need(len(message.data) == sum(size) + sum(extra), "wrong number of instruction bytes")
    need(message.disas.count(0) == len(size) and message.disas[-1:] in (b"", b"\0"),
         "wrong number of disassemblies")
    forms = []
    at = 0
    for s, e, text in zip(size, extra, message.disas.split(b"\0")):
        forms.append((message.data[at:at + s], message.data[at + s:at + s + e], text))
        at += s + e
    new = 0
    used = []
    for form in numbers:
        if form == 0:
            form = new = new + 1
        need(form <= new <= len(size), "no such form")
        used.append(form - 1)
    need(new == len(size), "forms without an instruction")
    return [size[form] for form in used], [forms[form] for form in used]


def _symbol_names(message, total):
    """The names at all instructions, None where there is none."""
    symbols = packed(message.symbol) or [0] * total
    need(len(symbols) == total, "wrong number of symbols")
    need(all(0 not in name for name in message.names), "zero byte in a name")
    need(max(symbols, default=0) <= len(message.names), "no such symbol")
    names = [None, *message.names]
    return [names[symbol] for symbol in symbols]


def _host_addresses(message, addresses):
    """The host addresses of all instructions, None where there is none."""
    without = message.no_haddr or bytes(len(addresses))
    need(len(without) == len(addresses) and set(without) <= {0, 1}, "wrong host address flags")
    deltas = packed(message.haddr)
    need(len(deltas) == without.count(0), "wrong number of host addresses")
    deltas = iter(deltas)
    difference = 0
    result = []
    for none, address in zip(without, addresses):
        if none:
            result.append(None)
        else:
            difference += unzigzag(next(deltas))
            result.append(address + difference & M64)
    return result


# Columns of events

def decode_blocks(cursor, rows, bits):
    """(entries, ids) by row, and the number of entries."""
    ids, candidates, behind, by_id = [None], [[]], [0], {}
    path = [0] * (1 << bits)
    source = previous = fresh = history = 0
    row_entries, row_ids = [0], [None]
    run, kind = cursor.token(6)
    for row in range(1, rows + 1):
        if run:
            run -= 1
            need(source, "block predicted from nothing")
            entry, ident = row_entries[source], row_ids[source]
            source += 1
            after = following(history, ident)
        else:
            if kind < 4:
                foreseen = row_entries[source]
                left = [c for c in candidates[previous] if not foreseen or c != foreseen]
                need(kind < len(left), "no such candidate")
                entry = left[kind]
                ident = ids[entry]
            else:
                delta = 1
                if kind == 5:
                    delta = cursor.varint()
                    need(delta <= M32, "translation id too large")
                    delta = unzigzag(delta)
                ident = fresh = fresh + delta & M32
                entry = by_id.get(ident, 0)
                if not entry and len(ids) < 1 << bits:
                    entry = by_id[ident] = len(ids)
                    ids.append(ident)
                    candidates.append([])
                    behind.append(0)
            path[history >> 32 - bits] = behind[previous] = row
            after = following(history, ident)
            source = path[after >> 32 - bits] or behind[entry]
            path[after >> 32 - bits] = behind[entry] = row + 1
            if entry:
                others = [c for c in candidates[previous] if c != entry]
                candidates[previous] = [entry] + others[:3]
            run, kind = cursor.token(6)
        previous, history = entry, after
        row_entries.append(entry)
        row_ids.append(ident)
    cursor.finish(tokens=True)
    return row_entries[1:], row_ids[1:], len(ids)


def following(history, ident):
    """The history of blocks behind one more."""
    return (history << 3 ^ ident * 2654435761) & M32


def decode_started(cursor, entries, lengths):
    """Instructions that started, by row, and the rows that are not whole."""
    started = list(lengths)
    rows = []
    row = 0
    for number in range(entries):
        delta = cursor.varint()
        row += delta
        need((delta or not number) and row < len(lengths), "wrong row of a block that is not whole")
        started[row] = cursor.varint()
        need(started[row] < lengths[row], "more instructions than the block has")
        rows.append(row)
    cursor.finish()
    return started, rows


STORE, FOREIGN = 0x20, 0x40
NO_BLOCK = M32


def decode_shape(cursor, accesses, blocks, bits, length_of):
    """Nodes and their (block, instruction, flags) by access; and for each end the number of
    accesses before it. blocks is (entries, ids, number of entries)."""
    row_entries, row_ids, entries = blocks
    ends_wanted = len(row_ids) + 1
    # All places in one list: "first" by entry, then the successors by node. "Nowhere" and the
    # places of entry 0 and node 0 always hold 0, so entry 0's can stand for nowhere, too.
    hold = [0] * (entries + 1)
    # By number of the node: (block, instruction, flags) and repeat; and the number by both
    keys, repeats, by_key = [None], [0], {}
    nodes, details, ends = [], [], []
    place, block = 0, NO_BLOCK
    run, kind = cursor.token(3)
    while len(ends) < ends_wanted:
        key = None
        if run:
            run -= 1
            node = hold[place]
            if node:
                key = keys[node]
                need(key[0] == block or key[2] & FOREIGN, "access of another block predicted")
        else:
            node = 0
            if kind:
                key = _access_key(cursor, kind, block, length_of)
                # The node of the access before; 0 at the first of a row and behind a foreign one
                before = max(place - entries, 0)
                repeat = min(repeats[before] + 1, 255) if keys[before] == key else 0
                node = by_key.get((key, repeat), 0)
                if not node and len(keys) < 1 << bits + 1:
                    node = by_key[key, repeat] = len(keys)
                    keys.append(key)
                    repeats.append(repeat)
                    hold.append(0)
            if place != 0 and place != entries:
                hold[place] = node
            run, kind = cursor.token(3)
        if key:
            need(len(nodes) < accesses, "more accesses than the frame has")
            nodes.append(node)
            details.append(key)
            place = 0 if key[2] & FOREIGN else entries + node
        else:
            ends.append(len(nodes))
            if len(ends) < ends_wanted:
                place = row_entries[len(ends) - 1]
                block = row_ids[len(ends) - 1]
    need(len(nodes) == accesses, "fewer accesses than the frame has")
    cursor.finish(tokens=True)
    return nodes, details, ends


def _access_key(cursor, kind, block, length_of):
    foreign = kind == 2
    if foreign:
        block = cursor.varint()
    insn = cursor.varint()
    flags = cursor.byte()
    need(flags < FOREIGN, "unknown flags of an access")
    limit = 512 if block == NO_BLOCK and not foreign else length_of(block)
    need(insn < limit, "access by an instruction that the block has not")
    return block, insn, flags | (FOREIGN if foreign else 0)


class Node:
    """What column 4 knows about a node."""
    __slots__ = "last", "partner", "step", "scaled", "favourite", "number", "salt"

    def __init__(self, number, last):
        self.last = last
        self.partner = self
        self.step = [0] * 5
        self.scaled = 0
        self.favourite = 0
        self.number = number
        self.salt = number * 0x9e3779b1


def decode_addresses(cursor, literals, accesses, bits):
    """Addresses and number of literals; accesses are pairs of a node number and log2 of a size."""
    def hashed(value):
        return (value * 0x9e3779b97f4a7c15 & M64) >> 64 - bits

    def predict(p):
        if p == 0:
            return node.last + node.step[0] & M64
        if p <= 4:
            return recent[p - 1] + node.step[p] & M64
        if p == 5:
            return node.partner.last
        if p == 6:
            return scaled() + node.scaled & M64
        return sequel[hashed(node.last + node.salt)]

    def scaled():
        return (recent[0] << log2 & M64) >> log2_before

    nodes = [Node(0, 0)]
    toucher = [None] * (1 << bits)
    sequel = [0] * (1 << bits)
    recent = [0, 0, 0, 0]
    log2_before = used = 0
    addresses = []
    run, kind = cursor.token(10)
    for number, log2 in accesses:
        if number == len(nodes):
            nodes.append(Node(number, recent[0]))
        node = nodes[number]
        if run:
            run -= 1
            address = predict(node.favourite)
        else:
            if kind >= 2:
                address = predict(kind - 2)
                if kind - 2 != 7:
                    node.favourite = kind - 2
            else:
                base = recent[0] if kind else node.last
                address = base + unzigzag(literals.varint()) & M64
                used += 1
                other = toucher[hashed(address)]
                if other and other is not node and other.last == address:
                    node.partner = other
            node.step = [address - node.last, *[address - r for r in recent]]
            node.scaled = address - scaled()
            sequel[hashed(node.last + node.salt)] = address
            run, kind = cursor.token(10)
        # "q is not 0": node 0 never becomes a partner
        toucher[hashed(address)] = node if number else None
        node.last = address
        recent = [address, *recent[:3]]
        log2_before = log2
        addresses.append(address)
    cursor.finish(tokens=True)
    literals.finish()
    return addresses, used


BIG_ENDIAN = 0x10


class Lane:
    """What column 8 knows about the even or the odd words of a node."""
    __slots__ = "last", "step", "favourite"

    def __init__(self):
        self.last = self.step = self.favourite = 0


class Memory:
    """The bytes that column 8 expects at addresses."""

    def __init__(self, bits):
        self.bits = bits
        self.cells = [(0, bytearray(8)) for _ in range(1 << bits)]

    def _slot(self, number):
        return (number * 0x9e3779b97f4a7c15 & M64) >> 64 - self.bits

    def read(self, address, size):
        result = bytearray()
        for x in range(address, address + size):
            number, place = divmod(x & M64, 8)
            known, held = self.cells[self._slot(number)]
            result.append(held[place] if known == number else 0)
        return result

    def write(self, address, data):
        for x, byte in enumerate(data, address):
            number, place = divmod(x & M64, 8)
            slot = self._slot(number)
            if self.cells[slot][0] != number:
                self.cells[slot] = number, bytearray(8)
            self.cells[slot][1][place] = byte


RAM = -1


def decode_devices(cursor, count):
    """Number, address and name of each."""
    need(count <= 1024, "too many devices")
    devices = []
    for _ in range(count):
        number, address, size = cursor.varint(), cursor.varint(), cursor.varint()
        need(number < 1024 and size <= 247, "impossible device")
        name = bytes(cursor.bytes(size))
        need(0 not in name, "zero in the name of a device")
        devices.append((number, address, name))
    need(len({number for number, _, _ in devices}) == count, "device listed twice")
    cursor.finish()
    return devices


def decode_phys(cursor, addresses, n_devices, bits):
    """What each access reached (RAM, index of a device, None) and its physical address."""
    places = {}
    recent = None
    q = seen = 0
    reached = []
    run, kind = cursor.token(4)
    for v in addresses:
        page, offset = divmod(v, 4096)
        pages = places.setdefault((page * 0x9e3779b97f4a7c15 & M64) >> 66 - bits, [])
        known = [mapping for number, mapping in pages if number == page]
        if run:
            run -= 1
            mapping = known[0] if known else recent
            need(mapping is not None, "nothing is known of a page")
            if not known:
                pages[:] = [(page, mapping), *pages[:1]]
        elif kind == 0:
            need(len(known) == 2, "page without a second mapping")
            mapping = known[1]
            pages.reverse()
            run, kind = cursor.token(4)
        else:
            what, difference = None, 0
            if kind == 2:
                what = cursor.varint()
                need(what <= seen and what < n_devices, "device not listed")
                seen = max(seen, what + 1)
            if kind < 3:
                what = RAM if kind == 1 else what
                q = q + unzigzag(cursor.varint()) & M64
                difference = (q << 12 & M64 | q >> 52) + offset - v & M64
            mapping = what, difference
            pages[:] = [(page, mapping), *pages[:1]]
            run, kind = cursor.token(4)
        recent = mapping
        reached.append((mapping[0], 0 if mapping[0] is None else v + mapping[1] & M64))
    need(seen == n_devices, "device that nobody accessed")
    cursor.finish(tokens=True)
    return reached


def decode_values(cursor, literals, accesses, bits):
    """Values and number of literals; accesses are triples of node number, flags and address."""
    def predict(p):
        if p == 0:
            return int.from_bytes(memory.read(at, size), order)
        return lane.last + lane.step if p == 1 else recent[p - 2]

    largest = cursor.byte()
    need(largest <= 6, "values of impossible sizes")
    memory = Memory(bits)
    lanes = {}
    recent = [0, 0, 0, 0]
    used = 0
    values = []
    run, kind = cursor.token(8)
    for number, flags, address in accesses:
        log2 = flags & 7
        if log2 > largest:
            values.append(None)
            continue
        order = "big" if flags & BIG_ENDIAN else "little"
        size = min(1 << log2, 8)
        mask = (1 << 8 * size) - 1
        value = 0
        for w in range((1 << log2) // size):
            at = address + ((1 << log2) - size - 8 * w if flags & BIG_ENDIAN else 8 * w)
            lane = lanes.setdefault((number, w & 1), Lane())
            if run:
                run -= 1
                word = predict(lane.favourite) & mask
            else:
                if kind >= 2:
                    lane.favourite = kind - 2
                    word = predict(kind - 2) & mask
                else:
                    used += 1
                    if kind:
                        word = lane.last + unzigzag(literals.varint()) & mask
                    else:
                        word = int.from_bytes(literals.bytes(size), "little")
                lane.step = word - lane.last
                run, kind = cursor.token(8)
            memory.write(at, word.to_bytes(size, order))
            lane.last = word
            recent = [word, *recent[:3]]
            value |= word << 64 * w
        values.append(value)
    cursor.finish(tokens=True)
    literals.finish()
    return values, used


SYSCALL, TRANSLATION, LOST = 6, 8, 10
EVENTS = {1: ("sync", ()), 2: ("vcpu_init", ("continued",)), 3: ("vcpu_exit", ()),
          4: ("vcpu_idle", ()), 5: ("vcpu_resume", ()),
          SYSCALL: ("syscall", ("num", *["a%d" % i for i in range(1, 9)])),
          7: ("syscall_ret", ("num", "ret")), TRANSLATION: ("translation", ("id",)),
          9: ("flush", ()), LOST: ("lost", ("blocks", "insns", "accesses", "events")),
          11: ("discon", ("type", "from", "to"))}


def decode_events(cursor, frame, ends):
    """[(kind, block, access, seq, time, arguments)]"""
    block = access = ident = 0
    seq, time = frame.first_seq, frame.first_time
    events = []
    for number in range(frame.events):
        kind = cursor.varint()
        if kind not in EVENTS:
            raise Refused("unknown kind of event: %d" % kind)
        block += cursor.varint()
        access += cursor.varint()
        need(block <= frame.blocks, "event behind the last block")
        need((ends[block - 1] if block else 0) <= access <= ends[block], "event at another block")
        delta = cursor.varint()
        seq += delta
        need((delta or not number) and seq <= M64, "wrong sequence number of an event")
        time = time + unzigzag(cursor.varint()) & M64
        count = cursor.varint()
        need(count <= 9, "too many arguments")
        arguments = [cursor.varint() for _ in range(count)]
        if kind == TRANSLATION and arguments:
            ident = arguments[0] = ident + unzigzag(arguments[0]) & M64
        need(kind != LOST or not number and count == 4, "misplaced loss")
        events.append((kind, block, access, seq, time, arguments))
    cursor.finish()
    need(sum(event[0] == SYSCALL for event in events) == frame.syscalls, "wrong number of syscalls")
    lost = events[0][5] if events and events[0][0] == LOST else [0] * 4
    need(lost == lost_before(frame), "the frame and its first event say different losses")
    return events


# Summaries: {(translation id, what, number): how often}, where what is one of these. Accesses
# before the first block row have the id NO_BLOCK and no ROWS.

ROWS, STARTED, LOADS, STORES = range(4)


def count_rows(rows):
    """What the summary of these rows must say."""
    counts = {(ident, ROWS, 0): count for ident, count in Counter(rows.ids).items()}
    for row in rows.not_whole:
        add_counts(counts, {(rows.ids[row], STARTED, rows.started[row]): 1})
    for (ident, insn, flags), count in Counter(rows.accesses).items():
        if ident != NO_BLOCK:
            counts.setdefault((ident, ROWS, 0), 0)
        add_counts(counts, {(ident, STORES if flags & STORE else LOADS, insn): count})
    return counts


def add_counts(counts, others):
    for key, count in others.items():
        counts[key] = counts.get(key, 0) + count


def decode_summary(cursor, rows, limit):
    """A summary that lists so many blocks; at most limit, and as many instructions."""
    need(rows <= limit, "too many blocks in a summary")
    counts = {}
    insns = _summary_accesses(cursor, counts, NO_BLOCK, 0)
    ident = -1
    for _ in range(rows):
        ident += cursor.varint() + 1
        need(ident < NO_BLOCK, "translation id too large")
        count, not_whole = divmod(cursor.varint(), 2)
        counts[ident, ROWS, 0] = count
        if not_whole:
            entries = cursor.varint()
            need(1 <= entries <= 512, "wrong number of entries in a summary")
            started = -1
            for _ in range(entries):
                started += cursor.varint() + 1
                need(started < 512, "wrong number of started instructions in a summary")
                counts[ident, STARTED, started] = cursor.varint()
        insns += _summary_accesses(cursor, counts, ident, count)
        need(insns <= limit, "too many instructions in a summary")
    cursor.finish()
    return counts


def _summary_accesses(cursor, counts, ident, rows):
    entries = cursor.varint()
    need(entries <= 512, "wrong number of entries in a summary")
    insn = -1
    for _ in range(entries):
        delta, kind = divmod(cursor.varint(), 3)
        insn += delta + 1
        need(insn < 512, "wrong instruction in a summary")
        if kind == 2:
            loads, stores = cursor.varint(), cursor.varint()
        else:
            loads, stores = (0, rows) if kind else (rows, 0)
        need(loads or stores, "instruction without accesses in a summary")
        for what, count in ((LOADS, loads), (STORES, stores)):
            if count:
                counts[ident, what, insn] = count
    return entries


# Frames

ROW_KIND = {1: 1, 2: 1, 3: 2, 4: 2, 5: 2, 6: 3, 7: 5, 8: 2, 9: 2, 10: 2, 11: 7, 16: 4, 17: 6}
SUMMARY_COLUMN, DEFINITIONS_COLUMN, INDEX_COLUMN = 7, 16, 17
VALUE_COLUMN, VALUE_LITERAL_COLUMN, PHYS_COLUMN, DEVICE_COLUMN = 8, 9, 10, 11
OPTIONAL = {SUMMARY_COLUMN, VALUE_COLUMN, VALUE_LITERAL_COLUMN, PHYS_COLUMN, DEVICE_COLUMN,
            INDEX_COLUMN}
LARGEST = {DEFINITIONS_COLUMN: 16 * MIB, INDEX_COLUMN: 4 * MIB}
ORDINALS = (("first_block", "blocks"), ("first_insn", "insns"), ("first_access", "accesses"),
            ("first_event", "events"))


def lost_before(frame):
    return [getattr(frame, "lost_" + what) for _, what in ORDINALS]


def frame_kind(frame):
    ids = [column.id for column in frame.columns]
    if frame.translations or DEFINITIONS_COLUMN in ids:
        return "copy" if frame.copy else "definitions"
    return "index" if INDEX_COLUMN in ids else "rows"


def frame_line(frame):
    """The frame's line in the list of frames."""
    kind = frame_kind(frame)
    if kind == "rows":
        rest = "s%d b%d i%d a%d e%d blocks=%d insns=%d accesses=%d events=%d" % (
            frame.stream, *[getattr(frame, first) for first, _ in ORDINALS],
            *[getattr(frame, count) for _, count in ORDINALS])
    elif kind == "index":
        rest = "frames=%d" % sum(c.rows for c in frame.columns if c.id == INDEX_COLUMN)
    else:
        rest = "id=%d translations=%d" % (frame.first_translation, frame.translations)
    return "%d %d %s %s" % (frame.offset, frame.size, kind, rest)


def header_of(frame):
    """What the index tells of a frame."""
    return (frame.offset, frame.size,
            [getattr(frame, name) for name, kind in FRAME.values() if kind != COLUMN],
            [[getattr(column, name) for name, _ in COLUMN.values() if name != "crc32c"]
             for column in frame.columns])


def check_frame(frame):
    """The limits of a frame, before anything is allocated for it."""
    kind = frame_kind(frame)
    columns = frame.columns
    ids = [column.id for column in columns]
    need(len(columns) <= 16, "too many columns")
    need(len(set(ids)) == len(ids), "column occurs twice")
    need(frame.stream < 1 << 18, "stream number too large")
    need(frame.blocks + frame.accesses <= 1 << 21 and frame.events <= 1 << 16, "too many rows")
    need(all(getattr(frame, first) < 1 << 63 for first, _ in ORDINALS), "ordinal too large")
    if kind == "rows":
        need(not frame.blocks + frame.accesses or 8 <= frame.table_bits <= 16, "wrong table_bits")
        return
    need(not frame.blocks + frame.insns + frame.accesses + frame.events,
         "frame of kind %s with rows of a stream" % kind)
    allowed = ([DEFINITIONS_COLUMN] if kind != "index" else
               [i for i in ids if i in (INDEX_COLUMN, SUMMARY_COLUMN) or i not in ROW_KIND])
    need(ids == allowed, "frame of kind %s with other columns" % kind)


def stored_size(frame):
    return sum(column.stored_size for column in frame.columns)


def columns_begin(frame):
    """Where the message of a frame ends and its columns begin."""
    return frame.offset + frame.size - stored_size(frame)


def stored_columns(frame, data):
    """Pairs of a column and its stored bytes in data, None if they do not match its checksum."""
    pos = columns_begin(frame)
    for column in frame.columns:
        stored = data[pos:pos + column.stored_size]
        good = len(stored) == column.stored_size and crc32c(stored) == column.crc32c
        yield column, stored if good else None
        pos += column.stored_size


def columns_match(frame, data):
    return all(stored is not None for _, stored in stored_columns(frame, data))


def raw_columns(frame, data):
    """{id: (rows, raw bytes)} of the columns of a frame in data."""
    result = {}
    for column, stored in stored_columns(frame, data):
        need(stored is not None, "wrong CRC32C of column %d" % column.id)
        if column.id in ROW_KIND and column.encoding == 1 and column.codec in (0, 1):
            result[column.id] = column.rows, _raw_column(column, stored)
        elif column.mandatory or column.id in ROW_KIND.keys() - OPTIONAL:
            # Rows cannot be read without the known ones, whether they say so or not.
            raise Refused("unknown column, encoding or codec: %d, %d, %d"
                          % (column.id, column.encoding, column.codec))
    return result


def _raw_column(column, stored):
    need(column.row_kind == ROW_KIND[column.id], "wrong row kind")
    need(1 <= column.raw_size <= min(256 * MIB, 255 * column.stored_size + 64),
         "impossible raw size")
    need(column.raw_size <= LARGEST.get(column.id, 256 * MIB),
         "column %d too large" % column.id)
    if column.codec == 1:
        return lz4_frame(stored, column.raw_size)
    need(stored[:8] == struct.pack("<II", 0x184D2A5D, column.raw_size)
         and len(stored) == column.raw_size + 8, "wrong framing of column %d" % column.id)
    return stored[8:]


def decode_frame(frame, columns, definitions):
    """The rows and events of a frame."""
    def length_of(ident):
        need(ident in definitions, "translation %d is not defined" % ident)
        return len(definitions[ident][1])

    def column(number, rows=None):
        have, raw = columns.get(number, (rows, b""))
        need(rows is None or have == rows, "wrong number of rows in column %d" % number)
        return Cursor(raw)

    bits = frame.table_bits
    rows = SimpleNamespace()
    blocks = decode_blocks(column(1, frame.blocks), frame.blocks, bits)
    rows.ids = blocks[1]
    entries = columns.get(2, (0, b""))[0]
    rows.started, rows.not_whole = decode_started(column(2), entries,
                                                  [length_of(i) for i in rows.ids])
    need(sum(rows.started) == frame.insns, "wrong number of instructions")
    nodes, rows.accesses, rows.ends = decode_shape(column(3, frame.accesses), frame.accesses,
                                                   blocks, bits, length_of)
    sizes = [flags & 7 for _, _, flags in rows.accesses]
    rows.addresses, literals = decode_addresses(column(4, frame.accesses), column(5),
                                                zip(nodes, sizes), bits)
    need(columns.get(5, (0, b""))[0] == literals, "wrong number of literals")
    rows.values = _frame_values(frame, columns, column, zip(
        nodes, [flags for _, _, flags in rows.accesses], rows.addresses))
    rows.phys = _frame_phys(frame, columns, column, rows.addresses)
    rows.events = decode_events(column(6, frame.events), frame, rows.ends)
    return rows


def _frame_values(frame, columns, column, accesses):
    """The values by access, None where there is none."""
    unknown = {c.id for c in frame.columns} - columns.keys()
    if VALUE_COLUMN not in columns or VALUE_LITERAL_COLUMN in unknown:
        return [None] * frame.accesses
    values, literals = decode_values(column(VALUE_COLUMN, frame.accesses),
                                     column(VALUE_LITERAL_COLUMN), accesses, frame.table_bits)
    need(columns.get(VALUE_LITERAL_COLUMN, (0, b""))[0] == literals,
         "wrong number of literals of values")
    return values


def _frame_phys(frame, columns, column, addresses):
    """What stands in the log, by access."""
    unknown = {c.id for c in frame.columns} - columns.keys()
    if PHYS_COLUMN not in columns or DEVICE_COLUMN in unknown:
        return [""] * frame.accesses
    devices = decode_devices(column(DEVICE_COLUMN), columns.get(DEVICE_COLUMN, (0, b""))[0])
    reached = decode_phys(column(PHYS_COLUMN, frame.accesses), addresses, len(devices),
                          frame.table_bits)
    return [phys_text(what, address, devices) for what, address in reached]


def phys_text(what, address, devices):
    if what is None:
        return " phys=?"
    if what == RAM:
        return " phys=0x%x" % address
    number, _, name = devices[what]
    name = "".join(chr(c) if 0x20 < c < 0x7f and c != 0x25 else "%%%02x" % c for c in name)
    return " io=0x%x device=%d:%s" % (address, number, name)


def check_rows(frame, columns, rows):
    """Compare rows with what the frame says beyond them."""
    seq, time = rows.events[-1][3:5] if rows.events else (frame.first_seq, frame.first_time)
    need((seq, time) == (frame.last_seq, frame.last_time), "last_seq or last_time is wrong")
    if SUMMARY_COLUMN in columns:
        have, raw = columns[SUMMARY_COLUMN]
        need(decode_summary(Cursor(raw), have, 1 << 18) == frame.counts,
             "the summary contradicts the rows")


def read_index(frame, data):
    """(Index message, counts or None) of a frame of the index; None if it cannot be known."""
    columns = raw_columns(frame, data)
    if INDEX_COLUMN not in columns:
        return None
    rows, raw = columns[INDEX_COLUMN]
    message = parse(raw, INDEX, once=True)
    frames, skips, sizes = message.frames, packed(message.skip), packed(message.size)
    need(1 <= len(frames) <= 1024 and len(frames) == len(skips) == len(sizes) == rows,
         "index of a wrong number of frames")
    end = 0
    for listed, skip, size in zip(frames, skips, sizes):
        listed.offset, listed.size, listed.counts = end + skip, size, None
        end += skip + size
        need(listed.size > stored_size(listed) and end <= frame.offset,
             "index of impossible frames")
    counts = None
    if SUMMARY_COLUMN in columns:
        have, raw = columns[SUMMARY_COLUMN]
        counts = decode_summary(Cursor(raw), have, 1 << 20)
    return message, counts


# The event log

class Log:
    """The lines of a frame."""

    def __init__(self, definitions):
        self.definitions = definitions
        self.access_texts = {}

    def lines(self, frame, rows):
        lines = []
        event, insn = 0, frame.first_insn
        done = 0
        for block, end in enumerate(rows.ends):     # so many block rows are written
            if block:
                ident, started = rows.ids[block - 1], rows.started[block - 1]
                address, insns, _ = self.definitions[ident]
                lines.append("s%d b%d i%d id=%d pc=0x%x started=%d/%d" % (
                    frame.stream, frame.first_block + block - 1, insn, ident, address,
                    started, len(insns)))
                insn += started
            while event < frame.events and rows.events[event][1] == block:
                until = rows.events[event][2]
                self._accesses(lines, frame, rows, block, done, until)
                done = until
                lines.append(self._event(frame, event, rows.events[event]))
                event += 1
            self._accesses(lines, frame, rows, block, done, end)
            done = end
        return lines

    def _accesses(self, lines, frame, rows, block, begin, end):
        under = frame.first_block + block - 1
        under = "b-" if under < 0 else "b%d" % under
        for i in range(begin, end):
            key = rows.accesses[i]
            if key not in self.access_texts:
                self.access_texts[key] = self._access_text(*key)
            before, behind = self.access_texts[key]
            value = "" if rows.values[i] is None else "=0x%x" % rows.values[i]
            lines.append("s%d a%d %s %s0x%x%s%s%s" % (
                frame.stream, frame.first_access + i, under, before, rows.addresses[i], value,
                rows.phys[i], behind))

    def _access_text(self, block, insn, flags):
        """What stands before and behind the address."""
        ident = pc = "?"
        if block != NO_BLOCK:
            ident, pc = block, "0x%x" % self.definitions[block][1][insn]
        kind = "store" if flags & STORE else "load"
        before = "id=%s insn=%d pc=%s %s %d " % (ident, insn, pc, kind, 1 << (flags & 7))
        behind = "".join(text for bit, text in ((16, " be"), (8, " sign"), (FOREIGN, " foreign"))
                         if flags & bit)
        return before, behind

    @staticmethod
    def _event(frame, number, event):
        kind, block, _, seq, time, arguments = event
        text, names = EVENTS[kind]
        for i, value in enumerate(arguments):
            name = names[i] if i < len(names) else "arg%d" % i
            text += (" %s=0x%x" if name in ("from", "to") else " %s=%d") % (name, value)
        return "s%d e%d b%d seq=%d t=%d %s" % (frame.stream, frame.first_event + number,
                                               frame.first_block + block, seq, time, text)


# The file

ENVELOPE = struct.Struct("<II8sQIHHII")
MARK = b"QTRframe"
FILE_HEADER, RUN, FRAME_TYPE, END_TYPE, END_MARK = 1, 2, 3, 4, 5
MANDATORY = 1
END_MARK_SIZE = ENVELOPE.size + 16


def envelope_at(data, pos, nonce=None, seen=()):
    """The envelope at pos, None if there is no good one: with this nonce (None: any) and a
    sequence number that has not been seen. The columns of a Frame are not looked at."""
    if pos + ENVELOPE.size > len(data):
        return None
    (magic, size, mark, its_nonce, sequence, kind, flags, length,
     crc) = ENVELOPE.unpack_from(data, pos)
    if (magic != 0x184D2A5C or mark != MARK or length > 16 * MIB or size != 32 + length
            or nonce not in (None, its_nonce) or sequence in seen):
        return None
    begin = pos + ENVELOPE.size
    end = begin + length
    if end > len(data) or crc32c(data[pos + 8:pos + 36] + data[begin:end]) != crc:
        return None
    return SimpleNamespace(pos=pos, end=end, nonce=its_nonce, sequence=sequence, kind=kind,
                           mandatory=flags & MANDATORY, body=data[begin:end])


def next_envelope(data, pos, nonce=None, seen=()):
    """The first good envelope at or behind pos; if the nonce is known, a Frame must be whole."""
    while True:
        found = data.find(MARK, pos + 8)
        if found < 0:
            return None
        envelope = envelope_at(data, found - 8, nonce, seen)
        if envelope and (nonce is None or is_whole(envelope, data)):
            return envelope
        pos = found - 7


def is_whole(envelope, data):
    """Whether the columns match that follow an envelope, if it is a Frame that can be read."""
    if envelope.kind != FRAME_TYPE:
        return True
    try:
        frame = new_frame(envelope)
    except Damage:
        return True
    return columns_match(frame, data)


def end_mark_of(data):
    """The end mark at the end of the file, None if there is no good one."""
    mark = envelope_at(data, len(data) - END_MARK_SIZE) if len(data) >= END_MARK_SIZE else None
    return mark if mark and mark.kind == END_MARK and mark.end == len(data) else None


def find_nonce(data):
    """That of the first envelope and of the end mark; if they differ, of the first envelope behind
    the middle; if neither is good, of any envelope."""
    first, mark = envelope_at(data, 0), end_mark_of(data)
    if first and mark and first.nonce != mark.nonce:
        first = next_envelope(data, len(data) // 2)
    envelope = first or mark or next_envelope(data, 0)
    return envelope.nonce if envelope else None


def cut_off(data, pos, nonce, seen):
    """Whether an envelope begins at pos, as far as can be seen, that the end of data cuts off.
    Also when nothing is left, or when pos is behind the end since columns are cut off."""
    rest = data[pos:pos + ENVELOPE.size]
    magic = struct.pack("<I", 0x184D2A5C)
    if len(rest) < 8:
        return rest[:4] == magic[:len(rest)]
    size, = struct.unpack_from("<I", rest, 4)
    # What is missing of the header is made up so that it is right.
    right = ENVELOPE.pack(0x184D2A5C, size, MARK, nonce or 0, 0, 0, 0, size - 32 & M32, 0)
    known = right[:16 if nonce is None else 24]
    header = ENVELOPE.unpack(rest + right[len(rest):])
    return (rest[:len(known)] == known[:len(rest)] and 32 <= size <= 32 + 16 * MIB
            and (len(rest) < 28 or header[4] not in seen)
            and (len(rest) < 36 or header[7] == size - 32) and pos + 8 + size > len(data))


def new_frame(envelope):
    need(len(envelope.body) <= 65536, "Frame too large")
    frame = parse(envelope.body, FRAME)
    frame.sequence = envelope.sequence
    frame.offset = envelope.pos
    frame.size = envelope.end - envelope.pos + stored_size(frame)
    frame.counts = None     # not known
    return frame


class Trace:
    def __init__(self, name, data):
        self.name = name
        self.data = data
        self.status = OK
        self.damaged = False
        self.definitions = {}
        self.seen = set()               # sequence numbers of the good envelopes so far
        self.frames = []                # all that were found; sorted, when all have been
        self.definition_frames = []     # those of them that can be used
        self.streams = {}               # by number: its frames
        self.ordinals = {}              # by stream: where its frames so far end
        self.headers = 0
        self.runs = []                  # offsets
        self.end = None
        self.marked = False             # there was an end mark

    def report(self, offset, text, status=DAMAGED):
        self.status = max(self.status, status)
        self.damaged |= status == DAMAGED
        print("%s: offset %d: %s" % (self.name, offset, text), file=sys.stderr)

    def scan(self, pos=0, expected=0):
        """Find all envelopes from pos on, where one with the sequence number expected is due."""
        data = self.data
        nonce = find_nonce(data)
        if nonce is None:
            self._nothing_good(0, None, [])
            return
        resume = pos
        while True:
            envelope = envelope_at(data, pos, nonce, self.seen)
            if not envelope or envelope.sequence != expected:
                revoked = self._revoke(expected - 1)
                if self.marked and pos == len(data) and not revoked:
                    break
                if revoked or not envelope or not is_whole(envelope, data):
                    # Bytes may be missing from columns, too, so the search begins before them.
                    resume = columns_begin(revoked[-1]) if revoked else resume
                    envelope = next_envelope(data, resume, nonce, self.seen)
                    if not envelope:
                        self._nothing_good(pos, nonce, revoked)
                        break
                    self.report(revoked[-1].offset if revoked else pos,
                                "damaged; going on at offset %d" % envelope.pos)
                else:
                    self.report(pos, "envelope %d instead of %d" % (envelope.sequence, expected))
            elif not self.seen and envelope.kind != FILE_HEADER:
                self.report(pos, "the first envelope is not a FileHeader")
            expected = envelope.sequence + 1
            self.seen.add(envelope.sequence)
            resume = envelope.end
            pos = self._envelope(envelope)
        if not self.headers:
            self.report(0, "no FileHeader")

    def _revoke(self, sequence):
        """The envelope with this sequence number, the last one, is not followed by the next. If it
        is a Frame that is not whole, it may be the beginning of one that stands elsewhere; then it
        is not good and the one before it is not followed by the next, either. Returns the frames
        that are not good, the last one first."""
        revoked = []
        while (self.frames and self.frames[-1].sequence == sequence
               and not columns_match(self.frames[-1], self.data)):
            revoked.append(self.frames.pop())
            self.seen.remove(sequence)
            sequence -= 1
        return revoked

    def _nothing_good(self, pos, nonce, revoked):
        """There is no good envelope at pos, where one should be, nor behind."""
        # The columns of a revoked frame are either cut off by the end of the file or damaged.
        begun = len(revoked) == 1 and pos > len(self.data) or (
            not revoked and cut_off(self.data, pos, nonce, self.seen))
        if begun and not self.marked:
            self.report(min(pos, len(self.data)), "no end mark", INCOMPLETE)
        else:
            self.report(pos, "nothing good from here to the end")

    def open_index(self):
        """Find the frames through the index: Damage if it is of no use."""
        data = self.data
        mark = end_mark_of(data)
        need(mark, "no end mark")
        offset, size = struct.unpack("<QQ", mark.body)
        need(size == len(data), "the file had another size")
        end = envelope_at(data, offset, mark.nonce)
        need(end and end.kind == END_TYPE and end.sequence < mark.sequence, "no End")
        end = parse(end.body, END)
        segments, last = self._segments(end, mark.nonce)
        frames = [frame for segment in reversed(segments) for frame in segment]
        self._between(frames, last, mark.nonce)
        self.frames = frames
        # The last segment's own frame, and what is behind it
        self.scan(last.pos, last.sequence)

    def _segments(self, end, nonce):
        """The frames of all segments, the last segment first, and its envelope."""
        segments = []
        last = None
        offset, count, limit = end.index, end.frames, len(self.data)
        need(offset, "End knows of no index")
        while offset:
            envelope = envelope_at(self.data, offset, nonce) if offset < limit else None
            need(envelope and envelope.kind == FRAME_TYPE, "no segment of the index there")
            frame = new_frame(envelope)
            need(frame_kind(frame) == "index" and offset + frame.size <= limit,
                 "no segment of the index there")
            check_frame(frame)
            found = read_index(frame, self.data)
            need(found, "unknown kind of index")
            message, _ = found
            count -= len(message.frames)
            need(message.first == count, "wrong number of frames in the index")
            if segments:
                need(header_of(segments[-1][0]) == header_of(frame), "the index contradicts itself")
                segments[-1][0] = frame
            segments.append(message.frames)
            last = last or envelope
            limit, offset = offset, message.previous
        need(count == 0, "wrong number of frames in the index")
        return segments, last

    def _between(self, frames, last, nonce):
        """Take in what stands before and between the frames of the index, up to the envelope of
        the last segment."""
        pos = sequence = 0
        for frame in [*frames, None]:
            begin = frame.offset if frame else last.pos
            while pos < begin:
                envelope = envelope_at(self.data, pos, nonce)
                need(envelope and envelope.kind not in (FRAME_TYPE, END_MARK)
                     and envelope.sequence == sequence
                     and (pos or envelope.kind == FILE_HEADER), "frames missing from the index")
                pos = self._envelope(envelope)
                sequence += 1
            need(pos == begin, "wrong offset in the index")
            if frame:
                frame.sequence = sequence
                pos += frame.size
                sequence += 1
        need(sequence == last.sequence, "envelopes missing")
        self.seen = set(range(sequence))

    def _envelope(self, envelope):
        """Take in an envelope; returns where the next one should be."""
        handler = {FILE_HEADER: self._file_header, RUN: self._run, FRAME_TYPE: self._frame,
                   END_TYPE: self._end, END_MARK: self._end_mark}
        if envelope.kind not in handler:
            if envelope.mandatory:
                raise Refused("offset %d: unknown type %d of envelope"
                              % (envelope.pos, envelope.kind))
            return envelope.end
        try:
            return handler[envelope.kind](envelope) or envelope.end
        except Damage as error:
            self.report(envelope.pos, error)
            return envelope.end

    def _file_header(self, envelope):
        header = parse(envelope.body, HEADER)
        if header.version != 0:
            raise Refused("offset %d: unknown version %d" % (envelope.pos, header.version))
        if header.incompatible:
            raise Refused("offset %d: unknown features 0x%x" % (envelope.pos, header.incompatible))
        self.headers += 1

    def _run(self, envelope):
        self.runs.append(envelope.pos)

    def _frame(self, envelope):
        frame = new_frame(envelope)
        self.frames.append(frame)
        return frame.offset + frame.size

    def _end(self, envelope):
        self.end = parse(envelope.body, END)
        self.end.offset = envelope.pos
        if self.end.recovered:
            self.report(envelope.pos, "the recorder did not come to its end", INCOMPLETE)

    def _end_mark(self, envelope):
        self.marked = True
        offset, size = struct.unpack("<QQ", envelope.body) if len(envelope.body) == 16 else (0, 0)
        need(size == len(self.data), "the file had another size")
        need(not self.end or offset == self.end.offset, "the end was elsewhere")
        need(envelope.end == len(self.data), "bytes behind the end mark")

    def sort_frames(self):
        """Put the frames into the order in which they were written, tell apart the kinds and
        streams, and see whether the ordinals fit together."""
        self.frames.sort(key=lambda frame: frame.sequence)
        lasts = {}      # by stream: last_seq and last_time of its frame before
        for frame in self.frames:
            kind = frame_kind(frame)
            try:
                check_frame(frame)
                if kind == "rows":
                    self._next_of_stream(frame, lasts)
                    self.streams.setdefault(frame.stream, []).append(frame)
                elif kind != "index":
                    self.definition_frames.append(frame)
            except Damage as error:
                self.report(frame.offset, error)

    def _next_of_stream(self, frame, lasts):
        lost = lost_before(frame)
        ends = self.ordinals.get(frame.stream, [0] * 4)
        first = [getattr(frame, name) for name, _ in ORDINALS]
        need(all(begin >= end for begin, end in zip(first, ends)),
             "stream %d: rows that were there before" % frame.stream)
        if any(lost):
            self.report(frame.offset, "rows were lost before these", LOSSES)
        expected = [end + count for end, count in zip(ends, lost)]
        if first != expected:
            self.report(frame.offset, "stream %d: the first ordinals are %s, not %s"
                        % (frame.stream, first, expected))
        elif lasts.get(frame.stream, (0, 0)) != (frame.first_seq, frame.first_time):
            self.report(frame.offset, "stream %d: first_seq or first_time is wrong" % frame.stream)
        lasts[frame.stream] = frame.last_seq, frame.last_time
        self.ordinals[frame.stream] = [begin + getattr(frame, count)
                                       for begin, (_, count) in zip(first, ORDINALS)]

    def load_definitions(self):
        known = self.definitions
        for frame in self.definition_frames:
            try:
                rows, raw = raw_columns(frame, self.data)[DEFINITIONS_COLUMN]
                need(rows == frame.translations, "wrong number of translations")
                found = decode_definitions(raw, frame.first_translation, rows, known)
            except (Damage, Refused) as error:
                self.report(frame.offset, error, error.status)
                continue
            lost = [i for i, definition in found.items() if not definition]
            if lost:
                self.report(frame.offset, "%d repeat what is not defined, the first is %d"
                            % (len(lost), lost[0]))
            wrong = [i for i, definition in found.items()
                     if definition and known.setdefault(i, definition) != definition]
            if wrong:
                self.report(frame.offset, "%d definitions contradict others, the first is %d"
                            % (len(wrong), wrong[0]))
        missing = max(self.end.translations if self.end else 0, max(known, default=-1) + 1)
        missing -= len(known)
        if missing:
            self.report(self.end.offset if self.end else 0,
                        "%d translations are not defined" % missing)

    def write(self, out):
        """The event log of all streams."""
        log = Log(self.definitions)
        for stream in sorted(self.streams):
            for frame in self.streams[stream]:
                try:
                    columns = raw_columns(frame, self.data)
                    rows = decode_frame(frame, columns, self.definitions)
                    out.write("".join(line + "\n" for line in log.lines(frame, rows)))
                    frame.counts = count_rows(rows)
                    check_rows(frame, columns, rows)
                except (Damage, Refused) as error:
                    self.report(frame.offset, error, error.status)

    def check_index(self):
        """Compare the index with the frames, if nothing is missing of them."""
        if self.damaged:
            return
        begin = previous = 0    # number and offset of the segment before
        for number, frame in enumerate(self.frames):
            if frame_kind(frame) != "index":
                continue
            try:
                self._check_segment(frame, self.frames[begin:number], begin, previous)
            except (Damage, Refused) as error:
                self.report(frame.offset, error, error.status)
            begin, previous = number, frame.offset
        if not self.end:
            return
        if self.end.index and (self.end.index, self.end.frames) != (previous, begin):
            self.report(self.end.offset, "End tells of another index")
        if self.end.run not in (self.runs[1:] or [0, *self.runs]):
            self.report(self.end.offset, "End tells of another Run")

    def _check_segment(self, frame, frames, first, previous):
        found = read_index(frame, self.data)
        if not found:
            return
        message, counts = found
        need((message.first, message.previous) == (first, previous),
             "the segment of the index follows another one")
        need(len(message.frames) == len(frames), "the index misses frames")
        for listed, real in zip(message.frames, frames):
            need(header_of(listed) == header_of(real),
                 "the index contradicts the frame at offset %d" % real.offset)
        self._check_lengths(packed(message.length), frames)
        rows = [real for real in frames if frame_kind(real) == "rows"]
        if counts is not None and all(real.counts is not None for real in rows):
            total = {}
            for real in rows:
                add_counts(total, real.counts)
            need(counts == total, "the summary contradicts the frames before")

    def _check_lengths(self, lengths, frames):
        defining = [frame for frame in frames if frame_kind(frame) == "definitions"]
        need(len(lengths) == sum(frame.translations for frame in defining),
             "the index tells of a wrong number of translations")
        idents = (frame.first_translation + i
                  for frame in defining for i in range(frame.translations))
        # Where only the frames are listed, no definitions have been read.
        need(all(ident not in self.definitions or length == len(self.definitions[ident][1])
                 for ident, length in zip(idents, lengths)),
             "the index tells other lengths of translations")

    def check_totals(self):
        """Compare the ends of the streams with End, if there is one."""
        if not self.end:
            return
        totals = {total.stream: total for total in self.end.streams}
        for stream in sorted(set(self.ordinals) - set(totals)):
            self.report(self.end.offset, "stream %d has no totals" % stream)
        for stream, total in totals.items():
            ends = self.ordinals.get(stream, [0] * 4)
            for (_, what), end in zip(ORDINALS, ends):
                lost = getattr(total, "lost_" + what)
                if lost:
                    self.report(self.end.offset, "stream %d: %d %s were lost"
                                % (stream, lost, what), LOSSES)
                if end + getattr(total, "unwritten_" + what) != getattr(total, what) + lost:
                    self.report(self.end.offset, "stream %d: the last %s are missing"
                                % (stream, what))


def read_trace(name, out, option):
    """Print the event log or the frames of a file; returns the exit status."""
    with open(name, "rb") as file:
        trace = Trace(name, file.read())
    try:
        if option == "--index":
            try:
                trace.open_index()
            except (Damage, Refused) as error:
                print("%s: walking without the index: %s" % (name, error), file=sys.stderr)
                trace = Trace(name, trace.data)
                trace.scan()
        else:
            trace.scan()
    except Refused as error:
        print("%s: %s" % (name, error), file=sys.stderr)
        return REFUSED
    trace.sort_frames()
    if option:
        out.write("".join(frame_line(frame) + "\n" for frame in trace.frames))
    else:
        trace.load_definitions()
        trace.write(out)
    trace.check_totals()
    trace.check_index()
    return trace.status


# The test vectors of FORMAT.md, and the summaries of their rows

def test_frame(vector, counts, lengths, **fields):
    """The rows of a frame with these columns; lengths of the blocks by id."""
    frame = SimpleNamespace(events=0, syscalls=0, table_bits=8, first_seq=0, first_time=0,
                            lost_blocks=0, lost_insns=0, lost_accesses=0, lost_events=0,
                            columns=[], **fields)
    columns = {i: (counts[i], bytes.fromhex(text)) for i, text in vector.items()}
    return decode_frame(frame, columns, {i: (0, [0] * n) for i, n in lengths.items()})


def self_test():
    need(crc32c(b"123456789") == 0xe3069283, "CRC32C")
    need(xxh32(b"") == 0x02cc5d05, "XXH32")
    need(packed(b"\1\xff\1" + b"\xff" * 9 + b"\1") == [1, 255, M64], "varints")
    vector = {1: "d2 0e a8 d2 01", 2: "0b 01", 3: "56 01 03 55 04 23 56 02 02",
              4: "00 00 00 00 00 00 1b 4d", 5: "80 40 80 c0 f7 07 ff bf f5 07 20 40 80 80 14 08"}
    addresses = ("1000 7f0000 5000 1010 7f0020 2d000 1020 7f0040 7f0044 1030 7f0060 7f0064 "
                 "1040 7f0080 7f0084 1050 7f00a0 7f00a4")
    rows = test_frame(vector, {1: 12, 2: 1, 3: 18, 4: 18, 5: 7}, {7: 5, 8: 3},
                      blocks=12, accesses=18, insns=12 * 4 - 2)
    need(rows.ids == [7, 8] * 6, "blocks")
    need(rows.started == [5, 3] * 5 + [5, 1], "instructions that started")
    need(rows.accesses == [(7, 1, 3), (7, 4, 0x23), (8, 2, 2)] * 6, "accesses")
    need(rows.ends == [0] + [n for i in range(0, 18, 3) for n in (i + 2, i + 3)], "ends")
    need(rows.addresses == [int(text, 16) for text in addresses.split()], "addresses")
    summary = bytes.fromhex("00 07 0c 02 03 07 00 0d 01 01 01 01 06")
    need(decode_summary(Cursor(summary), 2, 3) == count_rows(rows), "summary")

    vector = {1: "d2 0e a8 d2 01", 4: "00 00 00 00 4c 4c", 5: "80 40 10 20 10",
              3: "ab 09 00 03 55 01 03 ab 09 00 03 55 01 03 57 01 03 57 01 03"}
    rows = test_frame(vector, {1: 4, 3: 8, 4: 8, 5: 4}, {7: 2, 8: 2, 9: 1},
                      blocks=4, accesses=8, insns=8)
    need(rows.ids == [7, 8] * 2, "blocks with foreign accesses")
    need(rows.accesses == [(9, 0, 3 | FOREIGN), (7, 1, 3), (9, 0, 3 | FOREIGN), (8, 1, 3)] * 2,
         "foreign accesses")
    need(rows.addresses == list(range(0x1000, 0x1040, 8)), "addresses of foreign accesses")
    summary = bytes.fromhex("00 07 04 01 03 00 04 01 03 00 00 01 02 04 00")
    need(decode_summary(Cursor(summary), 3, 3) == count_rows(rows), "summary of foreign accesses")
    test_paths()
    test_repeats()
    test_values()
    test_phys()


def test_paths():
    path = "abcabdabeabfabgabcabeabcabcabf"
    column = bytes.fromhex("d2 00 a8 a8 d2 03 d3 06 d2 05 d3 08 d2 07 d3 0a d2 09 d3 0c d2 0b d3 04"
                           "80 2c 02 56")
    ids = decode_blocks(Cursor(column), len(path), 8)[1]
    need(ids == [ord(letter) - ord("a") for letter in path], "paths")


def test_repeats():
    vector = {1: "d2 0e d2 00", 3: "56 01 03 55 01 03 55 02 03 55 02 03",
              4: "00 00 00 00 00 4b 4b 4b", 5: "80 40 10 90 40 10 40"}
    addresses = "1000 1008 2010 2018 1020 1028 2030 2038 1040 1048 2050 2058"
    rows = test_frame(vector, {1: 3, 3: 12, 4: 12, 5: 5}, {7: 3},
                      blocks=3, accesses=12, insns=9)
    need(rows.ids == [7] * 3, "blocks with repeats")
    need(rows.accesses == [(7, 1, 3), (7, 1, 3), (7, 2, 3), (7, 2, 3)] * 3, "repeats")
    need(rows.ends == [0, 4, 8, 12], "ends with repeats")
    need(rows.addresses == [int(text, 16) for text in addresses.split()], "addresses of repeats")

    shape = bytes.fromhex("56 01 03" + "55 01 03" * 256 + "2b")
    blocks = decode_blocks(Cursor(bytes.fromhex("d2 0e")), 1, 8)
    nodes, accesses, ends = decode_shape(Cursor(shape), 300, blocks, 8, {7: 2}.get)
    need(nodes == [*range(1, 257), *[256] * 44], "nodes of many repeats")
    need(accesses == [(7, 1, 3)] * 300 and ends == [0, 300], "many repeats")


def test_values():
    accesses, values = [], []
    for i in range(4):
        accesses += [(1, 0x03, 0x1000 + 8 * i), (2, 0x22, 0x2002 + 4 * i),
                     (3, 0x11, 0x2002 + 4 * i), (4, 0x24, 0x3000)]
        u = 0x1122334455667788 + 3 * i
        values += [u, u & M32, (u & 255) << 8 | u >> 8 & 255, (1 << 128) - (1 << 64) + 0x10 + i]
    column = bytes.fromhex("04 00 80 21 20 20 22 61 62")
    literal = bytes.fromhex("88 77 66 55 44 33 22 11 20 01 06 02")
    need(decode_values(Cursor(column), Cursor(literal), accesses, 8) == (values, 5), "values")


def test_phys():
    column = bytes.fromhex("40 8a 80 40 82 00 89 80 38 40 92 80 38 01 c0 81 01 f6 ff c0 ff ff ff "
                           "ff 3f")
    devices = bytes.fromhex("00 b4 24 06 73 65 72 69 61 6c 05 f8 ac 01 06 6d 74 69 6d 65 72")
    virtual = ("40001000 40001008 40002000 10000005 40001010 10000000 40001018 40002008 40001020 "
               "2004000")
    reached = [(RAM, 0x80005000), (RAM, 0x80005008), (RAM, 0x80006000), (0, 0x10000005),
               (RAM, 0x80009010), (0, 0x10000000), (RAM, 0x80005018), (None, 0), (RAM, 0x80005020),
               (1, 0x02004004)]
    addresses = [int(text, 16) for text in virtual.split()]
    need(decode_phys(Cursor(column), addresses, 2, 8) == reached, "physical addresses")
    need(decode_devices(Cursor(devices), 2) == [(0, 0x1234, b"serial"), (5, 0x5678, b"mtimer")],
         "devices")


def main(arguments):
    option = arguments[1] if arguments[1:2] and arguments[1].startswith("--") else None
    if option not in (None, "--frames", "--index", "--self-test") or (
            len(arguments) != (3 if option in ("--frames", "--index") else 2)):
        print("usage: qtr.py [--frames | --index] TRACE | --self-test", file=sys.stderr)
        return USAGE
    try:
        if option == "--self-test":
            self_test()
            return OK
        status = read_trace(arguments[-1], sys.stdout, option)
        sys.stdout.flush()
        return status
    except Damage as error:
        print("self-test failed: %s" % error, file=sys.stderr)
    except OSError as error:
        # The log's reader may be gone; Python must not try to flush once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print("%s: %s" % (arguments[-1], error.strerror or error), file=sys.stderr)
    except MemoryError:
        print("%s: not enough memory" % arguments[-1], file=sys.stderr)
    return FAILURE


if __name__ == "__main__":
    sys.exit(main(sys.argv))
