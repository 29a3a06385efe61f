/*
 * dictionary.c - translations by id, loaded from Definitions messages
 *
 * The message is unpacked by hand: straight into the arena, without an allocation per
 * instruction, and bounded for hostile files.
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

static void *arena_get(struct qt_dictionary *d, size_t size)
{
    struct qt_arena_chunk *chunk = d->arena;
    size_t room;
    void *p;

    size = (size + 7) & ~(size_t)7;
    if (chunk == NULL || chunk->size - chunk->used < size) {
        room = size > ARENA_CHUNK ? size : ARENA_CHUNK;
        chunk = malloc(sizeof(*chunk) + room);
        if (chunk == NULL) {
            return NULL;
        }
        *chunk = (struct qt_arena_chunk){.next = d->arena, .size = room};
        d->arena = chunk;
        d->used += room;
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

void qt_dictionary_forget(struct qt_dictionary *dictionary)
{
    size_t i;

    for (i = 0; i < dictionary->n_pages; i++) {
        free(dictionary->page[i]);
        dictionary->page[i] = NULL;
    }
    arena_finish(&dictionary->arena);
    dictionary->used = 0;
}

void qt_dictionary_finish(struct qt_dictionary *dictionary)
{
    qt_dictionary_forget(dictionary);
    free(dictionary->page);
    qt_lengths_finish(&dictionary->lengths);
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

static int set_length(struct qt_dictionary *d, uint32_t id, uint32_t n_insns)
{
    uint32_t length = qt_length(&d->lengths, id);

    if (length != 0) {
        return length == n_insns ? QTRACE_OK : QTRACE_E_DAMAGED; /* the index says otherwise */
    }
    return qt_lengths_set(&d->lengths, id, (uint16_t)n_insns);
}

static int insert(struct qt_dictionary *d, const struct qtrace_translation *t)
{
    size_t page = t->id / QT_LENGTH_PAGE;
    int ret = set_length(d, t->id, t->n_insns);

    if (ret < 0) {
        return ret;
    }
    if (qt_grow((void **)&d->page, &d->n_pages, page + 1, sizeof(*d->page)) < 0) {
        return QTRACE_E_NOMEM;
    }
    if (d->page[page] == NULL) {
        d->page[page] = calloc(QT_LENGTH_PAGE, sizeof(*d->page[page]));
        if (d->page[page] == NULL) {
            return QTRACE_E_NOMEM;
        }
        d->used += QT_LENGTH_PAGE * sizeof(*d->page[page]);
    }
    d->page[page][t->id % QT_LENGTH_PAGE] = *t;
    return QTRACE_OK;
}

/* ---- unpacking ---- */

/* A message that is being loaded: its columns, and what instructions refer to. */
struct loader {
    struct qt_dictionary *d;
    struct qt_cursor column[QT_DEF_FIELDS];
    bool present[QT_DEF_FIELDS];
    uint64_t first_id;
    const char **name;
    uint32_t n_names;
    struct form *form;
    uint32_t n_forms, next_form;
    const uint8_t *data; /* of all forms */
    const char *disas;
    uint64_t end, bias;
    uint32_t n_insns;
};

struct form {
    uint32_t data, disas; /* places */
    uint8_t size, extra;
};

static bool find_columns(struct loader *l, struct qt_cursor c)
{
    struct qt_field f;
    uint32_t number;

    while (c.p < c.end) {
        if (!qt_next_field(&c, &f)) {
            return false;
        }
        number = f.tag >> 3;
        if (f.tag == QT_TAG(QT_DEF_FIRST_ID, QT_WIRE_VARINT)) {
            l->first_id = f.value;
        } else if (number == QT_DEF_NAME && (f.tag & 7) == QT_WIRE_BYTES) {
            l->n_names++;
        } else if (number > QT_DEF_FIRST_ID && number < QT_DEF_FIELDS) {
            if ((f.tag & 7) != QT_WIRE_BYTES || l->present[number]) {
                return false;
            }
            l->column[number] = f.bytes;
            l->present[number] = true;
        }
    }
    return l->n_names <= QT_DEFINITIONS_INSNS;
}

/* A copy in the arena, with a zero byte behind it. */
static char *copy(struct qt_dictionary *d, struct qt_cursor bytes)
{
    size_t n = qt_cursor_left(&bytes);
    char *p = arena_get(d, n + 1);

    if (p != NULL) {
        if (n > 0) {
            memcpy(p, bytes.p, n);
        }
        p[n] = '\0';
    }
    return p;
}

