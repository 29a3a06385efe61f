/*
 * howvec - how often instructions of which class are executed
 *
 * Arguments: inline=on|off (default off); verbose=on|off: also classes without executions;
 * count=..., may be repeated: class, individual (all classes), CLASS (the instructions of that
 * class one by one), !CLASS (not at all); CLASS and !CLASS also alone, as older versions of QEMU
 * had it; limit=N (default 50, 0 = all) of the instructions that are counted individually;
 * format=text|csv|json.
 *
 * Instructions are the same if their bytes are. With inline=on and a QEMU before 8.2, threads
 * that run at the same time can lose counts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qtrace/analyzer.h"

#include "code.h"
#include "counter.h"
#include "options.h"
#include "report.h"

#include <stdio.h>

enum how { BY_CLASS, INDIVIDUALLY, NOT };

struct class_count {
    struct counter counter; /* BY_CLASS */
    uint64_t total;         /* filled at the end */
    enum how how;
};

struct insn_count {
    struct counter counter;
    struct isa_code code; /* one place where it is */
    unsigned mode;
    unsigned class;
    uint64_t total; /* filled at the end */
};

static GMutex lock; /* of everything that follows but the counters */
static const struct isa_target *target;
static bool is_system;
static const struct isa_class *classes;
static unsigned n_classes;
static struct class_count *class_counts;
static GHashTable *insns; /* of struct insn_count, those that are counted individually */

static bool use_inline;
static bool verbose;
static uint64_t limit = 50;
static int format = REPORT_TEXT;

/* ---- counting ---- */

static guint insn_hash(gconstpointer p)
{
    const struct insn_count *i = p;
    uint64_t h = i->mode + 1;

    for (size_t k = 0; k < i->code.size; k++) {
        h = (h ^ i->code.bytes[k]) * UINT64_C(0x9e3779b97f4a7c15);
    }
    return (guint)(h >> 32);
}

static int compare_code(const struct insn_count *a, const struct insn_count *b)
{
    int order = memcmp(a->code.bytes, b->code.bytes, MIN(a->code.size, b->code.size));

    if (order == 0) {
        order = a->code.size < b->code.size ? -1 : a->code.size > b->code.size;
    }
    return order != 0 ? order : (a->mode > b->mode) - (a->mode < b->mode);
}

static gboolean insn_equal(gconstpointer a, gconstpointer b)
{
    return compare_code(a, b) == 0;
}

static struct counter *find_insn(const struct isa_code *code, unsigned mode, unsigned class,
                                 const struct qemu_plugin_insn *insn)
{
    struct insn_count key = { .code = *code, .mode = mode, .class = class };
    struct insn_count *i = g_hash_table_lookup(insns, &key);

    if (i == NULL) {
        i = g_new(struct insn_count, 1);
        *i = key;
        i->code.text = qemu_plugin_insn_disas(insn);
        counter_init(&i->counter, use_inline);
        g_hash_table_add(insns, i);
    }
    return &i->counter;
}

static void count_insn(const struct isa_code *code, unsigned mode, struct qemu_plugin_insn *insn)
{
    unsigned class = isa_classify(target, mode, code);

    if (class_counts[class].how == BY_CLASS) {
        counter_attach(&class_counts[class].counter, use_inline, insn);
    } else if (class_counts[class].how == INDIVIDUALLY) {
        counter_attach(find_insn(code, mode, class, insn), use_inline, insn);
    }
}

static void analyzer_translate(struct qemu_plugin_tb *tb)
{
    GArray *list = code_of_block(tb, isa_needs_text(target, is_system));
    const struct isa_code *code = (const struct isa_code *)(void *)list->data;

    g_mutex_lock(&lock);
    unsigned mode = isa_mode(target, is_system, code, list->len);
    for (guint i = 0; i < list->len; i++) {
        count_insn(&code[i], mode, qemu_plugin_tb_get_insn(tb, i));
    }
    g_mutex_unlock(&lock);
    code_free(list);
}

/* ---- the report ---- */

static gint compare_insns(gconstpointer pa, gconstpointer pb)
{
    const struct insn_count *a = *(struct insn_count *const *)pa;
    const struct insn_count *b = *(struct insn_count *const *)pb;

    if (a->total != b->total) {
        return a->total > b->total ? -1 : 1;
    }
    return compare_code(a, b);
}

/* Fills the totals; returns the instructions, sorted. */
static GPtrArray *add_up(void)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter iter;
    gpointer key;

    for (unsigned c = 0; c < n_classes; c++) {
        class_counts[c].total = counter_value(&class_counts[c].counter);
    }
    g_hash_table_iter_init(&iter, insns);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        struct insn_count *i = key;
        i->total = counter_value(&i->counter);
        class_counts[i->class].total += i->total;
        g_ptr_array_add(list, i);
    }
    g_ptr_array_sort(list, compare_insns);
    return list;
}

/* The number that the bytes are in little-endian order, of at least 32 bits. */
static char *opcode_text(const struct isa_code *code)
{
    GString *text = g_string_new("0x");

    for (size_t i = MAX(code->size, 4); i > 0; i--) {
        g_string_append_printf(text, "%02x", i <= code->size ? code->bytes[i - 1] : 0);
    }
    return g_string_free(text, FALSE);
}

static const char *class_name(unsigned class)
{
    const char *name = classes[class].name;

    return name + strspn(name, " ");
}

