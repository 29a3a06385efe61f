/*
 * api.c - a plugin that uses what no plugin of QEMU's own uses, and prints what it gets
 *
 * Built for versions 1 to 4 of the API (-DQEMU_PLUGIN_API_VERSION=N). Arguments: tag=TEXT, which
 * lines begin with, and what to do:
 *
 *   queries      whatever can be asked about the run, blocks and instructions
 *   events       vCPUs, system calls and flushes, each with the list of vCPUs
 *   conditions   conditional callbacks and stores (2)
 *   steps        inline operations on execution, many to a place, some of which have bytes in
 *                common, between callbacks that look at them (2)
 *   boards       scoreboards of several sizes and the u64 helpers (2)
 *   reset=WHERE      be reset there, and uninstalled the second time: trans, block, insn, mem,
 *                    syscall, ret, install, access (nothing but accesses is registered)
 *   uninstall=WHERE  be uninstalled there
 *   grow=WHERE       be reset there (insn, mem, syscall, ret); before, nothing is registered that
 *                    needs more than WHERE does, but additions
 *   late=WHAT        additions, and for the block at 0x2000: call (callbacks on its accesses),
 *                    look or sum (asks before or behind the additions how many blocks there
 *                    were) or add (nothing more)
 *   log              a line for each block, instruction and access
 *   leave            end QEMU with status 9 in the five hundredth block
 *   crash            abort there
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qtrace/qemu-plugin.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_API_VERSION;

static const char *tag = "";
static qemu_plugin_id_t self;

static void __attribute__((format(printf, 1, 2))) say(const char *fmt, ...)
{
    char line[1000];
    size_t n = (size_t)snprintf(line, sizeof(line) - 1, "%s", tag);
    va_list args;

    va_start(args, fmt);
    vsnprintf(line + n, sizeof(line) - 1 - n, fmt, args);
    va_end(args);
    strcat(line, "\n");
    qemu_plugin_outs(line);
}

/* ---- queries ---- */

static void say_bytes(const struct qemu_plugin_insn *insn)
{
    char hex[100] = "";
#if QEMU_PLUGIN_API_VERSION >= 3
    unsigned char bytes[32] = { 0 };
    size_t n = qemu_plugin_insn_data(insn, bytes, sizeof(bytes));
    unsigned char one[2] = { 0, 0x55 };

    say("  %zu, of one byte %zu: %02x %02x", n, qemu_plugin_insn_data(insn, one, 1), one[0],
        one[1]);
#elif QEMU_PLUGIN_API_VERSION < 2
    const unsigned char *bytes = qemu_plugin_insn_data(insn);
    size_t n = qemu_plugin_insn_size(insn);
#else /* QEMU 10.0 accepts version 2 and has the call of version 3 */
    const unsigned char *bytes = NULL;
    size_t n = 0;
#endif
    for (size_t i = 0; i < n; i++) {
        sprintf(hex + 2 * i, "%02x", bytes[i]);
    }
    say("  bytes %s", hex);
}

static void query_block(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t n = qemu_plugin_tb_n_insns(tb);

    say("block %" PRIx64 ", %zu instructions, the one behind: %p", qemu_plugin_tb_vaddr(tb), n,
        (void *)qemu_plugin_tb_get_insn(tb, n));
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        char *disas = qemu_plugin_insn_disas(insn);
        const char *symbol = qemu_plugin_insn_symbol(insn);

        say(" insn %" PRIx64 " %zu %p %s: %s", qemu_plugin_insn_vaddr(insn),
            qemu_plugin_insn_size(insn), qemu_plugin_insn_haddr(insn),
            symbol != NULL ? symbol : "-", disas);
        say_bytes(insn);
        g_free(disas);
    }
}

static void query_words(void)
{
    static const char *const words[] = { "on", "off", "yes", "no", "true", "false", "y", "n",
                                         "ON", "1", "", "maybe" };

    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        bool value = i % 2 != 0;
        bool known = qemu_plugin_bool_parse("name", words[i], &value);
        say("'%s': %d %d", words[i], known, value);
    }
    say("nothing: %d", qemu_plugin_bool_parse("name", NULL, NULL));
}

