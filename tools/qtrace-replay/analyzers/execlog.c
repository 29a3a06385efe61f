/*
 * execlog - a line for every executed instruction, with its accesses
 *
 *   vcpu, 0xpc, 0xopcode, "disassembly"[, load|store, 0xaddress[, device]]...[, REG -> 0xvalue]...
 *
 * Arguments: ifilter=TEXT: only instructions whose disassembly begins with TEXT; afilter=HEX:
 * only instructions at that address; reg=PATTERN (* and ? are wild): show such registers when
 * the instruction has changed them; all three may be repeated. rdisas=on|off (default off): look
 * at registers only after instructions whose disassembly names one, and show those instructions
 * whatever the filters are. format=text|csv|json.
 *
 * The opcode is the number that the instruction's bytes are in little-endian order, all of them.
 * csv has a row for each instruction: all accesses are one cell, all registers another. json has
 * an object on a line of its own for each: nothing is kept in memory, however long the run is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define ANALYZER_VCPU_INIT
#include "qtrace/analyzer.h"
#include "json.h"
#include "lock.h"
#include "options.h"
#include "per-vcpu.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

#define MAX_INSN 64

struct reg {
    struct qemu_plugin_register *handle;
    const char *name;
    GByteArray *last, *now;
};

/* The line of the instruction that a vCPU executed last: its accesses are still to come. */
struct vcpu {
    struct lock lock;
    GString *line; /* empty or NULL: there is none */
    unsigned n_accesses;
    GPtrArray *regs;
};

static struct per_vcpu *vcpus;
static GPtrArray *prefixes;
static GPtrArray *texts; /* of the addresses */
static GArray *addresses;
static GPtrArray *patterns; /* of registers; NULL: nobody wants any */
static bool by_disas;
static bool big_endian;
static int format = REPORT_TEXT;
static GMutex names_lock;
static GPtrArray *names; /* of the registers that are looked at */

/* ---- the parts of a line ---- */

/* Within quotes. */
static void append_csv(GString *line, const char *text)
{
    for (; *text != '\0'; text++) {
        g_string_append(line, *text == '"' ? "\"\"" : (char[]){ *text, '\0' });
    }
}

/* The fixed part of an instruction's line. It is never freed: the code may run at any time. */
static char *describe(uint64_t pc, const char *opcode, const char *disas)
{
    GString *text = g_string_new(NULL);
    g_autofree char *quoted = json_quoted(disas);

    switch (format) {
    case REPORT_CSV:
        g_string_printf(text, "0x%016" PRIx64 ",%s,\"", pc, opcode);
        append_csv(text, disas);
        g_string_append(text, "\",\"");
        break;
    case REPORT_JSON:
        g_string_printf(text, "\"pc\": \"0x%016" PRIx64 "\", \"opcode\": \"%s\", "
                              "\"disassembly\": %s, \"accesses\": [", pc, opcode, quoted);
        break;
    default:
        g_string_printf(text, "0x%" PRIx64 ", %s, \"%s\"", pc, opcode, disas);
    }
    return g_string_free(text, FALSE);
}

static void begin_line(struct vcpu *v, unsigned vcpu_index, const char *description)
{
    static const char *const before[] = {
        [REPORT_TEXT] = "%u, ", [REPORT_CSV] = "%u,", [REPORT_JSON] = "{\"vcpu\": %u, "
    };

    g_string_printf(v->line, before[format], vcpu_index);
    g_string_append(v->line, description);
    v->n_accesses = 0;
}

