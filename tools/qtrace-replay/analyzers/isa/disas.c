/*
 * disas.c - the library capstone, with a handle for each mode that was needed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "disas.h"

struct decoder {
    int arch;
    unsigned mode;
    csh handle;
    cs_insn *insn; /* NULL if it could not be opened */
    bool used;
};

static cs_mode cs_mode_of(int arch, unsigned mode)
{
    cs_mode order = mode & ISA_BIG ? CS_MODE_BIG_ENDIAN : CS_MODE_LITTLE_ENDIAN;

    switch (arch) {
    case CS_ARCH_X86:
        return mode & ISA_64 ? CS_MODE_64 : mode & ISA_16 ? CS_MODE_16 : CS_MODE_32;
    case CS_ARCH_ARM:
        return order | (mode & ISA_THUMB ? CS_MODE_THUMB : CS_MODE_ARM);
    case CS_ARCH_PPC:
        return order | (mode & ISA_64 ? CS_MODE_64 : 0);
    default:
        return order;
    }
}

/* The options are QEMU's: the texts are compared with its own. */
static void open_decoder(struct decoder *d, int arch, unsigned mode)
{
    *d = (struct decoder){ .arch = arch, .mode = mode, .used = true };
    if (cs_open((cs_arch)arch, cs_mode_of(arch, mode), &d->handle) != CS_ERR_OK) {
        return;
    }
    cs_option(d->handle, CS_OPT_DETAIL, CS_OPT_ON);
    if (arch == CS_ARCH_X86) {
        cs_option(d->handle, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
    }
    d->insn = cs_malloc(d->handle);
}

static const struct decoder *decoder_for(int arch, unsigned mode)
{
    static struct decoder decoders[4]; /* a target has fewer modes */
    size_t i = 0;

    while (decoders[i].used && (decoders[i].arch != arch || decoders[i].mode != mode)) {
        if (++i == G_N_ELEMENTS(decoders)) {
            i = 0;
            cs_free(decoders[i].insn, 1);
            cs_close(&decoders[i].handle);
            decoders[i].used = false;
        }
    }
    if (!decoders[i].used) {
        open_decoder(&decoders[i], arch, mode);
    }
    return &decoders[i];
}

const cs_insn *disas_decode(int arch, unsigned mode, const uint8_t *bytes, size_t size,
                            uint64_t vaddr, csh *handle)
{
    const struct decoder *d = decoder_for(arch, mode);

    if (d->insn == NULL || !cs_disasm_iter(d->handle, &bytes, &size, &vaddr, d->insn)) {
        return NULL;
    }
    if (handle != NULL) {
        *handle = d->handle;
    }
    return d->insn;
}