static void query_run(qemu_plugin_id_t id, void *userdata)
{
#if QEMU_PLUGIN_API_VERSION < 2
    const char *path = qemu_plugin_path_to_binary();

    say("%s %" PRIx64 " %" PRIx64 " %" PRIx64, path, qemu_plugin_start_code(),
        qemu_plugin_end_code(), qemu_plugin_entry_code());
    say("vCPUs %d %d", qemu_plugin_n_vcpus(), qemu_plugin_n_max_vcpus());
#else
    say("vCPUs %d", qemu_plugin_num_vcpus());
    say("time control %d", qemu_plugin_request_time_control() != NULL);
#endif
    say("hwaddr %p %s", (void *)qemu_plugin_get_hwaddr(0, 0x1000),
        qemu_plugin_hwaddr_device_name(NULL));
}

static void install_queries(qemu_plugin_id_t id, const qemu_info_t *info)
{
    say("target %s, version %d to %d, system %d", info->target_name, info->version.min,
        info->version.cur, info->system_emulation);
    query_words();
    qemu_plugin_register_vcpu_tb_trans_cb(id, query_block);
    qemu_plugin_register_atexit_cb(id, query_run, (void *)&self);
}

/* ---- events ---- */

static __thread char list[4000];

static void add_vcpu(qemu_plugin_id_t id, unsigned int vcpu)
{
    size_t n = strlen(list);

    snprintf(list + n, sizeof(list) - n, " %u", vcpu);
}

static void say_event(const char *what, unsigned vcpu, const char *more)
{
    int total = 0;

    list[0] = '\0';
    qemu_plugin_vcpu_for_each(self, add_vcpu);
    qemu_plugin_vcpu_for_each(self, NULL);
#if QEMU_PLUGIN_API_VERSION >= 2
    total = qemu_plugin_num_vcpus();
#endif
    say("%s %u%s, %d vCPUs:%s", what, vcpu, more, total, list);
}

static void on_init(qemu_plugin_id_t id, unsigned int vcpu)
{
    say_event("init", vcpu, "");
}

static void on_vcpu_exit(qemu_plugin_id_t id, unsigned int vcpu)
{
    say_event("exit", vcpu, "");
}

static void on_idle(qemu_plugin_id_t id, unsigned int vcpu)
{
    say_event("idle", vcpu, "");
}

static void on_resume(qemu_plugin_id_t id, unsigned int vcpu)
{
    say_event("resume", vcpu, "");
}

static void on_flush(qemu_plugin_id_t id)
{
    say_event("flush", 0, "");
}

static void on_syscall(qemu_plugin_id_t id, unsigned int vcpu, int64_t num, uint64_t a1,
                       uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6,
                       uint64_t a7, uint64_t a8)
{
    char args[300];

    snprintf(args, sizeof(args),
             " %" PRId64 "(%" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64
             " %" PRIx64 " %" PRIx64 ")", num, a1, a2, a3, a4, a5, a6, a7, a8);
    say_event("syscall", vcpu, args);
}

static void on_syscall_ret(qemu_plugin_id_t id, unsigned int vcpu, int64_t num, int64_t ret)
{
    char args[100];

    snprintf(args, sizeof(args), " %" PRId64 " = %" PRId64, num, ret);
    say_event("ret", vcpu, args);
}

static void replaced(qemu_plugin_id_t id, void *userdata)
{
    say("this callback was replaced");
}

static void at_end(qemu_plugin_id_t id, void *userdata)
{
    say_event("end", userdata == &self, "");
}

static void install_events(qemu_plugin_id_t id)
{
    qemu_plugin_register_vcpu_init_cb(id, on_init);
    qemu_plugin_register_vcpu_exit_cb(id, on_vcpu_exit);
    qemu_plugin_register_vcpu_idle_cb(id, on_idle);
    qemu_plugin_register_vcpu_resume_cb(id, on_resume);
    qemu_plugin_register_flush_cb(id, on_flush);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    qemu_plugin_register_vcpu_syscall_ret_cb(id, on_syscall_ret);
    qemu_plugin_register_atexit_cb(id, replaced, NULL);
    qemu_plugin_register_atexit_cb(id, at_end, &self);
}