static int load_names(struct loader *l, struct qt_cursor c)
{
    struct qt_field f;
    uint32_t i = 0;

    l->name = malloc((l->n_names + 1ull) * sizeof(*l->name));
    if (l->name == NULL) {
        return QTRACE_E_NOMEM;
    }
    while (i < l->n_names && qt_next_field(&c, &f)) {
        if (f.tag != QT_TAG(QT_DEF_NAME, QT_WIRE_BYTES)) {
            continue;
        }
        l->name[i] = copy(l->d, f.bytes);
        if (l->name[i] == NULL) {
            return QTRACE_E_NOMEM;
        }
        if (strlen(l->name[i]) != qt_cursor_left(&f.bytes)) {
            return QTRACE_E_DAMAGED;
        }
        i++;
    }
    return QTRACE_OK;
}

/* Where each form's bytes and text are. */
static bool place_forms(struct loader *l)
{
    const struct qt_cursor *size = &l->column[QT_DEF_SIZE], *extra = &l->column[QT_DEF_EXTRA];
    size_t data = 0, disas = 0, n_data = qt_cursor_left(&l->column[QT_DEF_DATA]);
    size_t n_disas = qt_cursor_left(&l->column[QT_DEF_DISAS]);
    uint32_t i;

    for (i = 0; i < l->n_forms; i++) {
        struct form *f = &l->form[i];

        *f = (struct form){(uint32_t)data, (uint32_t)disas, size->p[i], 0};
        f->extra = l->present[QT_DEF_EXTRA] ? extra->p[i] : 0;
        if (f->size > QTRACE_MAX_INSN_BYTES ||
            f->extra > QTRACE_MAX_INSN_BYTES - f->size ||
            (size_t)f->size + f->extra > n_data - data || disas >= n_disas) {
            return false;
        }
        data += (size_t)f->size + f->extra;
        disas += strlen(l->disas + disas) + 1;
    }
    return data == n_data && disas == n_disas;
}

static int load_forms(struct loader *l)
{
    size_t n = qt_cursor_left(&l->column[QT_DEF_SIZE]);

    if (n > QT_DEFINITIONS_INSNS ||
        (l->present[QT_DEF_EXTRA] && qt_cursor_left(&l->column[QT_DEF_EXTRA]) != n)) {
        return QTRACE_E_DAMAGED;
    }
    l->n_forms = (uint32_t)n;
    l->form = malloc((n + 1) * sizeof(*l->form));
    l->data = (const uint8_t *)copy(l->d, l->column[QT_DEF_DATA]);
    l->disas = copy(l->d, l->column[QT_DEF_DISAS]);
    if (l->form == NULL || l->data == NULL || l->disas == NULL) {
        return QTRACE_E_NOMEM;
    }
    return place_forms(l) ? QTRACE_OK : QTRACE_E_DAMAGED;
}

/* The next number of a column; all are 0 if it is absent. */
static bool next(struct loader *l, unsigned field, uint64_t max, uint64_t *value)
{
    *value = 0;
    return !l->present[field] || qt_cursor_max(&l->column[field], value, max);
}

static bool load_insn(struct loader *l, struct qtrace_insn *insn, uint64_t expected)
{
    uint64_t form, skip, symbol, no_haddr, bias;
    const struct form *f;

    if (!l->present[QT_DEF_FORM] || !next(l, QT_DEF_FORM, l->next_form, &form) ||
        !next(l, QT_DEF_SKIP, UINT64_MAX, &skip) ||
        !next(l, QT_DEF_SYMBOL, l->n_names, &symbol) ||
        !next(l, QT_DEF_NO_HADDR, 1, &no_haddr)) {
        return false;
    }
    form = form == 0 ? ++l->next_form : form;
    if (form > l->n_forms) {
        return false;
    }
    f = &l->form[form - 1];
    *insn = (struct qtrace_insn){
        .vaddr = expected + qt_unzigzag64(skip),
        .data = l->data + f->data,
        .disas = l->disas[f->disas] == '\0' ? NULL : l->disas + f->disas,
        .symbol = symbol == 0 ? NULL : l->name[symbol - 1],
        .size = f->size,
        .data_size = (uint16_t)(f->size + f->extra),
        .has_haddr = !no_haddr,
    };
    if (insn->has_haddr) {
        if (!l->present[QT_DEF_HADDR] || !next(l, QT_DEF_HADDR, UINT64_MAX, &bias)) {
            return false;
        }
        l->bias += qt_unzigzag64(bias);
        insn->haddr = insn->vaddr + l->bias;
    }
    return true;
}

