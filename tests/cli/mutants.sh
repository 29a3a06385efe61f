#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Does test-roundtrip notice a bug? Bugs are put into copies of the codec one by one; the test
# must fail with each.

. "$(dirname "$0")/../lib.sh"

seed=$tmp/seed
work=$tmp/work
mkdir -p "$work"
cp -r "$top/libqtrace" "$seed"
cp "$top/tests/unit/test-roundtrip.c" "$top"/tests/unit/*.h "$seed/"
cp "$QTRACE_BUILD"/format/trace.pb-c.[ch] "$seed/" || {
    not_ok "sources" "no build in $QTRACE_BUILD"
    exit
}
cp -r "$seed/." "$work"
read -r -a libraries < <(pkg-config --libs criterion liblz4 libprotobuf-c glib-2.0)
read -r -a includes < <(pkg-config --cflags glib-2.0)

# compile FILE...: the objects of these sources, in parallel
compile() {
    printf '%s\n' "$@" | xargs -P "$(nproc)" -I FILE \
        gcc -std=gnu11 -D_GNU_SOURCE -DQTRACE_VERSION='"test"' -O1 -w -pthread \
        "${includes[@]}" -I"$work/include" -I"$work" -c "$work/FILE" -o "$work/FILE.o"
}

link_test() {
    gcc -pthread -o "$work/test" "$work"/*.o "${libraries[@]}"
}

# run_test FILTER: is everything as it should be?
run_test() {
    (cd "$tmp" && timeout -k 5 60 "$work/test" --filter "$1" >"$tmp/stdout" 2>"$tmp/stderr")
}

# mutant NAME FILE SED FILTER SOURCE...: SOURCEs are to be compiled again
mutant() {
    local name=$1 file=$2 edit=$3 filter=$4
    shift 4
    sed "$edit" "$seed/$file" >"$work/$file"
    if cmp -s "$seed/$file" "$work/$file"; then
        not_ok "$name" "the edit of $file changes nothing"
    elif ! compile "$@" || ! link_test; then
        not_ok "$name" "it does not compile"
    elif run_test "$filter"; then
        not_ok "$name" "the test passes with this bug"
    else
        ok "$name"
    fi
    cp "$seed/$file" "$work/$file"
    compile "$@"
}

whole='roundtrip/*'
vector='format/*vector'
flips='broken/flip_every_bit_of_a_stored_trace'

mapfile -t sources < <(cd "$work" && ls ./*.c)
compile "${sources[@]}" && link_test || {
    not_ok "build" "the unchanged sources do not compile"
    exit
}
if run_test "$whole" && run_test "$vector" && run_test "$flips"; then
    ok "no bug: passes"
else
    not_ok "no bug: passes"
    show_output
    exit
fi

mutant "sign of zigzag" bytes.h \
    's/return v >> 1 ^ (0 - (v & 1));/return v >> 1 ^ (v \& 1);/' "$whole" columns.c dictionary.c
mutant "shift of varints" bytes.c 's/shift += 7/shift += 8/' "$whole" bytes.c
mutant "shift of wide varints" bytes.h 's/(x & 0x3f803f803f803f80u) << 1/(x \& 0x3f003f003f003f00u) << 1/' \
    "$whole" encoder.c
mutant "groups of wide varints" bytes.h \
    's/(x & 0x3fff00003fff0000u) >> 2/(x \& 0x3fff00001fff0000u) >> 2/' "$whole" columns.c
mutant "history only when decoding" columns.c \
    's/qt_history(d->history, b->block\[d->since\]);/qt_history(d->history, b->block[d->since] + 1);/' \
    "$whole" columns.c
mutant "a row too few in the history" columns.c \
    's/d->since = i - QT_HISTORY_ROWS;/d->since = i - QT_HISTORY_ROWS + 1;/' "$whole" columns.c
mutant "what is foreseen is a candidate" predict.c \
    's/= rank + (rank >= find_foreseen(.*));/= rank;/' "$whole" predict.c
mutant "candidate not moved to the front" predict.c \
    's/^        moved = old;/        moved = i == 0 ? old : moved;/' "$vector" predict.c
mutant "block behind the last literal off by one" encoder.c \
    's/id == e->fresh + 1 /id == e->fresh + 2 /' "$whole" encoder.c
mutant "rows of partial blocks off by one" encoder.c \
    's/QTRACE_COLUMN_STARTED, row - e->partial_row)/QTRACE_COLUMN_STARTED, row - e->partial_row + 1)/' \
    "$whole" encoder.c
mutant "started not restored" columns.c \
    's/^        b->started\[row\] = (uint16_t)started;//' "$whole" columns.c
mutant "end of accesses off by one" columns.c \
    's/b->access_end\[i\] = at.row;/b->access_end[i] = at.row - (at.row > 0);/' \
    "$whole" columns.c
mutant "end of a row not learned" encoder.c 's/^    \*next = 0;//' "$whole" encoder.c
mutant "shape learned by what is shared" predict.h \
    's/return next != &p->node\[0\].next && /return /' "$whole" encoder.c
mutant "forgotten bit of flags" columns.c \
    's/t->flags\[at->row\] = (uint8_t)flags;/t->flags[at->row] = (uint8_t)(flags \& ~QTRACE_ACCESS_BE);/' \
    "$whole" columns.c
mutant "foreign blocks are one's own" columns.c \
    's/!add_foreign(d, at->row, d->p->lessons\[node\].block)/!add_foreign(d, at->row, d->p->lessons[node].block \& ~1u)/' \
    "$whole" columns.c
mutant "repeats not counted" predict.h 's/^    return key | (n < QT_REPEAT_MAX .*/    return key;/' \
    "$vector" encoder.c