#if QEMU_PLUGIN_API_VERSION >= 2
/* ---- conditions ---- */

struct conditional {
    uint64_t before;
    uint64_t count;     /* grows by one with each instruction */
    uint64_t last;      /* the instruction that was executed last */
    uint64_t restarted; /* is set to 0 by a callback every hundred blocks */
    uint32_t small;
};

static struct qemu_plugin_scoreboard *conditional;
static uint64_t fired[8][3];

#define CONDITIONAL(member)                                                                  \
    qemu_plugin_scoreboard_u64_in_struct(conditional, struct conditional, member)

static void on_condition(unsigned int vcpu, void *userdata)
{
    uint64_t *count = userdata;

    if (++*count % 1000 == 1) {
        say("condition %d of %u at %" PRIu64 " after %" PRIx64,
            (int)(count - &fired[0][0]), vcpu, qemu_plugin_u64_get(CONDITIONAL(count), vcpu),
            qemu_plugin_u64_get(CONDITIONAL(last), vcpu));
    }
}

static void on_hundred(unsigned int vcpu, void *userdata)
{
    say("hundred at %" PRIu64, qemu_plugin_u64_get(CONDITIONAL(count), vcpu));
    qemu_plugin_u64_set(CONDITIONAL(restarted), vcpu, 0);
}

static void condition_block(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    static const uint64_t limits[3] = { 0, 5000, UINT64_MAX };

    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64,
                                                      CONDITIONAL(restarted), 1);
    qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, on_hundred, QEMU_PLUGIN_CB_NO_REGS,
                                              QEMU_PLUGIN_COND_EQ, CONDITIONAL(restarted), 100,
                                              NULL);
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

        for (int cond = QEMU_PLUGIN_COND_NEVER; cond <= QEMU_PLUGIN_COND_GE; cond++) {
            for (int limit = 0; limit < 3; limit++) {
                qemu_plugin_register_vcpu_insn_exec_cond_cb(
                    insn, on_condition, QEMU_PLUGIN_CB_NO_REGS, (enum qemu_plugin_cond)cond,
                    CONDITIONAL(count), limits[limit], &fired[cond][limit]);
            }
        }
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                            CONDITIONAL(count), 1);
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
            insn, QEMU_PLUGIN_INLINE_STORE_U64, CONDITIONAL(last), qemu_plugin_insn_vaddr(insn));
        qemu_plugin_register_vcpu_mem_inline_per_vcpu(
            insn, QEMU_PLUGIN_MEM_W, QEMU_PLUGIN_INLINE_STORE_U64, CONDITIONAL(before), i);
    }
}

static void conditions_end(qemu_plugin_id_t id, void *userdata)
{
    for (int cond = 0; cond < 8; cond++) {
        say("condition %d: %" PRIu64 " %" PRIu64 " %" PRIu64, cond, fired[cond][0],
            fired[cond][1], fired[cond][2]);
    }
    for (int i = 0; i < qemu_plugin_num_vcpus(); i++) {
        struct conditional *c = qemu_plugin_scoreboard_find(conditional, (unsigned)i);
        say("vCPU %d: %" PRIu64 " %" PRIu64 " %" PRIx64 " %" PRIu64 " %u", i, c->before,
            c->count, c->last, c->restarted, c->small);
    }
}

static void install_conditions(qemu_plugin_id_t id)
{
    conditional = qemu_plugin_scoreboard_new(sizeof(struct conditional));
    qemu_plugin_register_vcpu_tb_trans_cb(id, condition_block);
    qemu_plugin_register_atexit_cb(id, conditions_end, NULL);
}

/* ---- steps ---- */

struct stepped {
    uint64_t sum, last, mixed, wide[2];
};

static struct qemu_plugin_scoreboard *stepped;
static uint64_t looks;

static qemu_plugin_u64 stepped_at(size_t offset)
{
    return (qemu_plugin_u64){ stepped, offset };
}

static void say_stepped(unsigned int vcpu)
{
    struct stepped *s = qemu_plugin_scoreboard_find(stepped, vcpu);

    say("look %" PRIu64 " of %u: %" PRIu64 " %" PRIx64 " %" PRIu64 " %" PRIx64 " %" PRIx64, looks,
        vcpu, s->sum, s->last, s->mixed, s->wide[0], s->wide[1]);
}

