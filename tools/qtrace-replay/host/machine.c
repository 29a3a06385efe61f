/*
 * machine.c - questions about the state of the guest that no trace answers yet
 *
 * Each fails the way the interface says a failure looks, and says so once, with the option of the
 * recorder that would have helped, or that there is none.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

/* None, but an array: plugins walk it without asking. */
GArray *qemu_plugin_get_registers(void)
{
    host_message_once("a plugin asked for registers: the trace has none, there is no option to "
                      "record them");
    return g_array_new(TRUE, TRUE, sizeof(qemu_plugin_reg_descriptor));
}

/* Up to version 5 the result is a size, from 6 on a truth value. */
static int no_register(void)
{
    return host.current != NULL && host.current->version >= 6 ? false : -1;
}

int qemu_plugin_read_register(struct qemu_plugin_register *handle, GByteArray *buf)
{
    (void)handle;
    (void)buf;
    host_message_once("a plugin asked for a register's value: the trace has none, there is no "
                      "option to record them");
    return no_register();
}

int qemu_plugin_write_register(struct qemu_plugin_register *handle, GByteArray *buf)
{
    (void)handle;
    (void)buf;
    host_message_once("a plugin wanted to write a register: a trace cannot be changed");
    return no_register();
}

void qemu_plugin_set_pc(uint64_t vaddr)
{
    host_message("a plugin wanted to continue at 0x%" PRIx64 ": a trace cannot be changed", vaddr);
    exit(1);
}

bool qemu_plugin_read_memory_vaddr(uint64_t addr, GByteArray *data, size_t len)
{
    (void)addr;
    (void)data;
    (void)len;
    host_message_once("a plugin asked for memory contents: the trace has none, there is no option "
                      "to record them");
    return false;
}

bool qemu_plugin_write_memory_vaddr(uint64_t addr, GByteArray *data)
{
    (void)addr;
    (void)data;
    host_message_once("a plugin wanted to write memory: a trace cannot be changed");
    return false;
}

enum qemu_plugin_hwaddr_operation_result
qemu_plugin_read_memory_hwaddr(uint64_t addr, GByteArray *data, size_t len)
{
    (void)addr;
    (void)data;
    (void)len;
    host_message_once("a plugin asked for physical memory: the trace has none, there is no option "
                      "to record it");
    return QEMU_PLUGIN_HWADDR_OPERATION_ERROR;
}

enum qemu_plugin_hwaddr_operation_result
qemu_plugin_write_memory_hwaddr(uint64_t addr, GByteArray *data)
{
    (void)addr;
    (void)data;
    host_message_once("a plugin wanted to write physical memory: a trace cannot be changed");
    return QEMU_PLUGIN_HWADDR_OPERATION_ERROR;
}

bool qemu_plugin_translate_vaddr(uint64_t vaddr, uint64_t *hwaddr)
{
    (void)vaddr;
    (void)hwaddr;
    host_message_once("a plugin asked for an address translation: the trace has none, there is no "
                      "option to record them");
    return false;
}

/* In user mode nobody ever gets it. */
const void *qemu_plugin_request_time_control(void)
{
    host_message_once("a plugin asked for control of time: a trace cannot be changed");
    return NULL;
}

void qemu_plugin_update_ns(const void *handle, int64_t time)
{
    (void)handle;
    (void)time;
    host_message_once("a plugin wanted to set the time: a trace cannot be changed");
}
