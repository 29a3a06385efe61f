/*
 * devices.h - the devices that a recording has met so far
 *
 * QEMU knows a device by the address of its name, and so do plugins. Numbers are given in the
 * order of appearance and never change; one thread adds at a time, all may look. The table has
 * no pointers: it can lie in memory that outlives the process.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_DEVICES_H
#define QT_DEVICES_H

#include <stdatomic.h>
#include <string.h>

#include "phys.h"

struct qt_devices {
    _Atomic uint32_t n;
    struct {
        uint64_t address; /* of QEMU's name for it */
        char name[QT_DEVICE_NAME_MAX + 1];
    } device[QTRACE_MAX_DEVICES];
};

#define QT_NO_DEVICE UINT32_MAX

/* The number of the device whose name is there; QT_NO_DEVICE: it is new. */
static inline uint32_t qt_devices_find(const struct qt_devices *devices, uint64_t address)
{
    const uint32_t n = atomic_load_explicit(&devices->n, memory_order_acquire);
    uint32_t i = 0;

    while (i < n && devices->device[i].address != address) {
        i++;
    }
    return i < n ? i : QT_NO_DEVICE;
}

/* A new device. All that have no place share the last number. */
static inline uint32_t qt_devices_add(struct qt_devices *devices, uint64_t address,
                                      const char *name)
{
    const uint32_t n = atomic_load_explicit(&devices->n, memory_order_relaxed);

    if (n == QTRACE_MAX_DEVICES) {
        return n - 1;
    }
    devices->device[n].address = address;
    strncpy(devices->device[n].name, n + 1 < QTRACE_MAX_DEVICES ? name : "(others)",
            QT_DEVICE_NAME_MAX);
    atomic_store_explicit(&devices->n, n + 1, memory_order_release);
    return n;
}

static inline struct qtrace_device qt_devices_get(const struct qt_devices *devices,
                                                  uint32_t number)
{
    return (struct qtrace_device){number, devices->device[number].address,
                                  devices->device[number].name};
}

#endif
