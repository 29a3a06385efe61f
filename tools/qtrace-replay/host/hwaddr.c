/*
 * hwaddr.c - what memory an access has reached
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

#include <string.h>
#include <sys/mman.h>

/* ---- names of devices ---- */

#define PAGE 4096u
#define LOWEST_PAGE 0x10000u /* below, null pointers are to be found */

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0 /* a mere wish then */
#endif

/* Memory of ours at that very place. NULL: something else is there. */
static char *map_page(uint64_t address)
{
    static GHashTable *pages;
    void *place = (void *)(uintptr_t)address, *page;

    if (address < LOWEST_PAGE || address > UINTPTR_MAX - PAGE) {
        return NULL;
    }
    if (pages == NULL) {
        pages = g_hash_table_new(NULL, NULL);
    }
    if (!g_hash_table_contains(pages, place)) {
        page = mmap(place, PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (page != MAP_FAILED && page != place) {
            munmap(page, PAGE);
        }
        if (page != place) {
            return NULL;
        }
        g_hash_table_add(pages, place);
    }
    return place;
}

/* Is this memory ours, and free? */
static bool is_free(uint64_t address, size_t size)
{
    for (uint64_t page = address / PAGE; page <= (address + size - 1) / PAGE; page++) {
        if (map_page(page * PAGE) == NULL) {
            return false;
        }
    }
    for (size_t i = 0; i < size; i++) {
        if (((const char *)(uintptr_t)address)[i] != '\0') {
            return false;
        }
    }
    return true;
}

/* Plugins know a device by the address of its name, and the order of what they print may depend on
 * it. So the name stands where it stood in the recorded QEMU, if that can be had. */
static const char *place_name(const struct qtrace_device *device)
{
    const size_t size = strlen(device->name) + 1;

    if (device->address > UINT64_MAX - size || !is_free(device->address, size)) {
        return g_strdup(device->name);
    }
    return memcpy((void *)(uintptr_t)device->address, device->name, size);
}

static const char *name_of(const struct qtrace_device *device)
{
    static const char *name[QTRACE_MAX_DEVICES];

    if (name[device->number] == NULL) {
        name[device->number] = place_name(device);
    }
    return name[device->number];
}

/* ---- handles ---- */

/* There is one, as QEMU has one for each thread. */
struct qemu_plugin_hwaddr {
    uint64_t address;
    const struct qtrace_device *device; /* NULL = RAM */
};

struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t info, uint64_t vaddr)
{
    static struct qemu_plugin_hwaddr handle;
    const struct qtrace_batch *b = host.access;
    uint32_t kind;

    (void)info;
    (void)vaddr;
    if (!host.run->system) {
        return NULL;
    }
    if (b == NULL) {
        host_message_once("a plugin asked for a physical address, but not in the callback of an "
                          "access");
        return NULL;
    }
    if (b->phys == NULL) {
        host_message_once("a plugin asked for physical addresses: the trace was recorded without "
                          "phys=on");
        return NULL;
    }
    kind = b->phys_kind[host.access_row];
    handle.address = b->phys[host.access_row];
    handle.device = kind >= QTRACE_PHYS_IO ? &b->device[kind - QTRACE_PHYS_IO] : NULL;
    return kind == QTRACE_PHYS_NONE ? NULL : &handle;
}

bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *haddr)
{
    return haddr != NULL && haddr->device != NULL;
}

uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *haddr)
{
    return haddr == NULL ? 0 : haddr->address;
}

const char *qemu_plugin_hwaddr_device_name(const struct qemu_plugin_hwaddr *haddr)
{
    if (haddr != NULL && haddr->device != NULL) {
        return name_of(haddr->device);
    }
    return g_intern_static_string(host.run->system ? "RAM" : "Invalid");
}