static void on_look(unsigned int vcpu, void *userdata)
{
    if (++looks % 19 == 1) {
        say_stepped(vcpu);
    }
}

static void step_add(struct qemu_plugin_insn *insn, size_t offset, uint64_t n)
{
    qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                        stepped_at(offset), n);
}

static void step_store(struct qemu_plugin_insn *insn, size_t offset, uint64_t n)
{
    qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, QEMU_PLUGIN_INLINE_STORE_U64,
                                                        stepped_at(offset), n);
}

static void step_insn(struct qemu_plugin_insn *insn, size_t i)
{
    const size_t wide = offsetof(struct stepped, wide), mixed = offsetof(struct stepped, mixed);
    const uint64_t pc = qemu_plugin_insn_vaddr(insn);

    step_add(insn, offsetof(struct stepped, sum), i + 1);
    step_store(insn, offsetof(struct stepped, last), pc);
    step_add(insn, mixed, 3);
    if (pc % 3 == 1) {
        step_store(insn, mixed, pc % 100);
    }
    step_add(insn, mixed, 1);
    step_add(insn, wide, UINT64_C(0x100000001));
    if (pc % 4 == 2) { /* half of it, and half of the next */
        step_add(insn, wide + 4, pc % 16);
        step_store(insn, wide + 4, pc % 7);
    }
    step_add(insn, wide + 8, 5);
    if (pc % 5 == 3) {
        qemu_plugin_register_vcpu_insn_exec_cond_cb(insn, on_look, QEMU_PLUGIN_CB_NO_REGS,
                                                    QEMU_PLUGIN_COND_LT, stepped_at(mixed), 50,
                                                    NULL);
    }
}

static void step_block(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    if (qemu_plugin_tb_vaddr(tb) / 4 % 7 == 0) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, on_look, QEMU_PLUGIN_CB_NO_REGS, NULL);
    }
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        step_insn(qemu_plugin_tb_get_insn(tb, i), i);
    }
}

static void steps_end(qemu_plugin_id_t id, void *userdata)
{
    for (int i = 0; i < qemu_plugin_num_vcpus(); i++) {
        say_stepped((unsigned)i);
    }
}

static void install_steps(qemu_plugin_id_t id)
{
    stepped = qemu_plugin_scoreboard_new(sizeof(struct stepped));
    qemu_plugin_register_vcpu_tb_trans_cb(id, step_block);
    qemu_plugin_register_atexit_cb(id, steps_end, NULL);
}

/* ---- boards ---- */

static const size_t sizes[] = { 8, 16, 24, 40, 1000, 8192 };
static struct qemu_plugin_scoreboard *board[G_N_ELEMENTS(sizes)];

/* The last number of each element. */
static qemu_plugin_u64 tail(size_t i)
{
    return (qemu_plugin_u64){ board[i], sizes[i] - 8 };
}

static void board_init(qemu_plugin_id_t id, unsigned int vcpu)
{
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        char *element = qemu_plugin_scoreboard_find(board[i], vcpu);

        say("vCPU %u board %zu: %" PRIu64 ", element 0 is %zu away", vcpu, i,
            qemu_plugin_u64_get(tail(i), vcpu),
            (size_t)(element - (char *)qemu_plugin_scoreboard_find(board[i], 0)));
        qemu_plugin_u64_add(tail(i), vcpu, 1000000 * (i + 1));
    }
}

static void board_block(unsigned int vcpu, void *userdata)
{
    qemu_plugin_u64 entry = tail((uintptr_t)userdata);

    qemu_plugin_u64_add(entry, vcpu, 2);
    if (qemu_plugin_u64_get(entry, vcpu) % 3 == 0) {
        qemu_plugin_u64_set(entry, vcpu, qemu_plugin_u64_get(entry, vcpu) + 3);
    }
}

static void board_trans(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t n = qemu_plugin_tb_vaddr(tb) / 4 % G_N_ELEMENTS(sizes);

    qemu_plugin_register_vcpu_tb_exec_cb(tb, board_block, QEMU_PLUGIN_CB_NO_REGS,
                                         (void *)(uintptr_t)n);
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        qemu_plugin_register_vcpu_mem_inline_per_vcpu(
            qemu_plugin_tb_get_insn(tb, i), QEMU_PLUGIN_MEM_R, QEMU_PLUGIN_INLINE_ADD_U64,
            tail(i % G_N_ELEMENTS(sizes)), i);
    }
}

