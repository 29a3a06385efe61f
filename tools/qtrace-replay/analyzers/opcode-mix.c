/*
 * opcode-mix - which instructions a program consists of, by executions
 *
 * Arguments: by=mnemonic|class (default mnemonic; classes are those of howvec); inline=on|off
 * (default off); limit=N (default 20, 0 = all); format=text|csv|json. The shares are percents of
 * all instructions that were executed; the second one is of this row and those above it.
 *
 * A mnemonic is the first word of QEMU's disassembly, with the prefixes of x86 before it. If the
 * trace has no disassembly, it is what capstone says, where that knows the target. With inline=on
 * and a QEMU before 8.2, threads that run at the same time can lose counts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qtrace/analyzer.h"

#include "code.h"
#include "counter.h"
#include "options.h"
#include "report.h"

#define UNKNOWN "(unknown)"

enum { BY_MNEMONIC, BY_CLASS };

struct entry {
    struct counter counter;
    char *name;
    uint64_t total; /* filled at the end */
};

static GMutex lock; /* of the table and of the disassembler */
static GHashTable *entries;
static const struct isa_target *target;
static bool is_system, is_riscv;
static int by = BY_MNEMONIC;
static bool use_inline;
static uint64_t limit = 20;
static int format = REPORT_TEXT;

/* ---- names ---- */

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

static size_t word_length(const char *text)
{
    return strcspn(text, " \t");
}

/* Up to version 8.0, QEMU's disassembler for RISC-V begins with the bytes, in hexadecimal. */
static const char *skip_bytes(const char *text)
{
    size_t n = strspn(text, "0123456789abcdef");

    return n >= 4 && n % 4 == 0 && n == word_length(text) ? skip_blanks(text + n) : text;
}

static bool is_prefix(const char *text, size_t n)
{
    static const char *const prefixes[] = { "lock", "rep", "repe", "repz", "repne", "repnz",
                                            "bnd", "notrack", "data16", "xacquire", "xrelease" };

    for (size_t i = 0; i < G_N_ELEMENTS(prefixes); i++) {
        if (strlen(prefixes[i]) == n && memcmp(prefixes[i], text, n) == 0) {
            return true;
        }
    }
    return false;
}

static char *mnemonic_of(const char *text)
{
    text = skip_blanks(text);
    if (is_riscv) {
        text = skip_bytes(text);
    }
    const char *last = text; /* the word that is no prefix */
    while (is_prefix(last, word_length(last)) && last[word_length(last)] != '\0') {
        last = skip_blanks(last + word_length(last));
    }
    size_t n = (size_t)(last - text) + word_length(last);
    return n > 0 ? g_strndup(text, n) : NULL;
}

static char *name_of(const struct isa_code *code, unsigned mode)
{
    char *name;

    if (by == BY_CLASS) {
        return g_strdup(skip_blanks(isa_classes(target)[isa_classify(target, mode, code)].name));
    }
    name = code->text != NULL ? mnemonic_of(code->text) : NULL;
    if (name == NULL) {
        g_autofree char *text = isa_disassemble(target, mode, code);
        name = text != NULL ? mnemonic_of(text) : NULL;
    }
    return name != NULL ? name : g_strdup(UNKNOWN);
}

/* ---- counting ---- */

static struct entry *find_entry(char *name)
{
    struct entry *e = g_hash_table_lookup(entries, name);

    if (e != NULL) {
        g_free(name);
        return e;
    }
    e = g_new0(struct entry, 1);
    e->name = name;
    counter_init(&e->counter, use_inline);
    g_hash_table_insert(entries, name, e);
    return e;
}

static void analyzer_translate(struct qemu_plugin_tb *tb)
{
    GArray *list = code_of_block(tb, by == BY_MNEMONIC || isa_needs_text(target, is_system));
    const struct isa_code *code = (const struct isa_code *)(void *)list->data;

    g_mutex_lock(&lock);
    unsigned mode = isa_mode(target, is_system, code, list->len);
    for (guint i = 0; i < list->len; i++) {
        struct entry *e = find_entry(name_of(&code[i], mode));
        counter_attach(&e->counter, use_inline, qemu_plugin_tb_get_insn(tb, i));
    }
    g_mutex_unlock(&lock);
    code_free(list);
}

/* ---- the report ---- */

static gint compare(gconstpointer pa, gconstpointer pb)
{
    const struct entry *a = *(struct entry *const *)pa, *b = *(struct entry *const *)pb;

    if (a->total != b->total) {
        return a->total > b->total ? -1 : 1;
    }
    return strcmp(a->name, b->name);
}

/* Those that were executed, sorted. */
static GPtrArray *sorted_entries(uint64_t *sum)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter iter;
    gpointer value;

    *sum = 0;
    g_hash_table_iter_init(&iter, entries);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        struct entry *e = value;
        e->total = counter_value(&e->counter);
        *sum += e->total;
        if (e->total > 0) {
            g_ptr_array_add(list, e);
        }
    }
    g_ptr_array_sort(list, compare);
    return list;
}

static double percent(uint64_t part, uint64_t whole)
{
    return 100 * (double)part / (double)whole;
}

static void analyzer_exit(void)
{
    static const char *const column[] = { "mnemonic", "class" };
    struct report *report = report_new(format);
    uint64_t sum, above = 0;

    g_mutex_lock(&lock);
    GPtrArray *list = sorted_entries(&sum);
    report_text(report, "%" PRIu64 " instructions, %u different\n", sum, list->len);
    report_table(report, "opcode-mix", column[by], "count", "share", "cumulative", NULL);
    for (guint i = 0; i < list->len && (limit == 0 || i < limit); i++) {
        const struct entry *e = list->pdata[i];
        above += e->total;
        report_string(report, e->name);
        report_number(report, e->total);
        report_real(report, percent(e->total, sum), 2);
        report_real(report, percent(above, sum), 2);
        report_row(report);
    }
    g_mutex_unlock(&lock);
    report_print(report);
    g_ptr_array_free(list, TRUE);
}

ANALYZER_SUMMARY("which instructions a program consists of, by executions")

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    const struct option options[] = {
        { "by", OPTION_CHOICE, &by, (const char *const[]){ "mnemonic", "class", NULL } },
        { "inline", OPTION_BOOL, &use_inline },
        { "limit", OPTION_NUMBER, &limit, .hint = "N" },
        OPTION_FORMAT(&format),
        { NULL },
    };

    if (!options_parse("opcode-mix", options, argc, argv)) {
        return -1;
    }
    target = isa_find(info->target_name);
    is_system = info->system_emulation;
    is_riscv = g_str_has_prefix(info->target_name, "riscv");
    entries = g_hash_table_new(g_str_hash, g_str_equal);
    analyzer_register(id);
    return 0;
}
