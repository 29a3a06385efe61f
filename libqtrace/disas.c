/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "disas.h"

#include <capstone/capstone.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* Its functions, as far as they are needed. */
struct qt_capstone {
    unsigned (*version)(int *major, int *minor);
    cs_err (*open)(cs_arch arch, cs_mode mode, csh *handle);
    cs_err (*close)(csh *handle);
    cs_err (*option)(csh handle, cs_opt_type type, size_t value);
    cs_insn *(*new_insn)(csh handle);
    void (*free_insn)(cs_insn *insn, size_t n);
    bool (*next)(csh handle, const uint8_t **code, size_t *size, uint64_t *address, cs_insn *insn);
};

_Static_assert(sizeof(csh) == sizeof(size_t), "a handle of the library");

static const struct {
    const char *target;
    cs_arch arch;
    cs_mode mode;
} known[] = {
    {"x86_64", CS_ARCH_X86, CS_MODE_64},
    {"aarch64", CS_ARCH_ARM64, CS_MODE_LITTLE_ENDIAN},
};

#define STRING(x) #x
#define NUMBERED(name, number) name STRING(number)

static bool find_functions(struct qt_capstone *l, void *library)
{
    l->version = dlsym(library, "cs_version");
    l->open = dlsym(library, "cs_open");
    l->close = dlsym(library, "cs_close");
    l->option = dlsym(library, "cs_option");
    l->new_insn = dlsym(library, "cs_malloc");
    l->free_insn = dlsym(library, "cs_free");
    l->next = dlsym(library, "cs_disasm_iter");
    return l->version && l->open && l->close && l->option && l->new_insn && l->free_insn && l->next;
}

/* Found once; the library stays. */
static const struct qt_capstone *find_library(bool load)
{
    static struct qt_capstone found;
    int major = 0, minor = 0;
    void *library;

    if (!find_functions(&found, RTLD_DEFAULT)) {
        library = load ? dlopen(NUMBERED("libcapstone.so.", CS_API_MAJOR), RTLD_NOW) : NULL;
        if (library == NULL || !find_functions(&found, library)) {
            return NULL;
        }
    }
    found.version(&major, &minor);
    return major == CS_API_MAJOR ? &found : NULL;
}

static bool open_one(struct qt_disassembler *d, cs_arch arch, cs_mode mode)
{
    if (d->library == NULL || d->library->open(arch, mode, &d->handle) != CS_ERR_OK) {
        d->handle = 0;
        return false;
    }
    d->library->option(d->handle, CS_OPT_SKIPDATA, CS_OPT_ON);
    d->library->option(d->handle, CS_OPT_SYNTAX,
                       arch == CS_ARCH_X86 ? CS_OPT_SYNTAX_ATT : CS_OPT_SYNTAX_DEFAULT);
    d->insn = d->library->new_insn(d->handle);
    return d->insn != NULL;
}

bool qt_disassembler_open(struct qt_disassembler *d, const char *target, bool system, bool load)
{
    size_t i;

    for (i = 0; !system && i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].target, target) == 0) {
            d->library = find_library(load);
            return open_one(d, known[i].arch, known[i].mode);
        }
    }
    return false;
}

void qt_disassembler_close(struct qt_disassembler *d)
{
    if (d->insn != NULL) {
        d->library->free_insn(d->insn, 1);
    }
    if (d->handle != 0) {
        d->library->close(&d->handle);
    }
    *d = (struct qt_disassembler){0};
}

void qt_disassemble(struct qt_disassembler *d, const struct qtrace_insn *insn, char *text)
{
    const uint8_t *bytes = insn->data;
    uint64_t vaddr = insn->vaddr;
    size_t size = insn->size;
    cs_insn *out = d->insn;

    text[0] = '\0';
    if (d->library->next(d->handle, &bytes, &size, &vaddr, out)) {
        snprintf(text, QT_TEXT_MAX, "%s %s", out->mnemonic, out->op_str);
    }
}