static void boards_end(qemu_plugin_id_t id, void *userdata)
{
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        say("board %zu: sum %" PRIu64, i, qemu_plugin_u64_sum(tail(i)));
        for (int vcpu = 0; vcpu < qemu_plugin_num_vcpus(); vcpu++) {
            say(" vCPU %d: %" PRIu64, vcpu, qemu_plugin_u64_get(tail(i), (unsigned)vcpu));
        }
        qemu_plugin_scoreboard_free(board[i]);
    }
}

static void install_boards(qemu_plugin_id_t id)
{
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        board[i] = qemu_plugin_scoreboard_new(sizes[i]);
    }
    qemu_plugin_register_vcpu_init_cb(id, board_init);
    qemu_plugin_register_vcpu_tb_trans_cb(id, board_trans);
    qemu_plugin_register_atexit_cb(id, boards_end, NULL);
}
#endif

/* ---- reset and uninstall ---- */

static struct {
    const char *where; /* NULL: it was done */
    bool uninstall, again, only_accesses, grow;
    uint64_t trans, blocks, insns, accesses, calls, returns;
} change;

/* Additions: blocks, accesses. */
#if QEMU_PLUGIN_API_VERSION < 2
static uint64_t added[2];

static void add_to(struct qemu_plugin_tb *tb, struct qemu_plugin_insn *insn)
{
    if (insn == NULL) {
        qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &added[0], 1);
    } else {
        qemu_plugin_register_vcpu_mem_inline(insn, QEMU_PLUGIN_MEM_RW,
                                             QEMU_PLUGIN_INLINE_ADD_U64, &added[1], 1);
    }
}

static uint64_t sum_of(int i)
{
    return added[i];
}
#else
static struct qemu_plugin_scoreboard *sums;

static qemu_plugin_u64 sum_entry(int i)
{
    if (sums == NULL) {
        sums = qemu_plugin_scoreboard_new(2 * sizeof(uint64_t));
    }
    return (qemu_plugin_u64){ sums, i * sizeof(uint64_t) };
}

static void add_to(struct qemu_plugin_tb *tb, struct qemu_plugin_insn *insn)
{
    if (insn == NULL) {
        qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64,
                                                          sum_entry(0), 1);
    } else {
        qemu_plugin_register_vcpu_mem_inline_per_vcpu(
            insn, QEMU_PLUGIN_MEM_RW, QEMU_PLUGIN_INLINE_ADD_U64, sum_entry(1), 1);
    }
}

static uint64_t sum_of(int i)
{
    return qemu_plugin_u64_sum(sum_entry(i));
}
#endif

static void install_change(qemu_plugin_id_t id);

static void say_change(const char *what)
{
    say("%s: %" PRIu64 " translations, %" PRIu64 " blocks, %" PRIu64 " insns, %" PRIu64
        " accesses, %" PRIu64 " calls, %" PRIu64 " returns", what, change.trans, change.blocks,
        change.insns, change.accesses, change.calls, change.returns);
}

static void after_uninstall(qemu_plugin_id_t id)
{
    say_change("uninstalled");
}

static void after_reset(qemu_plugin_id_t id)
{
    say_change("reset");
    if (change.grow) {
        say("added: %" PRIu64 " %" PRIu64, sum_of(0), sum_of(1));
    }
    if (!change.again) {
        change.again = change.uninstall = true;
        install_change(id);
    }
}

/* Every place calls it; it acts at the hundredth time at the place that was chosen. There are
 * more accesses, and long after the beginning their blocks are known. */
static void come_by(const char *place, uint64_t *count)
{
    bool late = change.only_accesses || (change.grow && count == &change.insns);
    uint64_t often = late ? 7001 : 100;

    if (++*count % often != 0 || change.where == NULL || strcmp(change.where, place) != 0) {
        return;
    }
    say_change(change.uninstall ? "uninstall" : "reset asked for");
    if (change.uninstall) {
        change.where = NULL;
        qemu_plugin_uninstall(self, after_uninstall);
    } else {
        qemu_plugin_reset(self, after_reset);
        qemu_plugin_reset(self, NULL); /* the second one means nothing */
    }
}

