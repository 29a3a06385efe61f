/*
 * dictionary.c - translations by id; their form in the file
 *
 * The Definitions message is packed and unpacked by hand: straight into the arena, without
 * an allocation per instruction, and bounded for hostile files.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "dictionary.h"

#include <stdlib.h>

#include "qtrace/error.h"

/* ---- lengths ---- */

int qt_lengths_set(struct qt_lengths *lengths, uint32_t id, uint16_t n_insns)
{
    size_t page = id / QT_LENGTH_PAGE;

    if (qt_grow((void **)&lengths->page, &lengths->n_pages, page + 1, sizeof(uint16_t *)) < 0) {
        return QTRACE_E_NOMEM;
    }
    if (lengths->page[page] == NULL) {
        lengths->page[page] = calloc(QT_LENGTH_PAGE, sizeof(uint16_t));
        if (lengths->page[page] == NULL) {
            return QTRACE_E_NOMEM;
        }
    }
    lengths->page[page][id % QT_LENGTH_PAGE] = n_insns;
    return QTRACE_OK;
}

void qt_lengths_finish(struct qt_lengths *lengths)
{
    size_t i;

    for (i = 0; i < lengths->n_pages; i++) {
        free(lengths->page[i]);
    }
    free(lengths->page);
    *lengths = (struct qt_lengths){0};
}

/* ---- arena ---- */

#define ARENA_CHUNK (64u << 10)

struct qt_arena_chunk {
    struct qt_arena_chunk *next;
    size_t used, size;
    max_align_t data[];
};

static void *arena_get(struct qt_arena_chunk **arena, size_t size)
{
    struct qt_arena_chunk *chunk = *arena;
    size_t room;
    void *p;

    size = (size + 7) & ~(size_t)7;
    if (chunk == NULL || chunk->size - chunk->used < size) {
        room = size > ARENA_CHUNK ? size : ARENA_CHUNK;
        chunk = malloc(sizeof(*chunk) + room);
        if (chunk == NULL) {
            return NULL;
        }
        *chunk = (struct qt_arena_chunk){.next = *arena, .size = room};
        *arena = chunk;
    }
    p = (char *)chunk->data + chunk->used;
    chunk->used += size;
    return p;
}

