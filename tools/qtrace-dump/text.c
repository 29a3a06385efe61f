/*
 * text.c - lines of text, safe ones
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "dump.h"

#include <string.h>

char *text_safe(const char *s)
{
    GString *out = g_string_new(NULL);

    while (*s != '\0') {
        gunichar c = g_utf8_get_char_validated(s, -1);
        bool valid = c != (gunichar)-1 && c != (gunichar)-2;
        if (valid && c != '\\' && !g_unichar_iscntrl(c)) {
            const char *next = g_utf8_next_char(s);
            g_string_append_len(out, s, next - s);
            s = next;
        } else if (*s == '\\') {
            g_string_append(out, "\\\\");
            s++;
        } else {
            g_string_append_printf(out, "\\x%02x", (unsigned char)*s);
            s++;
        }
    }
    return g_string_free(out, FALSE);
}

char *text_str(char *p, const char *s)
{
    size_t n = strlen(s);

    memcpy(p, s, n);
    return p + n;
}

/* An event log has a line for every access, and printf would take most of its time. */
static char *text_number(char *p, uint64_t value, unsigned base)
{
    char digits[20];
    unsigned n = 0;

    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    while (n > 0) {
        *p++ = digits[--n];
    }
    return p;
}

char *text_dec(char *p, uint64_t value)
{
    return text_number(p, value, 10);
}

char *text_hex(char *p, uint64_t value)
{
    return text_number(text_str(p, "0x"), value, 16);
}