static void change_on_block(unsigned int vcpu, void *userdata)
{
    come_by("block", &change.blocks);
}

static void change_on_insn(unsigned int vcpu, void *userdata)
{
    come_by(change.grow && !change.again ? change.where : "insn", &change.insns);
}

static void change_on_mem(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                          void *userdata)
{
    come_by(change.only_accesses ? "access" : "mem", &change.accesses);
}

/* The hosts may take rows together of which plugins see nothing but accesses. */
static void change_on_accesses(struct qemu_plugin_tb *tb)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i), change_on_mem,
                                         QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, NULL);
    }
}

static void grow_on_trans(struct qemu_plugin_tb *tb)
{
    add_to(tb, NULL);
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

        if (change.where[0] == 'i' || change.where[0] == 'm') {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, change_on_insn, QEMU_PLUGIN_CB_NO_REGS,
                                                   NULL);
        }
        if (change.where[0] == 'm') {
            add_to(tb, insn);
        }
    }
}

static void change_on_trans(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    come_by("trans", &change.trans);
    if (change.grow && !change.again) {
        grow_on_trans(tb);
        return;
    }
    if (change.only_accesses) {
        change_on_accesses(tb);
        return;
    }
    qemu_plugin_register_vcpu_tb_exec_cb(tb, change_on_block, QEMU_PLUGIN_CB_NO_REGS, NULL);
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        qemu_plugin_register_vcpu_insn_exec_cb(insn, change_on_insn, QEMU_PLUGIN_CB_NO_REGS,
                                               NULL);
        qemu_plugin_register_vcpu_mem_cb(insn, change_on_mem, QEMU_PLUGIN_CB_NO_REGS,
                                         QEMU_PLUGIN_MEM_RW, NULL);
    }
}

static void change_on_syscall(qemu_plugin_id_t id, unsigned int vcpu, int64_t num, uint64_t a1,
                              uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6,
                              uint64_t a7, uint64_t a8)
{
    change.calls += 19; /* there are few */
    come_by("syscall", &change.calls);
}

static void change_on_ret(qemu_plugin_id_t id, unsigned int vcpu, int64_t num, int64_t ret)
{
    change.returns += 19;
    come_by("ret", &change.returns);
}

static void change_on_flush(qemu_plugin_id_t id)
{
    say_change("flush");
}

static void change_at_end(qemu_plugin_id_t id, void *userdata)
{
    say_change("end");
}

static void install_change(qemu_plugin_id_t id)
{
    qemu_plugin_register_vcpu_tb_trans_cb(id, change_on_trans);
    qemu_plugin_register_vcpu_syscall_cb(id, change_on_syscall);
    qemu_plugin_register_vcpu_syscall_ret_cb(id, change_on_ret);
    qemu_plugin_register_flush_cb(id, change_on_flush);
    qemu_plugin_register_atexit_cb(id, change_at_end, NULL);
}

/* ---- late ---- */

static const char *late;
static uint64_t late_accesses;

static void late_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                        void *userdata)
{
    late_accesses++;
}

static void late_on_trans(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    bool is_late = qemu_plugin_tb_vaddr(tb) == 0x2000;

    if (is_late && late[0] == 'l') {
        say("so far: %s", sum_of(0) >= 10 ? "some" : "few");
    }
    add_to(tb, NULL);
    if (is_late && late[0] == 's') {
        say("so far: %s", sum_of(0) >= 10 ? "some" : "few");
    } else if (is_late && late[0] == 'c') {
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, 0), late_access,
                                         QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, NULL);
    }
}

static void late_end(qemu_plugin_id_t id, void *userdata)
{
    say("%" PRIu64 " blocks, %" PRIu64 " accesses", sum_of(0), late_accesses);
}

/* ---- log ---- */

static void log_block(unsigned int vcpu, void *address)
{
    say("%u b 0x%" PRIxPTR, vcpu, (uintptr_t)address);
}

