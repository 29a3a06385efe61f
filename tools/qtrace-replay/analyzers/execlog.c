/*
 * execlog - a line for every executed instruction, with its accesses
 *
 *   vcpu, 0xpc, 0xopcode, "disassembly"[, load|store, 0xaddress[, device]]...
 *
 * Arguments, both may be repeated: ifilter=TEXT: only instructions whose disassembly begins with
 * TEXT; afilter=HEX: only instructions at that address. The opcode is the number that the
 * instruction's bytes are in little-endian order, all of them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "analyzer.h"
#include "options.h"

#include <stdio.h>
#include <string.h>

#define MAX_VCPUS 65536
#define MAX_INSN 64

/* The line of the instruction that a vCPU executed last: its accesses are still to come. Only
 * the thread of the vCPU touches it. */
static GString *last[MAX_VCPUS];
static GPtrArray *prefixes;
static GPtrArray *texts; /* of the addresses */
static GArray *addresses;

static GString *line_of(unsigned int vcpu_index)
{
    if (vcpu_index >= MAX_VCPUS) {
        return NULL;
    }
    if (last[vcpu_index] == NULL) {
        last[vcpu_index] = g_string_sized_new(128);
    }
    return last[vcpu_index];
}

static void print_line(GString *line)
{
    if (line->len > 0) {
        g_string_append_c(line, '\n');
        qemu_plugin_outs(line->str);
    }
}

static void log_insn(unsigned int vcpu_index, void *userdata)
{
    GString *line = line_of(vcpu_index);

    if (line != NULL) {
        print_line(line);
        g_string_printf(line, "%u, ", vcpu_index);
        g_string_append(line, userdata);
    }
}

static void log_access(unsigned int vcpu_index, qemu_plugin_meminfo_t info, uint64_t vaddr,
                       void *userdata)
{
    GString *line = line_of(vcpu_index);

    (void)userdata;
    if (line == NULL) {
        return;
    }
    g_string_append(line, qemu_plugin_mem_is_store(info) ? ", store" : ", load");
    struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, vaddr);
    if (where != NULL) {
        g_string_append_printf(line, ", 0x%08" PRIx64 ", %s", qemu_plugin_hwaddr_phys_addr(where),
                               qemu_plugin_hwaddr_device_name(where));
    } else {
        g_string_append_printf(line, ", 0x%08" PRIx64, vaddr);
    }
}

static bool is_wanted(uint64_t vaddr, const char *disas)
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

static size_t insn_bytes(struct qemu_plugin_insn *insn, uint8_t *bytes)
{
    size_t size = MIN(qemu_plugin_insn_size(insn), MAX_INSN);

    if (qemu_plugin_version >= 3) {
        return qemu_plugin_insn_data(insn, bytes, size);
    }
    memcpy(bytes, (const void *)qemu_plugin_insn_data(insn, NULL, 0), size);
    return size;
}

static void append_opcode(GString *text, struct qemu_plugin_insn *insn)
{
    uint8_t bytes[MAX_INSN];
    size_t n = insn_bytes(insn, bytes);

    while (n > 1 && bytes[n - 1] == 0) {
        n--;
    }
    g_string_append_printf(text, "0x%x", n > 0 ? bytes[n - 1] : 0);
    while (n > 1) {
        g_string_append_printf(text, "%02x", bytes[--n - 1]);
    }
}

/* The fixed part of an instruction's line. It is never freed: the code may run at any time. */
static char *describe(struct qemu_plugin_insn *insn, const char *disas)
{
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "0x%" PRIx64 ", ", qemu_plugin_insn_vaddr(insn));
    append_opcode(text, insn);
    g_string_append_printf(text, ", \"%s\"", disas);
    return g_string_free(text, FALSE);
}

static void analyzer_translate(struct qemu_plugin_tb *tb)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        char *disas = qemu_plugin_insn_disas(insn);

        if (is_wanted(qemu_plugin_insn_vaddr(insn), disas)) {
            qemu_plugin_register_vcpu_mem_cb(insn, log_access, QEMU_PLUGIN_CB_NO_REGS,
                                             QEMU_PLUGIN_MEM_RW, NULL);
            qemu_plugin_register_vcpu_insn_exec_cb(insn, log_insn, QEMU_PLUGIN_CB_NO_REGS,
                                                   describe(insn, disas));
        }
        g_free(disas);
    }
}

static void analyzer_exit(void)
{
    for (size_t i = 0; i < MAX_VCPUS; i++) {
        if (last[i] != NULL) {
            print_line(last[i]);
        }
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

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    const struct option options[] = {
        { "ifilter", OPTION_LIST, &prefixes, .hint = "TEXT" },
        { "afilter", OPTION_LIST, &texts, .hint = "HEX" },
        { NULL },
    };

    (void)info;
    prefixes = g_ptr_array_new();
    addresses = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    if (!options_parse("execlog", options, argc, argv) || !parse_addresses()) {
        return -1;
    }
    analyzer_register(id);
    return 0;
}