mutant "repeats without an end" predict.h 's/(n < QT_REPEAT_MAX ? n + 1 : n) <</(n + 1) <</' "$vector" \
    columns.c
mutant "favourite not changed" encoder.h 's/^        favourite = k == .*;//' "$whole" encoder.c
mutant "favourite changed to a sequel" columns.c \
    's/uint32_t favourite = (literal | (k == QT_BY_SEQUEL)) /uint32_t favourite = literal /' "$whole" columns.c
mutant "sequel not noted" predict.h 's/^    \*sequel = address;//' \
    "$whole" columns.c
mutant "scale by one's own size" columns.c 's/^    at->size = size;//' "$whole" columns.c
mutant "long run one off" tokens.h 's/t->run += (uint32_t)more;/t->run += (uint32_t)more + 1;/' "$whole" columns.c values.c
mutant "steps not learned" predict.h \
    's/l->step\[k\] = address - base\[k\];/l->step[k] = 0;/' "$whole" columns.c
mutant "partner forgotten" encoder.h \
    's/^        qt_find_partner(p, node, .*//' "$whole" encoder.c
mutant "toucher not noted" columns.c \
    's/^    t->toucher\[qt_address_hash(address, t->bits)\] = node;//' "$whole" columns.c
mutant "recent addresses one off" predict.h \
    's/return recent\[(row - k) % QT_RECENT\];/return recent[(row - k + 1) % QT_RECENT];/' \
    "$whole" encoder.c
mutant "literal from the wrong base" encoder.h \
    's/kind = from_near ? QT_ADDRESS_FROM_RECENT : QT_ADDRESS_FROM_OWN/kind = QT_ADDRESS_FROM_OWN/' \
    "$whole" encoder.c
mutant "seq without what was before" columns.c \
    's/\.seq = before->seq + seq,/.seq = seq,/' "$whole" columns.c
mutant "time without its sign" columns.c \
    's/before->time + qt_unzigzag64(time)/before->time + time/' "$whole" columns.c
mutant "ids of translations not summed" columns.c \
    's/^        \*translation += qt_unzigzag64(e->arg\[0\]);/        *translation = qt_unzigzag64(e->arg[0]);/' \
    "$whole" columns.c
mutant "size of an instruction not skipped" dictionary.c \
    's/l->end = insn\[i\]\.vaddr + insn\[i\]\.size;/l->end = insn[i].vaddr;/' "$whole" dictionary.c
mutant "symbols all the first one" dictionary.c \
    's/l->name\[symbol - 1\]/l->name[0]/' "$whole" dictionary.c
mutant "forms compared without their text" definitions.c \
    's/^           strcmp(.*disas, disas) == 0;/           true;/' "$whole" definitions.c
mutant "host addresses without what was before" dictionary.c \
    's/l->bias += qt_unzigzag64(bias);/l->bias = qt_unzigzag64(bias);/' "$whole" dictionary.c
mutant "contents compared without symbols" contents.c \
    's/^    add_text(sum, insn->symbol);//' "$whole" contents.c
mutant "contents compared without host addresses" contents.c \
    's/insn->has_haddr ? insn->haddr : 0/0/' "$whole" contents.c