static void log_insn(unsigned int vcpu, void *userdata)
{
    say("%u i", vcpu);
}

static void log_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                       void *userdata)
{
    say("%u a %s %u 0x%" PRIx64, vcpu, qemu_plugin_mem_is_store(info) ? "store" : "load",
        1u << qemu_plugin_mem_size_shift(info), vaddr);
}

/* Registered for neither loads nor stores: QEMU never calls it. */
static void log_nothing(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                        void *userdata)
{
    say("%u nothing", vcpu);
}

static void log_trans(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    void *address = (void *)(uintptr_t)qemu_plugin_tb_vaddr(tb);

    qemu_plugin_register_vcpu_tb_exec_cb(tb, log_block, QEMU_PLUGIN_CB_NO_REGS, address);
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        qemu_plugin_register_vcpu_insn_exec_cb(insn, log_insn, QEMU_PLUGIN_CB_NO_REGS, NULL);
        qemu_plugin_register_vcpu_mem_cb(insn, log_nothing, QEMU_PLUGIN_CB_NO_REGS,
                                         (enum qemu_plugin_mem_rw)0, NULL);
        qemu_plugin_register_vcpu_mem_cb(insn, log_access, QEMU_PLUGIN_CB_NO_REGS,
                                         QEMU_PLUGIN_MEM_RW, NULL);
    }
}

static void log_end(qemu_plugin_id_t id, void *userdata)
{
    say("end");
}

/* ---- the end ---- */

static void leave_on_block(unsigned int vcpu, void *userdata)
{
    static int left = 500;

    if (--left > 0) {
        return;
    }
    say("leaving");
    if (userdata != NULL) {
        abort();
    }
    exit(9);
}

static bool crash;

static void leave_on_trans(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    qemu_plugin_register_vcpu_tb_exec_cb(tb, leave_on_block, QEMU_PLUGIN_CB_NO_REGS,
                                         crash ? &crash : NULL);
}

static void __attribute__((destructor)) on_close(void)
{
    say("closed");
}

/* ---- */

static bool install_what(qemu_plugin_id_t id, const qemu_info_t *info, const char *what)
{
    if (strcmp(what, "queries=on") == 0) {
        install_queries(id, info);
    } else if (strcmp(what, "events=on") == 0) {
        install_events(id);
    } else if (strcmp(what, "log=on") == 0) {
        qemu_plugin_register_vcpu_tb_trans_cb(id, log_trans);
        qemu_plugin_register_atexit_cb(id, log_end, NULL);
    } else if (g_str_has_prefix(what, "late=")) {
        late = strchr(what, '=') + 1;
        qemu_plugin_register_vcpu_tb_trans_cb(id, late_on_trans);
        qemu_plugin_register_atexit_cb(id, late_end, NULL);
    } else if (strcmp(what, "leave=on") == 0 || strcmp(what, "crash=on") == 0) {
        crash = what[0] == 'c';
        qemu_plugin_register_vcpu_tb_trans_cb(id, leave_on_trans);
#if QEMU_PLUGIN_API_VERSION >= 2
    } else if (strcmp(what, "conditions=on") == 0) {
        install_conditions(id);
    } else if (strcmp(what, "steps=on") == 0) {
        install_steps(id);
    } else if (strcmp(what, "boards=on") == 0) {
        install_boards(id);
#endif
    } else if (g_str_has_prefix(what, "reset=") || g_str_has_prefix(what, "uninstall=") ||
               g_str_has_prefix(what, "grow=")) {
        change.where = strchr(what, '=') + 1;
        change.uninstall = what[0] == 'u';
        change.grow = what[0] == 'g';
        change.only_accesses = strcmp(change.where, "access") == 0;
        install_change(id);
        if (strcmp(change.where, "install") == 0) {
            qemu_plugin_reset(id, after_reset);
            say("install goes on");
        }
    } else {
        return false;
    }
    return true;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    self = id;
    for (int i = 0; i < argc; i++) {
        if (g_str_has_prefix(argv[i], "tag=")) {
            tag = argv[i] + 4;
        } else if (!install_what(id, info, argv[i])) {
            fprintf(stderr, "api.c: what is %s?\n", argv[i]);
            return 1;
        }
    }
    return 0;
}
