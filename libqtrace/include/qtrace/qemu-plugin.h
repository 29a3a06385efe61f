/*
 * qtrace/qemu-plugin.h - QEMU's plugin interface, API versions 0 to 7
 *
 * No distribution ships the header that plugins are compiled against, and a program that speaks
 * to several QEMUs needs more than one version of it. These are our own declarations of the same
 * binary interface. Before including it, a source file may define
 *
 *   QEMU_PLUGIN_API_VERSION   the dialect, 0 .. 7; default 4. Calls that this version does not
 *                             have are not declared.
 *   QEMU_PLUGIN_API_ALL       declare the calls of all versions, in the dialect chosen above:
 *                             for code that looks at run time what it was loaded into, and for
 *                             programs that offer the interface themselves.
 *   QEMU_PLUGIN_API           attributes of every declared call, __attribute__((weak)) for
 *                             example; default: none.
 *
 * What changed between versions:
 *   1   the interface of QEMU 4.2 to 8.1 (0 is its first, unnumbered form)
 *   2   scoreboards; *_inline became *_inline_per_vcpu; n_vcpus and n_max_vcpus became num_vcpus;
 *       registers can be read; later, without a new number, conditional callbacks, time control
 *       and mem_get_value
 *   3   insn_data copies instead of returning a pointer
 *   4   read_memory_vaddr
 *   5   memory, registers can be written; physical addresses; translate_vaddr
 *   6   {read,write}_register return bool; set_pc; discontinuities; syscall filters
 *   7   callbacks have no leading plugin id and end with a userdata pointer, which every
 *       registration function takes as its last argument
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QTRACE_QEMU_PLUGIN_H
#define QTRACE_QEMU_PLUGIN_H

#include <glib.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef QEMU_PLUGIN_API_VERSION
#define QEMU_PLUGIN_API_VERSION 4
#endif
#define QEMU_PLUGIN_VERSION QEMU_PLUGIN_API_VERSION

#ifndef QEMU_PLUGIN_API
#define QEMU_PLUGIN_API
#endif
#define QEMU_PLUGIN_EXPORT __attribute__((visibility("default")))
#define QEMU_PLUGIN_LOCAL __attribute__((visibility("hidden")))

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------ */
/* Types that are the same in all versions                                                     */

typedef uint64_t qemu_plugin_id_t;

struct qemu_plugin_tb;         /* a block that is being translated */
struct qemu_plugin_insn;       /* an instruction of it */
struct qemu_plugin_hwaddr;     /* where an access went in the machine */
struct qemu_plugin_scoreboard; /* an array with one element for each vCPU (2) */
struct qemu_plugin_register;   /* a register of the current vCPU (2) */

/* Size, direction, sign and byte order of an access, to be asked with the mem_* calls. */
typedef uint32_t qemu_plugin_meminfo_t;

typedef struct qemu_info_t {
    const char *target_name; /* "aarch64" */
    struct {
        int min; /* the lowest and the highest version that this QEMU accepts */
        int cur;
    } version;
    bool system_emulation;
    union {
        struct {
            int smp_vcpus; /* at start */
            int max_vcpus;
        } system; /* valid if system_emulation */
    };
} qemu_info_t;

/* What a callback will do with the vCPU's registers. */
enum qemu_plugin_cb_flags {
    QEMU_PLUGIN_CB_NO_REGS,
    QEMU_PLUGIN_CB_R_REGS,
    QEMU_PLUGIN_CB_RW_REGS,
    QEMU_PLUGIN_CB_RW_REGS_PC, /* (6) */
};

enum qemu_plugin_mem_rw {
    QEMU_PLUGIN_MEM_R = 1,
    QEMU_PLUGIN_MEM_W = 2,
    QEMU_PLUGIN_MEM_RW = 3,
};

enum qemu_plugin_op {
    QEMU_PLUGIN_INLINE_ADD_U64,
    QEMU_PLUGIN_INLINE_STORE_U64, /* (2) */
};