/* device: NULL in user mode. */
static void append_access(struct vcpu *v, const char *kind, uint64_t address, const char *device)
{
    bool first = v->n_accesses++ == 0;

    switch (format) {
    case REPORT_CSV:
        g_string_append_printf(v->line, "%s%s 0x%016" PRIx64, first ? "" : "; ", kind, address);
        if (device != NULL) {
            g_string_append_c(v->line, ' ');
            append_csv(v->line, device);
        }
        break;
    case REPORT_JSON:
        g_string_append_printf(v->line, "%s{\"kind\": \"%s\", \"address\": \"0x%016" PRIx64 "\"",
                               first ? "" : ", ", kind, address);
        if (device != NULL) {
            g_autofree char *quoted = json_quoted(device);
            g_string_append_printf(v->line, ", \"device\": %s", quoted);
        }
        g_string_append_c(v->line, '}');
        break;
    default:
        g_string_append_printf(v->line, ", %s, 0x%08" PRIx64, kind, address);
        if (device != NULL) {
            g_string_append_printf(v->line, ", %s", device);
        }
    }
}

static void append_register(struct vcpu *v, const struct reg *r, bool first)
{
    static const char *const between[] = {
        [REPORT_TEXT] = ", ", [REPORT_CSV] = "; ", [REPORT_JSON] = ", "
    };
    static const char *const before[] = {
        [REPORT_TEXT] = "%s -> 0x", [REPORT_CSV] = "%s 0x", [REPORT_JSON] = "\"%s\": \"0x"
    };
    guint n = r->now->len;

    if (!first || format == REPORT_TEXT) {
        g_string_append(v->line, between[format]);
    }
    g_string_append_printf(v->line, before[format], r->name);
    for (guint i = 0; i < n; i++) {
        g_string_append_printf(v->line, "%02x", r->now->data[big_endian ? i : n - 1 - i]);
    }
    if (format == REPORT_JSON) {
        g_string_append_c(v->line, '"');
    }
}

/* ---- registers ---- */

/* The result of the call differs between versions; bytes come if it succeeds. */
static bool read_register(const struct reg *r, GByteArray *bytes)
{
    g_byte_array_set_size(bytes, 0);
    qemu_plugin_read_register(r->handle, bytes);
    return bytes->len > 0;
}

static bool is_register_wanted(const char *name, const char *lower)
{
    for (guint i = 0; i < patterns->len; i++) {
        if (g_pattern_match_simple(patterns->pdata[i], name) ||
            g_pattern_match_simple(patterns->pdata[i], lower)) {
            return true;
        }
    }
    return false;
}

static void add_register(struct vcpu *v, const qemu_plugin_reg_descriptor *desc)
{
    g_autofree char *lower = g_ascii_strdown(desc->name, -1);

    if (!is_register_wanted(desc->name, lower)) {
        return;
    }
    struct reg *r = g_new0(struct reg, 1);
    r->handle = desc->handle;
    r->name = g_intern_string(lower);
    r->last = g_byte_array_new();
    r->now = g_byte_array_new();
    read_register(r, r->last);
    g_ptr_array_add(v->regs, r);
    g_mutex_lock(&names_lock);
    if (!g_ptr_array_find(names, r->name, NULL)) {
        g_ptr_array_add(names, (gpointer)r->name);
    }
    g_mutex_unlock(&names_lock);
}

static void free_register(gpointer p)
{
    struct reg *r = p;

    g_byte_array_unref(r->last);
    g_byte_array_unref(r->now);
    g_free(r);
}

static void append_changes(struct vcpu *v)
{
    bool first = true;

    for (guint i = 0; v->regs != NULL && i < v->regs->len; i++) {
        struct reg *r = v->regs->pdata[i];
        GByteArray *before = r->last;

        if (read_register(r, r->now) && (r->now->len != before->len ||
                                         memcmp(r->now->data, before->data, before->len) != 0)) {
            append_register(v, r, first);
            first = false;
            r->last = r->now;
            r->now = before;
        }
    }
}

/* ---- lines ---- */

static void print_header(void)
{
    static gsize printed;

    if (format == REPORT_CSV && g_once_init_enter(&printed)) {
        qemu_plugin_outs(patterns != NULL
                             ? "vcpu,pc,opcode,disassembly,accesses,registers\n"
                             : "vcpu,pc,opcode,disassembly,accesses\n");
        g_once_init_leave(&printed, 1);
    }
}