static void arena_finish(struct qt_arena_chunk **arena)
{
    struct qt_arena_chunk *chunk, *next;

    for (chunk = *arena; chunk != NULL; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    *arena = NULL;
}

/* ---- lookup ---- */

void qt_dictionary_finish(struct qt_dictionary *dictionary)
{
    size_t i;

    for (i = 0; i < dictionary->n_pages; i++) {
        free(dictionary->page[i]);
    }
    free(dictionary->page);
    free(dictionary->symbol);
    qt_lengths_finish(&dictionary->lengths);
    arena_finish(&dictionary->arena);
    *dictionary = (struct qt_dictionary){0};
}

const struct qtrace_translation *qt_dictionary_get(const struct qt_dictionary *dictionary,
                                                   uint32_t id)
{
    size_t page = id / QT_LENGTH_PAGE;
    const struct qtrace_translation *t;

    if (page >= dictionary->n_pages || dictionary->page[page] == NULL) {
        return NULL;
    }
    t = &dictionary->page[page][id % QT_LENGTH_PAGE];
    return t->insn == NULL ? NULL : t;
}

bool qt_dictionary_has(const struct qt_dictionary *dictionary, uint32_t first, uint64_t n)
{
    uint64_t i;

    for (i = 0; i < n; i++) {
        if (qt_dictionary_get(dictionary, first + (uint32_t)i) == NULL) {
            return false;
        }
    }
    return true;
}

static int insert(struct qt_dictionary *d, const struct qtrace_translation *t)
{
    size_t page = t->id / QT_LENGTH_PAGE;

    if (qt_grow((void **)&d->page, &d->n_pages, page + 1, sizeof(*d->page)) < 0) {
        return QTRACE_E_NOMEM;
    }
    if (d->page[page] == NULL) {
        d->page[page] = calloc(QT_LENGTH_PAGE, sizeof(*d->page[page]));
        if (d->page[page] == NULL) {
            return QTRACE_E_NOMEM;
        }
    }
    if (qt_lengths_set(&d->lengths, t->id, (uint16_t)t->n_insns) < 0) {
        return QTRACE_E_NOMEM;
    }
    d->page[page][t->id % QT_LENGTH_PAGE] = *t;
    if (t->id >= d->end) {
        d->end = t->id + 1ull;
    }
    return QTRACE_OK;
}

/* ---- unpacking ---- */

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* A field of a protobuf message. */
struct field {
    uint32_t tag; /* number << 3 | wire type */
    uint64_t value;
    struct qt_cursor bytes;
};

#define TAG(number, wire) ((number) << 3 | (wire))

static bool take(struct qt_cursor *c, uint64_t n, struct qt_cursor *taken)
{
    if (n > qt_cursor_left(c)) {
        return false;
    }
    *taken = qt_cursor(c->p, (size_t)n);
    c->p += n;
    return true;
}

static bool next_field(struct qt_cursor *c, struct field *f)
{
    uint64_t v;

    if (!qt_cursor_max(c, &v, UINT32_MAX)) {
        return false;
    }
    f->tag = (uint32_t)v;
    switch (v & 7) {
    case WIRE_VARINT:
        return qt_cursor_varint(c, &f->value);
    case WIRE_FIXED64:
        return take(c, 8, &f->bytes);
    case WIRE_BYTES:
        return qt_cursor_varint(c, &v) && take(c, v, &f->bytes);
    case WIRE_FIXED32:
        return take(c, 4, &f->bytes);
    default:
        return false;
    }
}

static int copy_string(struct qt_dictionary *d, struct qt_cursor bytes, const char **out)
{
    size_t n = qt_cursor_left(&bytes);
    char *p;

    if (memchr(bytes.p, '\0', n) != NULL) {
        return QTRACE_E_DAMAGED;
    }
    p = arena_get(&d->arena, n + 1);
    if (p == NULL) {
        return QTRACE_E_NOMEM;
    }
    memcpy(p, bytes.p, n);
    p[n] = '\0';
    *out = p;
    return QTRACE_OK;
}

static int copy_data(struct qt_dictionary *d, struct qt_cursor bytes, struct qtrace_insn *insn)
{
    size_t n = qt_cursor_left(&bytes);
    uint8_t *p;

    if (n > QTRACE_MAX_INSN_BYTES) {
        return QTRACE_E_DAMAGED;
    }
    p = arena_get(&d->arena, n);
    if (p == NULL) {
        return QTRACE_E_NOMEM;
    }
    memcpy(p, bytes.p, n);
    insn->data = p;
    insn->data_size = (uint16_t)n;
    return QTRACE_OK;
}

static int load_insn_field(struct qt_dictionary *d, const struct field *f,
                           struct qtrace_insn *insn, size_t n_symbols)
{
    switch (f->tag) {
    case TAG(1, WIRE_VARINT):
        insn->size = (uint16_t)f->value;
        return f->value <= QTRACE_MAX_INSN_BYTES ? QTRACE_OK : QTRACE_E_DAMAGED;
    case TAG(2, WIRE_BYTES):
        return copy_data(d, f->bytes, insn);
    case TAG(3, WIRE_VARINT):
        insn->vaddr += qt_unzigzag64(f->value);
        return QTRACE_OK;
    case TAG(4, WIRE_BYTES):
        return copy_string(d, f->bytes, &insn->disas);
    case TAG(5, WIRE_VARINT):
        if (f->value > n_symbols) {
            return QTRACE_E_DAMAGED;
        }
        insn->symbol = f->value == 0 ? NULL : d->symbol[f->value - 1];
        return QTRACE_OK;
    case TAG(6, WIRE_VARINT):
        insn->has_haddr = f->value != 0;
        return QTRACE_OK;
    case TAG(7, WIRE_VARINT):
        insn->haddr = f->value;
        return QTRACE_OK;
    default:
        return QTRACE_OK;
    }
}

static int load_insn(struct qt_dictionary *d, struct qt_cursor c, struct qtrace_insn *insn,
                     size_t n_symbols)
{
    struct field f;
    int ret = QTRACE_OK;

    while (ret == QTRACE_OK && c.p < c.end) {
        ret = next_field(&c, &f) ? load_insn_field(d, &f, insn, n_symbols) : QTRACE_E_DAMAGED;
    }
    if (ret == QTRACE_OK && (insn->size == 0 || insn->data_size < insn->size)) {
        ret = QTRACE_E_DAMAGED;
    }
    return ret;
}

/* Number of instructions and the block's address, which may stand anywhere. */
static int survey(struct qt_cursor c, struct qtrace_translation *t)
{
    struct field f;

    while (c.p < c.end) {
        if (!next_field(&c, &f)) {
            return QTRACE_E_DAMAGED;
        }
        t->n_insns += f.tag == TAG(2, WIRE_BYTES);
        t->vaddr = f.tag == TAG(1, WIRE_VARINT) ? f.value : t->vaddr;
    }
    return t->n_insns == 0 || t->n_insns > QTRACE_MAX_BLOCK_INSNS ? QTRACE_E_DAMAGED
                                                                  : QTRACE_OK;
}

static int load_translation(struct qt_dictionary *d, struct qt_cursor c, uint32_t id,
                            size_t n_symbols)
{
    struct qtrace_translation t = {.id = id};
    struct qtrace_insn *insn;
    struct field f;
    uint64_t next;
    uint32_t i = 0;
    int ret = survey(c, &t);

    if (ret < 0) {
        return ret;
    }
    insn = arena_get(&d->arena, t.n_insns * sizeof(*insn));
    if (insn == NULL) {
        return QTRACE_E_NOMEM;
    }
    next = t.vaddr;
    while (c.p < c.end && next_field(&c, &f)) {
        if (f.tag != TAG(2, WIRE_BYTES)) {
            continue;
        }
        insn[i] = (struct qtrace_insn){.vaddr = next};
        ret = load_insn(d, f.bytes, &insn[i], n_symbols);
        if (ret < 0) {
            return ret;
        }
        next = insn[i].vaddr + insn[i].size;
        i++;
    }
    t.insn = insn;
    return insert(d, &t);
}

/* Names come first: they may stand behind the translations that use them. */
static int load_symbols(struct qt_dictionary *d, struct qt_cursor c, size_t *n)
{
    struct field f;
    int ret;

    for (*n = 0; c.p < c.end;) {
        if (!next_field(&c, &f)) {
            return QTRACE_E_DAMAGED;
        }
        if (f.tag != TAG(3, WIRE_BYTES)) {
            continue;
        }
        if (qt_grow((void **)&d->symbol, &d->symbol_cap, *n + 1, sizeof(*d->symbol)) < 0) {
            return QTRACE_E_NOMEM;
        }
        ret = copy_string(d, f.bytes, &d->symbol[*n]);
        if (ret < 0) {
            return ret;
        }
        ++*n;
    }
    return QTRACE_OK;
}

int qt_dictionary_load(struct qt_dictionary *dictionary, const void *data, size_t size,
                       uint32_t first, uint64_t n)
{
    struct qt_cursor c = qt_cursor(data, size);
    uint64_t first_id = 0, i = 0;
    struct field f;
    size_t n_symbols;
    int ret = load_symbols(dictionary, c, &n_symbols);

    while (ret == QTRACE_OK && c.p < c.end) {
        if (!next_field(&c, &f)) {
            return QTRACE_E_DAMAGED;
        }
        first_id = f.tag == TAG(1, WIRE_VARINT) ? f.value : first_id;
        if (f.tag != TAG(2, WIRE_BYTES)) {
            continue;
        }
        if (i == n) {
            return QTRACE_E_DAMAGED;
        }
        if (qt_dictionary_get(dictionary, first + (uint32_t)i) == NULL) {
            ret = load_translation(dictionary, f.bytes, first + (uint32_t)i, n_symbols);
        }
        i++;
    }
    if (ret == QTRACE_OK && (i != n || first_id != first)) {
        ret = QTRACE_E_DAMAGED;
    }
    return ret;
}

/* ---- packing ---- */

#define SYMBOL_SLOTS 4096

struct qt_symbol_slot {
    size_t offset; /* of the name in the message */
    uint32_t size;
    uint32_t number; /* 0 = free */
};

void qt_definitions_finish(struct qt_definitions *definitions)
{
    qt_buf_finish(&definitions->message);
    qt_buf_finish(&definitions->translation);
    qt_buf_finish(&definitions->insn);
    free(definitions->symbol);
    *definitions = (struct qt_definitions){0};
}

static int put_field(struct qt_buf *buf, uint32_t tag, uint64_t value)
{
    int ret = qt_buf_reserve(buf, 2 * QT_VARINT_MAX);

    if (ret == QTRACE_OK) {
        uint8_t *p = buf->data + buf->len;

        buf->len = (size_t)(qt_put_varint(qt_put_varint(p, tag), value) - buf->data);
    }
    return ret;
}

/* proto3 leaves out what is zero. */
static int put_nonzero(struct qt_buf *buf, uint32_t tag, uint64_t value)
{
    return value == 0 ? QTRACE_OK : put_field(buf, tag, value);
}

static int put_bytes(struct qt_buf *buf, uint32_t tag, const void *data, size_t size)
{
    int ret = put_field(buf, tag, size);

    return ret == QTRACE_OK ? qt_buf_append(buf, data, size) : ret;
}

int qt_definitions_begin(struct qt_definitions *definitions, uint64_t first)
{
    if (definitions->symbol == NULL) {
        definitions->symbol = malloc(SYMBOL_SLOTS * sizeof(*definitions->symbol));
        if (definitions->symbol == NULL) {
            return QTRACE_E_NOMEM;
        }
    }
    memset(definitions->symbol, 0, SYMBOL_SLOTS * sizeof(*definitions->symbol));
    definitions->first = first;
    definitions->n = 0;
    definitions->n_symbols = 0;
    definitions->message.len = 0;
    return put_nonzero(&definitions->message, TAG(1, WIRE_VARINT), first);
}

static uint32_t hash(const char *p, size_t n)
{
    uint32_t h = 2166136261u;

    for (; n > 0; n--) {
        h = (h ^ (uint8_t)*p++) * 16777619u;
    }
    return h;
}

static int number_symbol(struct qt_definitions *d, const char *name, uint32_t *number)
{
    size_t n = strlen(name);
    struct qt_symbol_slot *slot = &d->symbol[hash(name, n) % SYMBOL_SLOTS];
    int ret;

    if (slot->number == 0 || slot->size != n ||
        memcmp(d->message.data + slot->offset, name, n) != 0) {
        if (n > QT_DEFINITIONS_SPLIT) {
            return QTRACE_E_INVALID;
        }
        ret = put_bytes(&d->message, TAG(3, WIRE_BYTES), name, n);
        if (ret < 0) {
            return ret;
        }
        *slot = (struct qt_symbol_slot){d->message.len - n, (uint32_t)n, ++d->n_symbols};
    }
    *number = slot->number;
    return QTRACE_OK;
}

static int pack_insn(struct qt_definitions *d, const struct qtrace_insn *insn, uint64_t next)
{
    struct qt_buf *buf = &d->insn;
    uint32_t symbol = 0;
    bool bad = insn->size == 0 || insn->data_size < insn->size ||
               insn->data_size > QTRACE_MAX_INSN_BYTES;
    int ret = bad ? QTRACE_E_INVALID : QTRACE_OK;

    buf->len = 0;
    if (ret == QTRACE_OK && insn->symbol != NULL) {
        ret = number_symbol(d, insn->symbol, &symbol);
    }
    if (ret < 0 || put_field(buf, TAG(1, WIRE_VARINT), insn->size) < 0 ||
        put_bytes(buf, TAG(2, WIRE_BYTES), insn->data, insn->data_size) < 0 ||
        put_nonzero(buf, TAG(3, WIRE_VARINT), qt_zigzag64(insn->vaddr - next)) < 0 ||
        (insn->disas != NULL && *insn->disas != '\0' &&
         put_bytes(buf, TAG(4, WIRE_BYTES), insn->disas, strlen(insn->disas)) < 0) ||
        put_nonzero(buf, TAG(5, WIRE_VARINT), symbol) < 0 ||
        put_nonzero(buf, TAG(6, WIRE_VARINT), insn->has_haddr) < 0 ||
        (insn->has_haddr && put_nonzero(buf, TAG(7, WIRE_VARINT), insn->haddr) < 0)) {
        return ret < 0 ? ret : QTRACE_E_NOMEM;
    }
    return put_bytes(&d->translation, TAG(2, WIRE_BYTES), buf->data, buf->len);
}

int qt_definitions_add(struct qt_definitions *definitions,
                       const struct qtrace_translation *translation)
{
    struct qt_buf *buf = &definitions->translation;
    uint64_t next = translation->vaddr;
    uint32_t i;
    int ret;

    if (translation->n_insns == 0 || translation->n_insns > QTRACE_MAX_BLOCK_INSNS) {
        return QTRACE_E_INVALID;
    }
    buf->len = 0;
    ret = put_nonzero(buf, TAG(1, WIRE_VARINT), translation->vaddr);
    for (i = 0; ret == QTRACE_OK && i < translation->n_insns; i++) {
        ret = pack_insn(definitions, &translation->insn[i], next);
        next = translation->insn[i].vaddr + translation->insn[i].size;
    }
    if (ret == QTRACE_OK &&
        definitions->message.len + buf->len + QT_VARINT_MAX > QT_DEFINITIONS_MAX) {
        ret = QTRACE_E_INVALID;
    }
    if (ret == QTRACE_OK) {
        ret = put_bytes(&definitions->message, TAG(2, WIRE_BYTES), buf->data, buf->len);
    }
    if (ret == QTRACE_OK) {
        definitions->n++;
    }
    return ret;
}