/* When a conditional callback is called: entry COND immediate, unsigned (2). */
enum qemu_plugin_cond {
    QEMU_PLUGIN_COND_NEVER,
    QEMU_PLUGIN_COND_ALWAYS,
    QEMU_PLUGIN_COND_EQ,
    QEMU_PLUGIN_COND_NE,
    QEMU_PLUGIN_COND_LT,
    QEMU_PLUGIN_COND_LE,
    QEMU_PLUGIN_COND_GT,
    QEMU_PLUGIN_COND_GE,
};

/* The 64-bit number at an offset of each element of a scoreboard (2). */
typedef struct {
    struct qemu_plugin_scoreboard *score;
    size_t offset;
} qemu_plugin_u64;

#define qemu_plugin_scoreboard_u64(score) ((qemu_plugin_u64){(score), 0})
#define qemu_plugin_scoreboard_u64_in_struct(score, type, member)                            \
    ((qemu_plugin_u64){(score), offsetof(type, member)})

enum qemu_plugin_mem_value_type {
    QEMU_PLUGIN_MEM_VALUE_U8,
    QEMU_PLUGIN_MEM_VALUE_U16,
    QEMU_PLUGIN_MEM_VALUE_U32,
    QEMU_PLUGIN_MEM_VALUE_U64,
    QEMU_PLUGIN_MEM_VALUE_U128,
};

/* What was read or written, in the host's byte order (2). */
typedef struct {
    enum qemu_plugin_mem_value_type type;
    union {
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
        struct {
            uint64_t low;
            uint64_t high;
        } u128;
    } data;
} qemu_plugin_mem_value;

/* An element of what get_registers returns (2). The strings live for ever. */
typedef struct {
    struct qemu_plugin_register *handle;
    const char *name;
    const char *feature; /* of GDB's target description; may be NULL */
} qemu_plugin_reg_descriptor;

/* Result of access to physical memory (5). */
enum qemu_plugin_hwaddr_operation_result {
    QEMU_PLUGIN_HWADDR_OPERATION_OK,
    QEMU_PLUGIN_HWADDR_OPERATION_ERROR,
    QEMU_PLUGIN_HWADDR_OPERATION_DEVICE_ERROR,
    QEMU_PLUGIN_HWADDR_OPERATION_ACCESS_DENIED,
    QEMU_PLUGIN_HWADDR_OPERATION_INVALID_ADDRESS,
    QEMU_PLUGIN_HWADDR_OPERATION_INVALID_ADDRESS_SPACE,
};

/* Why a vCPU continued elsewhere (6). */
enum qemu_plugin_discon_type {
    QEMU_PLUGIN_DISCON_INTERRUPT = 1 << 0,
    QEMU_PLUGIN_DISCON_EXCEPTION = 1 << 1,
    QEMU_PLUGIN_DISCON_HOSTCALL = 1 << 2,
    QEMU_PLUGIN_DISCON_ALL = -1,
};

/* Callbacks on execution: called before the block or instruction runs, and after an access. */
typedef void (*qemu_plugin_vcpu_udata_cb_t)(unsigned int vcpu_index, void *userdata);
typedef void (*qemu_plugin_vcpu_mem_cb_t)(unsigned int vcpu_index, qemu_plugin_meminfo_t info,
                                          uint64_t vaddr, void *userdata);

/* ------------------------------------------------------------------------------------------ */
/* Callbacks of events: both dialects, then the plain names for the version chosen              */

typedef void (*qemu_plugin_v1_simple_cb_t)(qemu_plugin_id_t id);
typedef void (*qemu_plugin_v1_udata_cb_t)(qemu_plugin_id_t id, void *userdata);
typedef void (*qemu_plugin_v1_vcpu_simple_cb_t)(qemu_plugin_id_t id, unsigned int vcpu_index);
typedef void (*qemu_plugin_v1_vcpu_tb_trans_cb_t)(qemu_plugin_id_t id,
                                                  struct qemu_plugin_tb *tb);