/* look: at the registers, now that the instruction is done. */
static void print_line(struct vcpu *v, bool look)
{
    static const char *const open_registers[] = {
        [REPORT_TEXT] = "", [REPORT_CSV] = "\",\"", [REPORT_JSON] = "], \"registers\": {"
    };
    static const char *const close[][2] = {
        [REPORT_TEXT] = { "\n", "\n" },
        [REPORT_CSV] = { "\"\n", "\"\n" },
        [REPORT_JSON] = { "]}\n", "}}\n" },
    };

    if (v->line->len == 0) {
        return;
    }
    if (patterns != NULL) {
        g_string_append(v->line, open_registers[format]);
        if (look) {
            append_changes(v);
        }
    }
    g_string_append(v->line, close[format][patterns != NULL]);
    print_header();
    qemu_plugin_outs(v->line->str);
    g_string_truncate(v->line, 0);
}

static struct vcpu *lock_vcpu(unsigned vcpu_index)
{
    struct vcpu *v = per_vcpu_get(vcpus, vcpu_index);

    lock_take(&v->lock);
    if (v->line == NULL) {
        v->line = g_string_sized_new(128);
    }
    return v;
}

static void find_registers(struct vcpu *v)
{
    g_autoptr(GArray) list = qemu_plugin_get_registers();

    g_clear_pointer(&v->regs, g_ptr_array_unref);
    v->regs = g_ptr_array_new_with_free_func(free_register);
    for (guint i = 0; list != NULL && i < list->len; i++) {
        add_register(v, &g_array_index(list, qemu_plugin_reg_descriptor, i));
    }
}

static void analyzer_vcpu_init(unsigned int vcpu_index)
{
    struct vcpu *v = lock_vcpu(vcpu_index);

    print_line(v, false); /* of a thread that had the index before */
    if (patterns != NULL) {
        find_registers(v);
    }
    lock_release(&v->lock);
}

/* Print the instruction before and, if there is one, begin with the next. */
static void next_insn(unsigned vcpu_index, const char *description, bool look)
{
    struct vcpu *v = lock_vcpu(vcpu_index);

    print_line(v, look);
    if (description != NULL) {
        begin_line(v, vcpu_index, description);
    }
    lock_release(&v->lock);
}

static void log_insn(unsigned int vcpu_index, void *userdata)
{
    next_insn(vcpu_index, userdata, false);
}

static void log_insn_look(unsigned int vcpu_index, void *userdata)
{
    next_insn(vcpu_index, userdata, true);
}

static void log_access(unsigned int vcpu_index, qemu_plugin_meminfo_t info, uint64_t vaddr,
                       void *userdata)
{
    struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, vaddr);
    const char *device = NULL;

    (void)userdata;
    if (where != NULL) {
        vaddr = qemu_plugin_hwaddr_phys_addr(where);
        device = qemu_plugin_hwaddr_device_name(where);
    }
    struct vcpu *v = lock_vcpu(vcpu_index);
    if (v->line->len > 0) { /* else its instruction is lost */
        append_access(v, qemu_plugin_mem_is_store(info) ? "store" : "load", vaddr, device);
    }
    lock_release(&v->lock);
}

/* ---- translation ---- */

static bool passes_filters(uint64_t vaddr, const char *disas)
{
    for (guint i = 0; i < prefixes->len; i++) {
        if (g_str_has_prefix(disas, prefixes->pdata[i])) {
            return true;
        }
    }
    for (guint i = 0; i < addresses->len; i++) {
        if (g_array_index(addresses, uint64_t, i) == vaddr) {
            return true;
        }
    }
    return prefixes->len == 0 && addresses->len == 0;
}

static bool names_register(const char *disas)
{
    const char *operands = strchr(disas, ' ');
    bool found = false;

    g_mutex_lock(&names_lock);
    for (guint i = 0; operands != NULL && i < names->len && !found; i++) {
        found = strstr(operands, names->pdata[i]) != NULL;
    }
    g_mutex_unlock(&names_lock);
    return found;
}

