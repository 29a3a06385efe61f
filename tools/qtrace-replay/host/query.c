/*
 * query.c - questions about blocks, instructions and accesses
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

#include <string.h>

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb)
{
    return tb->n_insns;
}

uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb)
{
    return tb->block->tr->vaddr;
}

struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t idx)
{
    return idx < tb->n_insns ? (struct qemu_plugin_insn *)&tb->insn[idx] : NULL;
}

/* Up to version 2 the caller passes one argument and wants the address of the bytes. */
uintptr_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *dest, size_t len)
{
    if (host.current != NULL && host.current->version < 3) {
        return (uintptr_t)insn->insn->data;
    }
    len = MIN(len, insn->insn->size);
    if (len > 0) {
        memcpy(dest, insn->insn->data, len);
    }
    return len;
}

size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn)
{
    return insn->insn->size;
}

uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn)
{
    return insn->insn->vaddr;
}

/* An address of the recorded process: good as a name, not to be looked at. */
void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *insn)
{
    return insn->insn->has_haddr ? (void *)(uintptr_t)insn->insn->haddr : NULL;
}

char *qemu_plugin_insn_disas(const struct qemu_plugin_insn *insn)
{
    if (insn->insn->disas == NULL) {
        host_message_once("a plugin asked for disassembly: the trace was recorded without "
                          "(disas=off)");
        return g_strdup("");
    }
    return g_strdup(insn->insn->disas);
}

/* Plugins keep the pointer: interned strings outlive the reader. */
const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *insn)
{
    return g_intern_string(insn->insn->symbol);
}

/* The information about an access is the trace's flags. */
unsigned int qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t info)
{
    return info & QTRACE_ACCESS_SIZE;
}

bool qemu_plugin_mem_is_sign_extended(qemu_plugin_meminfo_t info)
{
    return (info & QTRACE_ACCESS_SIGN) != 0;
}

bool qemu_plugin_mem_is_big_endian(qemu_plugin_meminfo_t info)
{
    return (info & QTRACE_ACCESS_BE) != 0;
}

bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info)
{
    return (info & QTRACE_ACCESS_STORE) != 0;
}

/* Word 0 or 1 of the value of the access that plugins are being told of. */
static uint64_t value_word(unsigned word)
{
    uint64_t value = 0;

    if (host.access == NULL) {
        host_message_once("a plugin asked for the value of an access, but not in the callback of "
                          "one");
    } else if (!qtrace_batch_value(host.access, host.access_row, word, &value)) {
        host_message_once("a plugin asked for the value of an access: the trace was recorded "
                          "without values=on");
    }
    return value;
}

qemu_plugin_mem_value qemu_plugin_mem_get_value(qemu_plugin_meminfo_t info)
{
    qemu_plugin_mem_value value = { 0 };
    unsigned shift = MIN(qemu_plugin_mem_size_shift(info), 4u);
    uint64_t low = value_word(0);

    value.type = (enum qemu_plugin_mem_value_type)shift;
    switch (value.type) {
    case QEMU_PLUGIN_MEM_VALUE_U8:
        value.data.u8 = (uint8_t)low;
        break;
    case QEMU_PLUGIN_MEM_VALUE_U16:
        value.data.u16 = (uint16_t)low;
        break;
    case QEMU_PLUGIN_MEM_VALUE_U32:
        value.data.u32 = (uint32_t)low;
        break;
    case QEMU_PLUGIN_MEM_VALUE_U64:
        value.data.u64 = low;
        break;
    case QEMU_PLUGIN_MEM_VALUE_U128:
        value.data.u128.low = low;
        value.data.u128.high = value_word(1);
        break;
    }
    return value;
}