typedef void (*qemu_plugin_v1_vcpu_syscall_cb_t)(qemu_plugin_id_t id, unsigned int vcpu_index,
                                                 int64_t num, uint64_t a1, uint64_t a2,
                                                 uint64_t a3, uint64_t a4, uint64_t a5,
                                                 uint64_t a6, uint64_t a7, uint64_t a8);
typedef void (*qemu_plugin_v1_vcpu_syscall_ret_cb_t)(qemu_plugin_id_t id,
                                                     unsigned int vcpu_index, int64_t num,
                                                     int64_t ret);
typedef void (*qemu_plugin_v6_vcpu_discon_cb_t)(qemu_plugin_id_t id, unsigned int vcpu_index,
                                                enum qemu_plugin_discon_type type,
                                                uint64_t from_pc, uint64_t to_pc);
/* Returns true if the call must not be made; *sysret is then its result. */
typedef bool (*qemu_plugin_v6_vcpu_syscall_filter_cb_t)(
    qemu_plugin_id_t id, unsigned int vcpu_index, int64_t num, uint64_t a1, uint64_t a2,
    uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8,
    uint64_t *sysret);

typedef void (*qemu_plugin_v7_udata_cb_t)(void *userdata);
typedef qemu_plugin_vcpu_udata_cb_t qemu_plugin_v7_vcpu_udata_cb_t;
typedef void (*qemu_plugin_v7_vcpu_tb_trans_cb_t)(struct qemu_plugin_tb *tb, void *userdata);
typedef void (*qemu_plugin_v7_vcpu_syscall_cb_t)(unsigned int vcpu_index, int64_t num,
                                                 uint64_t a1, uint64_t a2, uint64_t a3,
                                                 uint64_t a4, uint64_t a5, uint64_t a6,
                                                 uint64_t a7, uint64_t a8, void *userdata);
typedef void (*qemu_plugin_v7_vcpu_syscall_ret_cb_t)(unsigned int vcpu_index, int64_t num,
                                                     int64_t ret, void *userdata);
typedef void (*qemu_plugin_v7_vcpu_discon_cb_t)(unsigned int vcpu_index,
                                                enum qemu_plugin_discon_type type,
                                                uint64_t from_pc, uint64_t to_pc,
                                                void *userdata);
typedef bool (*qemu_plugin_v7_vcpu_syscall_filter_cb_t)(
    unsigned int vcpu_index, int64_t num, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
    uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8, uint64_t *sysret, void *userdata);

/* insn_data before and after version 3. */
typedef const void *(*qemu_plugin_v1_insn_data_t)(const struct qemu_plugin_insn *insn);
typedef size_t (*qemu_plugin_v3_insn_data_t)(const struct qemu_plugin_insn *insn, void *dest,
                                             size_t len);

/* QEMU_PLUGIN_UDATA_ is the last argument of registration functions. The last two types of
 * each branch are names of ours: what registration functions take where QEMU changed the type
 * and its name. */