static char *opcode_text(struct qemu_plugin_insn *insn)
{
    uint8_t bytes[MAX_INSN];
    size_t n = analyzer_insn_bytes(insn, bytes, sizeof(bytes));
    GString *text = g_string_new(NULL);

    while (n > 1 && bytes[n - 1] == 0) {
        n--;
    }
    g_string_append_printf(text, "0x%x", n > 0 ? bytes[n - 1] : 0);
    while (n > 1) {
        g_string_append_printf(text, "%02x", bytes[--n - 1]);
    }
    return g_string_free(text, FALSE);
}

/* look: at the registers before it, for the instruction before. */
static void instrument(struct qemu_plugin_insn *insn, const char *disas, bool look)
{
    g_autofree char *opcode = opcode_text(insn);
    char *description = describe(qemu_plugin_insn_vaddr(insn), opcode, disas);

    qemu_plugin_register_vcpu_mem_cb(insn, log_access, QEMU_PLUGIN_CB_NO_REGS,
                                     QEMU_PLUGIN_MEM_RW, NULL);
    if (look) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, log_insn_look, QEMU_PLUGIN_CB_R_REGS,
                                               description);
    } else {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, log_insn, QEMU_PLUGIN_CB_NO_REGS,
                                               description);
    }
}

/* The instruction before the first one may have been any: always look there. */
static void analyzer_translate(struct qemu_plugin_tb *tb)
{
    bool look = patterns != NULL;

    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        g_autofree char *disas = qemu_plugin_insn_disas(insn);
        bool named = patterns != NULL && by_disas && names_register(disas);

        if (named || passes_filters(qemu_plugin_insn_vaddr(insn), disas)) {
            instrument(insn, disas, look);
        } else if (look) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, log_insn_look, QEMU_PLUGIN_CB_R_REGS,
                                                   NULL);
        }
        if (by_disas) {
            look = named;
        }
    }
}

/* ---- the beginning and the end ---- */

static void analyzer_exit(void)
{
    print_header();
    for (unsigned i = 0; i < per_vcpu_end(vcpus); i++) {
        next_insn(i, NULL, false);
    }
}

static bool parse_addresses(void)
{
    for (guint i = 0; texts != NULL && i < texts->len; i++) {
        char *end;
        uint64_t address = g_ascii_strtoull(texts->pdata[i], &end, 16);

        if (end == texts->pdata[i] || *end != '\0') {
            fprintf(stderr, "execlog: '%s' is no hexadecimal address\n", (char *)texts->pdata[i]);
            return false;
        }
        g_array_append_val(addresses, address);
    }
    return true;
}

/* As registers come: in the guest's byte order. */
static bool is_big_endian(const char *target)
{
    static const char *const list[] = {
        "aarch64_be", "armeb", "hppa", "m68k", "microblaze", "mips", "mips64", "mipsn32", "or1k",
        "ppc", "ppc64", "s390x", "sh4eb", "sparc", "sparc32plus", "sparc64", "xtensaeb", NULL,
    };

    return g_strv_contains(list, target);
}

ANALYZER_SUMMARY("a line for every executed instruction, with its accesses")

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    const struct option options[] = {
        { "ifilter", OPTION_LIST, &prefixes, .hint = "TEXT" },
        { "afilter", OPTION_LIST, &texts, .hint = "HEX" },
        { "reg", OPTION_LIST, &patterns, .hint = "PATTERN" },
        { "rdisas", OPTION_BOOL, &by_disas },
        OPTION_FORMAT(&format),
        { NULL },
    };

    prefixes = g_ptr_array_new();
    addresses = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    names = g_ptr_array_new();
    if (!options_parse("execlog", options, argc, argv) || !parse_addresses()) {
        return -1;
    }
    if (patterns != NULL && qemu_plugin_version < 2) {
        fprintf(stderr, "execlog: this QEMU does not show registers to plugins (reg=)\n");
        return -1;
    }
    big_endian = is_big_endian(info->target_name);
    vcpus = per_vcpu_new(sizeof(struct vcpu));
    analyzer_register(id);
    return 0;
}