static void print_text(struct report *report, const GPtrArray *list)
{
    report_text(report, "Instruction Classes:\n");
    for (unsigned c = 0; c < n_classes; c++) {
        const struct class_count *count = &class_counts[c];

        if (count->how != BY_CLASS) {
            report_text(report, "Class: %-24s\t%s\n", classes[c].name,
                        count->how == NOT ? "not counted" : "counted individually");
        } else if (count->total > 0 || verbose) {
            report_text(report, "Class: %-24s\t(%" PRIu64 " hits)\n", classes[c].name,
                        count->total);
        }
    }
    if (list->len > 0) {
        report_text(report, "Individual Instructions:\n");
    }
    for (guint i = 0; i < list->len && (limit == 0 || i < limit); i++) {
        const struct insn_count *insn = list->pdata[i];
        g_autofree char *opcode = opcode_text(&insn->code);

        report_text(report, "Instr: %-24s\t(%" PRIu64 " hits)\t(op=%s/%s)\n", insn->code.text,
                    insn->total, opcode, classes[insn->class].name);
    }
}

static void print_tables(struct report *report, const GPtrArray *list)
{
    static const char *const how[] = { "class", "individual", "not counted" };

    report_table(report, "classes", "class", "argument", "counted", "hits", NULL);
    for (unsigned c = 0; c < n_classes; c++) {
        const struct class_count *count = &class_counts[c];

        if (count->how == BY_CLASS && count->total == 0 && !verbose) {
            continue;
        }
        report_string(report, class_name(c));
        report_string(report, classes[c].word);
        report_string(report, how[count->how]);
        report_number(report, count->total);
        report_row(report);
    }
    if (list->len == 0) {
        return;
    }
    report_table(report, "instructions", "instruction", "hits", "opcode", "class", NULL);
    for (guint i = 0; i < list->len && (limit == 0 || i < limit); i++) {
        const struct insn_count *insn = list->pdata[i];
        g_autofree char *opcode = opcode_text(&insn->code);

        report_string(report, insn->code.text);
        report_number(report, insn->total);
        report_string(report, opcode);
        report_string(report, class_name(insn->class));
        report_row(report);
    }
}

static void analyzer_exit(void)
{
    struct report *report = report_new(format);

    g_mutex_lock(&lock);
    GPtrArray *list = add_up();
    if (report_is_text(report)) {
        print_text(report, list);
    } else {
        print_tables(report, list);
    }
    g_mutex_unlock(&lock);
    report_print(report);
    g_ptr_array_free(list, TRUE);
}

/* ---- arguments ---- */

static void count_all(enum how how)
{
    for (unsigned c = 0; c < n_classes; c++) {
        class_counts[c].how = how;
    }
}

/* The class that "hint" or "!hint" is about; n_classes if it is none. */
static unsigned find_class(const char *word)
{
    unsigned c = 0;

    word += word[0] == '!';
    while (c < n_classes && strcmp(word, classes[c].word) != 0) {
        c++;
    }
    return c;
}

static bool set_count(const char *word)
{
    unsigned class = find_class(word);

    if (strcmp(word, "class") == 0) {
        count_all(BY_CLASS);
    } else if (strcmp(word, "individual") == 0) {
        count_all(INDIVIDUALLY);
    } else if (class < n_classes) {
        class_counts[class].how = word[0] == '!' ? NOT : INDIVIDUALLY;
    } else {
        return false;
    }
    return true;
}

/* A class by itself comes as "hint=on". */
static bool take_bare_class(const char *arg, GPtrArray *counts)
{
    g_autofree char *word = g_strdup(arg);

    if (g_str_has_suffix(word, "=on")) {
        word[strlen(word) - strlen("=on")] = '\0';
    }
    if (find_class(word) == n_classes) {
        return false;
    }
    g_ptr_array_add(counts, g_steal_pointer(&word));
    return true;
}

static bool set_counts(const GPtrArray *counts)
{
    for (guint i = 0; i < counts->len; i++) {
        if (set_count(counts->pdata[i])) {
            continue;
        }
        fprintf(stderr, "howvec: '%s' is no class of this target; there are:",
                (const char *)counts->pdata[i]);
        for (unsigned c = 0; c < n_classes; c++) {
            fprintf(stderr, " %s", classes[c].word);
        }
        fputc('\n', stderr);
        return false;
    }
    return true;
}

static bool parse_arguments(int argc, char **argv)
{
    GPtrArray *counts = g_ptr_array_new_with_free_func(g_free);
    const struct option options[] = {
        { "inline", OPTION_BOOL, &use_inline },
        { "verbose", OPTION_BOOL, &verbose },
        { "count", OPTION_LIST, &counts, .hint = "class|individual|CLASS|!CLASS" },
        { "limit", OPTION_NUMBER, &limit, .hint = "N" },
        OPTION_FORMAT(&format),
        { NULL },
    };
    bool good = true;

    for (int i = 0; i < argc && good; i++) {
        good = take_bare_class(argv[i], counts) || options_parse("howvec", options, 1, &argv[i]);
    }
    good = good && set_counts(counts);
    g_ptr_array_unref(counts);
    return good;
}

ANALYZER_SUMMARY("how often instructions of which class are executed")

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    target = isa_find(info->target_name);
    is_system = info->system_emulation;
    classes = isa_classes(target);
    while (classes[n_classes].name != NULL) {
        n_classes++;
    }
    class_counts = g_new0(struct class_count, n_classes);
    if (!isa_is_known(target)) {
        count_all(INDIVIDUALLY);
    }
    if (!parse_arguments(argc, argv)) {
        return -1;
    }
    for (unsigned c = 0; c < n_classes; c++) {
        counter_init(&class_counts[c].counter, use_inline);
    }
    insns = g_hash_table_new(insn_hash, insn_equal);
    analyzer_register(id);
    return 0;
}