#if QEMU_PLUGIN_API_VERSION >= 7
#define QEMU_PLUGIN_UDATA_ , void *userdata
typedef qemu_plugin_v7_udata_cb_t qemu_plugin_udata_cb_t;
typedef qemu_plugin_v7_vcpu_tb_trans_cb_t qemu_plugin_vcpu_tb_trans_cb_t;
typedef qemu_plugin_v7_vcpu_syscall_cb_t qemu_plugin_vcpu_syscall_cb_t;
typedef qemu_plugin_v7_vcpu_syscall_ret_cb_t qemu_plugin_vcpu_syscall_ret_cb_t;
typedef qemu_plugin_v7_vcpu_discon_cb_t qemu_plugin_vcpu_discon_cb_t;
typedef qemu_plugin_v7_vcpu_syscall_filter_cb_t qemu_plugin_vcpu_syscall_filter_cb_t;
typedef qemu_plugin_v7_udata_cb_t qemu_plugin_plain_event_cb_t;
typedef qemu_plugin_v7_vcpu_udata_cb_t qemu_plugin_vcpu_event_cb_t;
#else
#define QEMU_PLUGIN_UDATA_
typedef qemu_plugin_v1_simple_cb_t qemu_plugin_simple_cb_t;
typedef qemu_plugin_v1_udata_cb_t qemu_plugin_udata_cb_t;
typedef qemu_plugin_v1_vcpu_simple_cb_t qemu_plugin_vcpu_simple_cb_t;
typedef qemu_plugin_v1_vcpu_tb_trans_cb_t qemu_plugin_vcpu_tb_trans_cb_t;
typedef qemu_plugin_v1_vcpu_syscall_cb_t qemu_plugin_vcpu_syscall_cb_t;
typedef qemu_plugin_v1_vcpu_syscall_ret_cb_t qemu_plugin_vcpu_syscall_ret_cb_t;
typedef qemu_plugin_v6_vcpu_discon_cb_t qemu_plugin_vcpu_discon_cb_t;
typedef qemu_plugin_v6_vcpu_syscall_filter_cb_t qemu_plugin_vcpu_syscall_filter_cb_t;
typedef qemu_plugin_v1_simple_cb_t qemu_plugin_plain_event_cb_t;
typedef qemu_plugin_v1_vcpu_simple_cb_t qemu_plugin_vcpu_event_cb_t;
#endif

/* ------------------------------------------------------------------------------------------ */
/* What a plugin exports                                                                       */

extern QEMU_PLUGIN_EXPORT int qemu_plugin_version;

/* Called once, before the guest starts. info lives during the call, argv ("name=value") for
 * ever. Non-zero: QEMU says so and does not start. */
QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv);

/* ------------------------------------------------------------------------------------------ */
/* Calls that differ between versions                                                          */

#if defined(QEMU_PLUGIN_API_ALL)
/* One declaration that is binary compatible with both forms: up to 2 the caller passes no more
 * than the first argument and takes the result for a pointer. */
QEMU_PLUGIN_API uintptr_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *dest,
                                                size_t len);
#elif QEMU_PLUGIN_API_VERSION >= 3
/* Copies at most len bytes of the instruction; returns how many. */
QEMU_PLUGIN_API size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *dest,
                                             size_t len);
#else
/* The bytes of the instruction; valid during the translation callback. */
QEMU_PLUGIN_API const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
#endif

#if QEMU_PLUGIN_API_VERSION < 2 || defined(QEMU_PLUGIN_API_ALL)
/* -1 in user mode. */
QEMU_PLUGIN_API int qemu_plugin_n_vcpus(void);
QEMU_PLUGIN_API int qemu_plugin_n_max_vcpus(void);

/* Operations without a call: *ptr += imm, not atomic. */
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb,
                                                              enum qemu_plugin_op op, void *ptr,
                                                              uint64_t imm);
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn,
                                                                enum qemu_plugin_op op,
                                                                void *ptr, uint64_t imm);
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_mem_inline(struct qemu_plugin_insn *insn,
                                                          enum qemu_plugin_mem_rw rw,
                                                          enum qemu_plugin_op op, void *ptr,
                                                          uint64_t imm);
#endif

#if QEMU_PLUGIN_API_VERSION >= 2 || defined(QEMU_PLUGIN_API_ALL)
/* The highest vCPU index that was ever initialised, plus one. */
QEMU_PLUGIN_API int qemu_plugin_num_vcpus(void);

/* Operations without a call on the entry of the vCPU that executes. */
QEMU_PLUGIN_API void
qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *tb,
                                                  enum qemu_plugin_op op,
                                                  qemu_plugin_u64 entry, uint64_t imm);