/* A translation that repeats an earlier one. */
static int load_same(struct loader *l, uint32_t id, uint32_t distance)
{
    const struct qtrace_translation *first;
    struct qtrace_translation t;
    uint32_t length;

    if (distance > id || l->n_insns == QT_DEFINITIONS_INSNS) {
        return QTRACE_E_DAMAGED;
    }
    l->n_insns++;
    first = qt_dictionary_get(l->d, id - distance);
    if (first == NULL) {
        l->d->missing = id == l->d->wanted ? id - distance + 1ull : l->d->missing;
        length = qt_length(&l->d->lengths, id - distance);
        return length == 0 ? QTRACE_OK : set_length(l->d, id, length);
    }
    if (qt_dictionary_get(l->d, id) != NULL) {
        return QTRACE_OK;
    }
    t = *first;
    t.id = id;
    return insert(l->d, &t);
}

static int load_contents(struct loader *l, uint32_t id)
{
    struct qtrace_insn known[QTRACE_MAX_BLOCK_INSNS], *insn = known;
    struct qtrace_translation t = {.id = id};
    bool is_new = qt_dictionary_get(l->d, id) == NULL;
    uint64_t n, vaddr;
    uint32_t i;

    if (!l->present[QT_DEF_INSNS] || !next(l, QT_DEF_INSNS, QTRACE_MAX_BLOCK_INSNS, &n) ||
        n == 0 || n > QT_DEFINITIONS_INSNS - l->n_insns || !l->present[QT_DEF_VADDR] ||
        !next(l, QT_DEF_VADDR, UINT64_MAX, &vaddr)) {
        return QTRACE_E_DAMAGED;
    }
    l->n_insns += (uint32_t)n;
    t.n_insns = (uint32_t)n;
    t.vaddr = l->end += qt_unzigzag64(vaddr);
    if (is_new) {
        t.insn = insn = arena_get(l->d, t.n_insns * sizeof(*insn));
    }
    if (insn == NULL) {
        return QTRACE_E_NOMEM;
    }
    for (i = 0; i < t.n_insns; i++) {
        if (!load_insn(l, &insn[i], l->end)) {
            return QTRACE_E_DAMAGED;
        }
        l->end = insn[i].vaddr + insn[i].size;
    }
    return is_new ? insert(l->d, &t) : QTRACE_OK;
}

static int load_translation(struct loader *l, uint32_t id)
{
    uint64_t same;

    if (!next(l, QT_DEF_SAME, UINT32_MAX, &same)) {
        return QTRACE_E_DAMAGED;
    }
    return same == 0 ? load_contents(l, id) : load_same(l, id, (uint32_t)same);
}

/* Is everything that the message holds used up? */
static bool is_at_end(const struct loader *l)
{
    static const uint8_t walked[] = {QT_DEF_INSNS,  QT_DEF_VADDR, QT_DEF_FORM,    QT_DEF_SKIP,
                                     QT_DEF_SYMBOL, QT_DEF_HADDR, QT_DEF_NO_HADDR, QT_DEF_SAME};
    size_t i;

    for (i = 0; i < sizeof(walked); i++) {
        if (qt_cursor_left(&l->column[walked[i]]) > 0) {
            return false;
        }
    }
    return l->next_form == l->n_forms;
}

static int load(struct loader *l, struct qt_cursor c, uint32_t first, uint64_t n)
{
    uint64_t i;
    int ret;

    if (!find_columns(l, c) || l->first_id != first) {
        return QTRACE_E_DAMAGED;
    }
    ret = load_names(l, c);
    if (ret == QTRACE_OK) {
        ret = load_forms(l);
    }
    for (i = 0; ret == QTRACE_OK && i < n; i++) {
        ret = load_translation(l, first + (uint32_t)i);
    }
    return ret == QTRACE_OK && !is_at_end(l) ? QTRACE_E_DAMAGED : ret;
}

int qt_dictionary_load(struct qt_dictionary *dictionary, const void *data, size_t size,
                       uint32_t first, uint64_t n)
{
    struct loader l = {.d = dictionary};
    int ret;

    dictionary->missing = 0;
    ret = load(&l, qt_cursor(data, size), first, n);

    free(l.name);
    free(l.form);
    return ret;
}
