/*
 * leave.c - which instructions can end the execution of their block
 *
 * How far a block got must be known when it is left in the middle. In user mode that takes an
 * instruction that faults, traps or asks for a service: arithmetic on general registers and
 * direct jumps do not. Only what is surely one of these is known here; anything else is taken
 * for an instruction that can leave. (An instruction that QEMU does not accept ends its block in
 * any case, so nothing behind it can be miscounted.)
 *
 * Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, appendix A;
 * Arm Architecture Reference Manual for A-profile, C4.1.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin.h"

#include <string.h>

static bool is_register_form(uint8_t modrm)
{
    return modrm >> 6 == 3;
}

static unsigned extension(uint8_t modrm)
{
    return modrm >> 3 & 7;
}

/* Opcodes behind 0f. */
static bool x86_two_bytes_stay(uint8_t op, uint8_t modrm)
{
    switch (op) {
    case 0x1f: /* nop */
    case 0x80 ... 0x8f: /* jcc */
    case 0xc8 ... 0xcf: /* bswap */
        return true;
    case 0x40 ... 0x4f: /* cmovcc */
    case 0x90 ... 0x9f: /* setcc */
    case 0xa3: /* bt */
    case 0xaf: /* imul */
    case 0xb6 ... 0xb7: /* movzx */
    case 0xbc ... 0xbf: /* bsf, bsr, movsx */
        return is_register_form(modrm);
    case 0xba: /* bt and its kin with a constant */
        return is_register_form(modrm) && extension(modrm) >= 4;
    default:
        return false;
    }
}

static bool x86_one_byte_stays(uint8_t op, uint8_t modrm)
{
    switch (op) {
    case 0x00 ... 0x3f: /* add, or, adc, sbb, and, sub, xor, cmp */
        return (op & 7) < 4 ? is_register_form(modrm) : (op & 7) < 6;
    case 0x63: /* movslq */
    case 0x69: /* imul */
    case 0x6b:
    case 0x80 ... 0x81: /* arithmetic with a constant */
    case 0x83:
    case 0x84 ... 0x85: /* test */
    case 0x88 ... 0x8b: /* mov */
    case 0xc0 ... 0xc1: /* shifts */
    case 0xd0 ... 0xd3:
        return is_register_form(modrm);
    case 0x70 ... 0x7f: /* jcc */
    case 0x90: /* nop */
    case 0x98 ... 0x99: /* cltq, cqto */
    case 0xa8 ... 0xa9: /* test */
    case 0xb0 ... 0xbf: /* mov */
    case 0xe9: /* jmp */
    case 0xeb:
        return true;
    case 0x8d: /* lea: the address is not used */
        return !is_register_form(modrm);
    case 0xc6 ... 0xc7: /* mov */
        return is_register_form(modrm) && extension(modrm) == 0;
    case 0xf6 ... 0xf7: /* test, not, neg, mul, imul; not div */
        return is_register_form(modrm) && extension(modrm) < 6;
    case 0xfe ... 0xff: /* inc, dec */
        return is_register_form(modrm) && extension(modrm) < 2;
    default:
        return false;
    }
}

/* Of all prefixes only those for operands of 2 and 8 bytes are known, and a segment's before nop,
 * as compilers write it. */
static bool x86_stays(const uint8_t *bytes, size_t size)
{
    uint8_t p[18] = {0};
    size_t i = 0;
    memcpy(p, bytes, MIN(size, 15));
    if (size == 4 && memcmp(p, "\xf3\x0f\x1e\xfa", 4) == 0) {
        return true; /* endbr64 */
    }
    while (p[i] == 0x66 && i < 14) {
        i++;
    }
    if (p[i] == 0x2e) {
        return p[i + 1] == 0x0f && p[i + 2] == 0x1f;
    }
    if (p[i] >> 4 == 4) {
        i++;
    }
    return p[i] == 0x0f ? x86_two_bytes_stay(p[i + 1], p[i + 2])
                        : x86_one_byte_stays(p[i], p[i + 1]);
}

static bool arm_stays(const uint8_t *bytes, size_t size)
{
    static const struct {
        uint32_t mask, value;
    } known[] = {
        {0x1c000000, 0x10000000}, /* data processing with a constant */
        {0x0e000000, 0x0a000000}, /* data processing with registers */
        {0x7c000000, 0x14000000}, /* b, bl */
        {0xff000000, 0x54000000}, /* b.cond */
        {0x7c000000, 0x34000000}, /* cbz, cbnz, tbz, tbnz */
        {0xffffffff, 0xd503201f}, /* nop */
    };
    uint32_t word = size == 4 ? qt_get_le32(bytes) : 0;
    if ((word & 0xffff0000) == 0xdac10000) {
        return false; /* authentication of a pointer can fail */
    }
    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        if ((word & known[i].mask) == known[i].value) {
            return true;
        }
    }
    return false;
}

static bool (*stays)(const uint8_t *bytes, size_t size);

void qt_leave_init(const char *target, bool system)
{
    stays = system                            ? NULL
            : strcmp(target, "x86_64") == 0  ? x86_stays
            : strcmp(target, "aarch64") == 0 ? arm_stays
                                             : NULL;
}

bool qt_can_leave(const uint8_t *bytes, size_t size)
{
    return !stays || !stays(bytes, size);
}