QEMU_PLUGIN_API void
qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct qemu_plugin_insn *insn,
                                                    enum qemu_plugin_op op,
                                                    qemu_plugin_u64 entry, uint64_t imm);
QEMU_PLUGIN_API void
qemu_plugin_register_vcpu_mem_inline_per_vcpu(struct qemu_plugin_insn *insn,
                                              enum qemu_plugin_mem_rw rw,
                                              enum qemu_plugin_op op, qemu_plugin_u64 entry,
                                              uint64_t imm);

/* Callbacks that are called while entry COND imm holds for the vCPU that executes. */
QEMU_PLUGIN_API void
qemu_plugin_register_vcpu_tb_exec_cond_cb(struct qemu_plugin_tb *tb,
                                          qemu_plugin_vcpu_udata_cb_t cb,
                                          enum qemu_plugin_cb_flags flags,
                                          enum qemu_plugin_cond cond, qemu_plugin_u64 entry,
                                          uint64_t imm, void *userdata);
QEMU_PLUGIN_API void
qemu_plugin_register_vcpu_insn_exec_cond_cb(struct qemu_plugin_insn *insn,
                                            qemu_plugin_vcpu_udata_cb_t cb,
                                            enum qemu_plugin_cb_flags flags,
                                            enum qemu_plugin_cond cond, qemu_plugin_u64 entry,
                                            uint64_t imm, void *userdata);

/* Elements start as zeros. An address is valid until another vCPU is initialised. */
QEMU_PLUGIN_API struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t element_size);
QEMU_PLUGIN_API void qemu_plugin_scoreboard_free(struct qemu_plugin_scoreboard *score);
QEMU_PLUGIN_API void *qemu_plugin_scoreboard_find(struct qemu_plugin_scoreboard *score,
                                                  unsigned int vcpu_index);
QEMU_PLUGIN_API void qemu_plugin_u64_add(qemu_plugin_u64 entry, unsigned int vcpu_index,
                                         uint64_t added);
QEMU_PLUGIN_API uint64_t qemu_plugin_u64_get(qemu_plugin_u64 entry, unsigned int vcpu_index);
QEMU_PLUGIN_API void qemu_plugin_u64_set(qemu_plugin_u64 entry, unsigned int vcpu_index,
                                         uint64_t val);
/* Of all vCPUs below num_vcpus. */
QEMU_PLUGIN_API uint64_t qemu_plugin_u64_sum(qemu_plugin_u64 entry);

/* To be called in a memory callback. */
QEMU_PLUGIN_API qemu_plugin_mem_value qemu_plugin_mem_get_value(qemu_plugin_meminfo_t info);

/* qemu_plugin_reg_descriptor of the current vCPU; the caller frees the array. */
QEMU_PLUGIN_API GArray *qemu_plugin_get_registers(void);

/* The first plugin that asks gets a handle (never NULL), all others NULL. */
QEMU_PLUGIN_API const void *qemu_plugin_request_time_control(void);
QEMU_PLUGIN_API void qemu_plugin_update_ns(const void *handle, int64_t time);

/* Appends the register's bytes to buf. Up to 5: the number of bytes, -1 = failure. */
#if QEMU_PLUGIN_API_VERSION >= 6 && !defined(QEMU_PLUGIN_API_ALL)
QEMU_PLUGIN_API bool qemu_plugin_read_register(struct qemu_plugin_register *handle,
                                               GByteArray *buf);
#else
QEMU_PLUGIN_API int qemu_plugin_read_register(struct qemu_plugin_register *handle,
                                              GByteArray *buf);
#endif
#endif

#if QEMU_PLUGIN_API_VERSION >= 4 || defined(QEMU_PLUGIN_API_ALL)
QEMU_PLUGIN_API bool qemu_plugin_read_memory_vaddr(uint64_t addr, GByteArray *data, size_t len);
#endif