mutant "contents compared without the bytes behind" contents.c \
    's/^    p = qt_put_le16(p, insn->data_size);/    p = qt_put_le16(p, 0);/; s/insn->data, insn->data_size/insn->data, insn->size/' \
    "$whole" contents.c
mutant "a repetition of the wrong one" dictionary.c \
    's/first = qt_dictionary_get(l->d, id - distance);/first = qt_dictionary_get(l->d, id - 1);/' \
    "$whole" dictionary.c
mutant "stores forgotten where all executions load" counts.c \
    's/insn->loads == b->executions \&\& insn->stores == 0/insn->loads == b->executions/' \
    "$whole" counts.c
mutant "partial executions not counted" encoder.c \
    's/return ret == QTRACE_OK ? count_left(counts, e) : ret;/return ret;/' "$whole" encoder.c
mutant "frames counted besides their segment" reader.c \
    's/^            i = end - 1;//' "$whole" reader.c
mutant "a segment of the index counts those before" index.c \
    '/^void qt_index_next/,/^}/s/^    qt_counts_clear(&index->counts);//' "$whole" index.c
mutant "segments of the index linked past each other" index.c \
    's/^    index->previous = offset;/    index->previous = index->previous == 0 ? offset : index->previous;/' \
    "$whole" index.c
mutant "offsets in the index from the start of the frame before" index.c \
    's/index->end = offset + size;/index->end = offset;/' "$whole" index.c
mutant "a selection without partial executions" frame.c \
    's/^        \[QTRACE_COLUMN_STARTED\] = QTRACE_SELECT_BLOCKS,//' "$whole" frame.c
mutant "definitions never read for an indexed frame" indexed.c \
    's/        return define(reader, id, MAX_DEPTH, err);/        return QTRACE_OK;/' \
    "$whole" indexed.c
mutant "another original read than that of the wanted translation" dictionary.c \
    's/id == l->d->wanted ? id - distance + 1ull : l->d->missing/id - distance + 1ull/' \
    "roundtrip/forgotten*" dictionary.c
mutant "lengths forgotten with the translations" dictionary.c \
    's/^    dictionary->used = 0;/    qt_lengths_finish(\&dictionary->lengths);\n&/' \
    "roundtrip/forgotten*" dictionary.c
mutant "difference of values without its sign" values.c \
    's/w->lane->last + qt_unzigzag64(v)/w->lane->last + v/' "$whole" values.c
mutant "memory without the other byte order" values.c \
    's/return w->big_endian ? .* : bytes;/return bytes;/' "$vector" values.c
mutant "words of a value share a lane when decoding" values.c \
    '/^bool qt_values_get/,/^}/s/find_word(d->values, access, i)/find_word(d->values, access, 0)/' \
    "$whole" values.c
mutant "step of values not learned" values.c \
    's/^    w->lane->step = \*value - w->lane->last;//' "$whole" values.c
mutant "favourite of a lane not changed" values.c \
    's/^        w->lane->favourite = d->tokens.kind - QT_VALUE_BY;//' "$whole" values.c
mutant "largest value forgotten" columns.c \
    's/b->batch.value_max = b->value == NULL .*/b->batch.value_max = b->value == NULL ? 0 : 16;/' \
    "$whole" columns.c
mutant "second mapping of a page stays the second" phys.c \
    '/^static bool get_surprise/,/^}/s/^        swap(pair);//' "$whole" phys.c
mutant "page of a right guess not remembered" phys.c \
    '/^bool qt_phys_get/,/^}/s/insert(pair, vaddr, &mapping);/;/' "$whole" phys.c
mutant "physical pages not summed" phys.c \
    's/d->phys->place += qt_unzigzag64/d->phys->place = qt_unzigzag64/' "$whole" phys.c
mutant "all devices are the first" phys.c 's/QTRACE_PHYS_IO + (uint32_t)index/QTRACE_PHYS_IO/' \
    "$whole" phys.c
mutant "kind of a mapping forgotten" phys.c \
    's/return a->offset == b->offset && a->kind == b->kind;/return a->offset == b->offset;/' \
    "$whole" phys.c
mutant "checksum of a column not looked at" scan.c \
    's/if (qt_crc32c(0, stored, c->stored_size) == frame->crc\[i\])/if (true)/' "$flips" scan.c
mutant "checksum of a message not looked at" envelope.c \
    's/return qt_crc32c(crc, body, envelope->body_size) == envelope->crc;/return true;/' \
    "$flips" envelope.c