#if QEMU_PLUGIN_API_VERSION >= 5 || defined(QEMU_PLUGIN_API_ALL)
QEMU_PLUGIN_API bool qemu_plugin_write_memory_vaddr(uint64_t addr, GByteArray *data);
QEMU_PLUGIN_API enum qemu_plugin_hwaddr_operation_result
qemu_plugin_read_memory_hwaddr(uint64_t addr, GByteArray *data, size_t len);
QEMU_PLUGIN_API enum qemu_plugin_hwaddr_operation_result
qemu_plugin_write_memory_hwaddr(uint64_t addr, GByteArray *data);
QEMU_PLUGIN_API bool qemu_plugin_translate_vaddr(uint64_t vaddr, uint64_t *hwaddr);
#if QEMU_PLUGIN_API_VERSION >= 6 && !defined(QEMU_PLUGIN_API_ALL)
QEMU_PLUGIN_API bool qemu_plugin_write_register(struct qemu_plugin_register *handle,
                                                GByteArray *buf);
#else
QEMU_PLUGIN_API int qemu_plugin_write_register(struct qemu_plugin_register *handle,
                                               GByteArray *buf);
#endif
#endif

#if QEMU_PLUGIN_API_VERSION >= 6 || defined(QEMU_PLUGIN_API_ALL)
/* Does not return: the vCPU continues at vaddr. */
QEMU_PLUGIN_API void qemu_plugin_set_pc(uint64_t vaddr) __attribute__((noreturn));
/* type: a set of qemu_plugin_discon_type. */
QEMU_PLUGIN_API void
qemu_plugin_register_vcpu_discon_cb(qemu_plugin_id_t id, enum qemu_plugin_discon_type type,
                                    qemu_plugin_vcpu_discon_cb_t cb QEMU_PLUGIN_UDATA_);
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_syscall_filter_cb(
    qemu_plugin_id_t id, qemu_plugin_vcpu_syscall_filter_cb_t cb QEMU_PLUGIN_UDATA_);
#endif

/* ------------------------------------------------------------------------------------------ */
/* Calls of all versions (7 adds the userdata argument to the first group)                      */

/* Both remove all callbacks of the plugin, at some time after the call; then cb is called. After
 * uninstall the plugin is closed, after reset it may register again in cb. */
QEMU_PLUGIN_API void qemu_plugin_uninstall(qemu_plugin_id_t id,
                                           qemu_plugin_plain_event_cb_t cb QEMU_PLUGIN_UDATA_);
QEMU_PLUGIN_API void qemu_plugin_reset(qemu_plugin_id_t id,
                                       qemu_plugin_plain_event_cb_t cb QEMU_PLUGIN_UDATA_);

/* There is one callback for each event and plugin: the next registration replaces it, NULL
 * removes it. */
QEMU_PLUGIN_API void
qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t id,
                                  qemu_plugin_vcpu_event_cb_t cb QEMU_PLUGIN_UDATA_);
QEMU_PLUGIN_API void
qemu_plugin_register_vcpu_exit_cb(qemu_plugin_id_t id,
                                  qemu_plugin_vcpu_event_cb_t cb QEMU_PLUGIN_UDATA_);
QEMU_PLUGIN_API void
qemu_plugin_register_vcpu_idle_cb(qemu_plugin_id_t id,
                                  qemu_plugin_vcpu_event_cb_t cb QEMU_PLUGIN_UDATA_);
QEMU_PLUGIN_API void
qemu_plugin_register_vcpu_resume_cb(qemu_plugin_id_t id,
                                    qemu_plugin_vcpu_event_cb_t cb QEMU_PLUGIN_UDATA_);
QEMU_PLUGIN_API void
qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                      qemu_plugin_vcpu_tb_trans_cb_t cb QEMU_PLUGIN_UDATA_);
QEMU_PLUGIN_API void
qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t id,
                                     qemu_plugin_vcpu_syscall_cb_t cb QEMU_PLUGIN_UDATA_);
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_syscall_ret_cb(
    qemu_plugin_id_t id, qemu_plugin_vcpu_syscall_ret_cb_t cb QEMU_PLUGIN_UDATA_);
QEMU_PLUGIN_API void
qemu_plugin_register_flush_cb(qemu_plugin_id_t id,
                              qemu_plugin_plain_event_cb_t cb QEMU_PLUGIN_UDATA_);
QEMU_PLUGIN_API void
qemu_plugin_vcpu_for_each(qemu_plugin_id_t id,
                          qemu_plugin_vcpu_event_cb_t cb QEMU_PLUGIN_UDATA_);
/* This one has had its userdata from the beginning. */
QEMU_PLUGIN_API void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id,
                                                    qemu_plugin_udata_cb_t cb, void *userdata);

/* To be called in a translation callback: what shall happen when the block, the instruction or
 * an access of the instruction is executed. */
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
                                                          qemu_plugin_vcpu_udata_cb_t cb,
                                                          enum qemu_plugin_cb_flags flags,
                                                          void *userdata);
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
                                                            qemu_plugin_vcpu_udata_cb_t cb,
                                                            enum qemu_plugin_cb_flags flags,
                                                            void *userdata);
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
                                                      qemu_plugin_vcpu_mem_cb_t cb,
                                                      enum qemu_plugin_cb_flags flags,
                                                      enum qemu_plugin_mem_rw rw,
                                                      void *userdata);

/* What is being translated. Handles are valid during the translation callback. */
QEMU_PLUGIN_API size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
QEMU_PLUGIN_API uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
/* NULL from index n_insns on. */
QEMU_PLUGIN_API struct qemu_plugin_insn *
qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t idx);
QEMU_PLUGIN_API size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
QEMU_PLUGIN_API uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
/* The host's address of the instruction, as a name of its physical address; may be NULL. */
QEMU_PLUGIN_API void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *insn);
/* To be freed with g_free. */
QEMU_PLUGIN_API char *qemu_plugin_insn_disas(const struct qemu_plugin_insn *insn);
/* The function that the instruction belongs to, or NULL. The string lives for ever. */
QEMU_PLUGIN_API const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *insn);

/* What an access was. size_shift is the binary logarithm of the size in bytes. */
QEMU_PLUGIN_API unsigned int qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t info);
QEMU_PLUGIN_API bool qemu_plugin_mem_is_sign_extended(qemu_plugin_meminfo_t info);
QEMU_PLUGIN_API bool qemu_plugin_mem_is_big_endian(qemu_plugin_meminfo_t info);
QEMU_PLUGIN_API bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);

/* To be called in a memory callback. NULL in user mode, and sometimes in system mode. */
QEMU_PLUGIN_API struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t info,
                                                                  uint64_t vaddr);
QEMU_PLUGIN_API bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *haddr);
QEMU_PLUGIN_API uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *haddr);
/* "RAM", or the name of a device. The string lives for ever. */
QEMU_PLUGIN_API const char *
qemu_plugin_hwaddr_device_name(const struct qemu_plugin_hwaddr *haddr);

/* Text for QEMU's log. */
QEMU_PLUGIN_API void qemu_plugin_outs(const char *string);
/* "on", "yes", "true", "y", "off", "no", "false", "n"; false: val is none of them. */
QEMU_PLUGIN_API bool qemu_plugin_bool_parse(const char *name, const char *val, bool *ret);

/* The guest's program; NULL and 0 in system mode. */
QEMU_PLUGIN_API const char *qemu_plugin_path_to_binary(void);
QEMU_PLUGIN_API uint64_t qemu_plugin_start_code(void);
QEMU_PLUGIN_API uint64_t qemu_plugin_end_code(void);
QEMU_PLUGIN_API uint64_t qemu_plugin_entry_code(void);

#ifdef __cplusplus
}
#endif

#endif
