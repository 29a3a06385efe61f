/*
 * cache - a model of caches: hits, misses, write-backs, and the instructions that miss
 *
 * Every core has a data and an instruction cache (L1), and on demand a unified L2; one more cache
 * may be shared by all cores (llc). vCPU N runs on core N modulo cores=; with cores=0 every vCPU
 * has a core of its own. An access uses the block of its first byte. Nothing is kept coherent
 * between cores.
 *
 * Arguments: {i,d,l2,llc}{cachesize,blksize,assoc}=N; l2=on, llc=on; cores=N;
 * evict=lru|fifo|rand|plru, seed=N for rand; limit=N (default 32, 0 = all): instructions in each
 * list; format=text|csv|json. The text is that of QEMU's plugin of the same name, and what that
 * does not count follows at its end.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qtrace/analyzer.h"
#include "cachesim.h"
#include "lock.h"
#include "options.h"
#include "report.h"
#include "touched.h"

#include <stdio.h>

#define MAX_CORES 65536

enum { DATA, FETCH, L2, LLC, LEVELS };

struct insn {
    uint64_t place; /* what it touches, the key */
    uint64_t vaddr;
    const char *symbol;
    char *disas;
    uint64_t misses[LEVELS];
};

struct core {
    struct lock *lock; /* its own, or with a shared cache one for all */
    struct cache *data, *fetch, *l2;
};

/* Becomes the default, which for l2 and llc must not imply that they are there. */
#define NOT_GIVEN { UINT64_MAX, UINT64_MAX, UINT64_MAX }

static struct {
    struct cache_geometry geometry[LEVELS];
    bool l2, llc;
    int policy;
    uint64_t seed, cores, limit;
    int format;
} option = {
    .geometry = { NOT_GIVEN, NOT_GIVEN, NOT_GIVEN, NOT_GIVEN },
    .cores = UINT64_MAX,
    .limit = 32,
};

static GMutex setup_lock; /* of the table of instructions and of making cores */
static GHashTable *insns;
static struct core *core[MAX_CORES]; /* made when a vCPU comes that needs it */
static uint64_t n_cores;             /* that are reported */
static uint32_t core_modulus;        /* vCPU N has core N modulo this */
static struct cache *llc;
static struct lock llc_lock;

/* ---- cores ---- */

static struct cache *make_cache(int level, uint64_t core_index, struct cache *next)
{
    struct cache *c = cache_new(&option.geometry[level], option.policy,
                                option.seed + core_index * LEVELS + (uint64_t)level);

    c->level = level;
    c->next = next;
    return c;
}

static struct core *make_core(uint64_t index)
{
    g_mutex_lock(&setup_lock);
    struct core *c = core[index];
    if (c == NULL) {
        c = g_new0(struct core, 1);
        c->lock = option.llc ? &llc_lock : g_new0(struct lock, 1);
        c->l2 = option.l2 ? make_cache(L2, index, llc) : NULL;
        c->data = make_cache(DATA, index, option.l2 ? c->l2 : llc);
        c->fetch = make_cache(FETCH, index, option.l2 ? c->l2 : llc);
        n_cores = MAX(n_cores, index + 1);
        __atomic_store_n(&core[index], c, __ATOMIC_RELEASE);
    }
    g_mutex_unlock(&setup_lock);
    return c;
}

static inline struct core *core_of(unsigned int vcpu_index)
{
    uint32_t index = core_modulus == 1 ? 0 : vcpu_index % core_modulus;
    struct core *c = __atomic_load_n(&core[index], __ATOMIC_ACQUIRE);

    return G_LIKELY(c != NULL) ? c : make_core(index);
}

/* ---- accesses ---- */

static inline void use(struct cache *c, uint64_t addr, bool store, struct insn *insn);

static void miss(struct cache *c, uint64_t addr, uint64_t victim, struct insn *insn)
{
    __atomic_fetch_add(&insn->misses[c->level], 1, __ATOMIC_RELAXED);
    if (victim != 0) {
        cache_write_back(c->next, victim, ~c->tag_mask + 1);
    }
    if (c->next != NULL) {
        use(c->next, addr, false, insn);
    }
}

static inline void use(struct cache *c, uint64_t addr, bool store, struct insn *insn)
{
    uint64_t victim;

    if (!cache_access(c, addr, store, &victim)) {
        miss(c, addr, victim, insn);
    }
}

static void on_access(unsigned int vcpu_index, qemu_plugin_meminfo_t info, uint64_t vaddr,
                      void *userdata)
{
    struct core *c = core_of(vcpu_index);
    uint64_t addr;

    if (touched_by_access(info, vaddr, &addr)) {
        lock_take(c->lock);
        use(c->data, addr, qemu_plugin_mem_is_store(info), userdata);
        lock_release(c->lock);
    }
}

static void on_fetch(unsigned int vcpu_index, void *userdata)
{
    struct core *c = core_of(vcpu_index);
    struct insn *insn = userdata;

    lock_take(c->lock);
    use(c->fetch, insn->place, false, insn);
    lock_release(c->lock);
}

static struct insn *find_insn(const struct qemu_plugin_insn *translated)
{
    uint64_t place = touched_by_fetch(translated);

    g_mutex_lock(&setup_lock);
    struct insn *insn = g_hash_table_lookup(insns, &place);
    if (insn == NULL) {
        insn = g_new0(struct insn, 1);
        insn->place = place;
        insn->vaddr = qemu_plugin_insn_vaddr(translated);
        insn->symbol = qemu_plugin_insn_symbol(translated);
        insn->disas = qemu_plugin_insn_disas(translated);
        g_hash_table_insert(insns, &insn->place, insn);
    }
    g_mutex_unlock(&setup_lock);
    return insn;
}

static void analyzer_translate(struct qemu_plugin_tb *tb)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *translated = qemu_plugin_tb_get_insn(tb, i);
        struct insn *insn = find_insn(translated);

        qemu_plugin_register_vcpu_mem_cb(translated, on_access, QEMU_PLUGIN_CB_NO_REGS,
                                         QEMU_PLUGIN_MEM_RW, insn);
        qemu_plugin_register_vcpu_insn_exec_cb(translated, on_fetch, QEMU_PLUGIN_CB_NO_REGS,
                                               insn);
    }
}

/* ---- report: caches ---- */

/* What the report says of a core, or of all. */
struct sums {
    uint64_t accesses[LEVELS], misses[LEVELS], write_backs[LEVELS];
};

static void add(struct sums *sums, const struct cache *c)
{
    if (c != NULL) {
        sums->accesses[c->level] += c->accesses;
        sums->misses[c->level] += c->misses;
        sums->write_backs[c->level] += c->write_backs;
    }
}

static void add_core(struct sums *sums, uint64_t index)
{
    if (core[index] != NULL) {
        add(sums, core[index]->data);
        add(sums, core[index]->fetch);
        add(sums, core[index]->l2);
    }
}

static double miss_rate(const struct sums *s, int level)
{
    return s->accesses[level] == 0 ? 0 : 100.0 * s->misses[level] / s->accesses[level];
}

static void text_of_core(struct report *r, const char *name, const struct sums *s)
{
    report_text(r, "%-8s", name);
    report_text(r, "%-14" PRIu64 " %-12" PRIu64 " %9.4f%%  ", s->accesses[DATA], s->misses[DATA],
                miss_rate(s, DATA));
    report_text(r, "%-14" PRIu64 " %-12" PRIu64 " %9.4f%%", s->accesses[FETCH],
                s->misses[FETCH], miss_rate(s, FETCH));
    if (option.l2) {
        report_text(r, "  %-12" PRIu64 " %-11" PRIu64 " %10.4f%%", s->accesses[L2],
                    s->misses[L2], miss_rate(s, L2));
    }
    report_text(r, "\n");
}

static void cells_of_level(struct report *r, const struct sums *s, int level)
{
    report_number(r, s->accesses[level]);
    report_number(r, s->misses[level]);
    report_real(r, miss_rate(s, level), 4);
}

static void row_of_core(struct report *r, const char *name, const struct sums *s)
{
    if (report_is_text(r)) {
        text_of_core(r, name, s);
        return;
    }
    report_string(r, name);
    cells_of_level(r, s, DATA);
    cells_of_level(r, s, FETCH);
    if (option.l2) {
        cells_of_level(r, s, L2);
    }
    report_row(r);
}

static void write_backs_of_core(struct report *r, const char *name, const struct sums *s)
{
    report_string(r, name);
    report_number(r, s->write_backs[DATA]);
    if (option.l2) {
        report_number(r, s->write_backs[L2]);
    }
    report_row(r);
}

/* All cores, and their sum if there are several. */
static void for_each_core(struct report *r, void (*print)(struct report *r, const char *name,
                                                          const struct sums *sums))
{
    struct sums all = { 0 };

    for (uint64_t i = 0; i < n_cores; i++) {
        struct sums one = { 0 };
        char name[24];

        add_core(&one, i);
        add_core(&all, i);
        g_snprintf(name, sizeof(name), "%" PRIu64, i);
        print(r, name, &one);
    }
    if (n_cores > 1) {
        print(r, "sum", &all);
    }
}

static void report_cores(struct report *r)
{
    if (report_is_text(r)) {
        report_text(r, "core #, data accesses, data misses, dmiss rate, insn accesses, "
                    "insn misses, imiss rate%s\n",
                    option.l2 ? ", l2 accesses, l2 misses, l2 miss rate" : "");
    } else {
        report_table(r, "cores", "core", "data_accesses", "data_misses", "dmiss_rate",
                     "insn_accesses", "insn_misses", "imiss_rate",
                     option.l2 ? "l2_accesses" : NULL, "l2_misses", "l2_miss_rate", NULL);
    }
    for_each_core(r, row_of_core);
    report_text(r, "\n");
}

static void report_write_backs(struct report *r)
{
    report_text(r, "\n");
    report_table(r, "write_backs", "core", "data_write_backs",
                 option.l2 ? "l2_write_backs" : NULL, NULL);
    for_each_core(r, write_backs_of_core);
}

static void report_llc(struct report *r)
{
    struct sums s = { 0 };

    add(&s, llc);
    report_text(r, "\n");
    report_table(r, "llc", "llc_accesses", "llc_misses", "llc_miss_rate", "llc_write_backs",
                 NULL);
    cells_of_level(r, &s, LLC);
    report_number(r, s.write_backs[LLC]);
    report_row(r);
}

/* ---- report: instructions ---- */

static gint by_misses(gconstpointer pa, gconstpointer pb, gpointer userdata)
{
    const struct insn *a = *(struct insn *const *)pa, *b = *(struct insn *const *)pb;
    int level = GPOINTER_TO_INT(userdata);

    if (a->misses[level] != b->misses[level]) {
        return a->misses[level] > b->misses[level] ? -1 : 1;
    }
    if (a->vaddr != b->vaddr) {
        return a->vaddr < b->vaddr ? -1 : 1;
    }
    return a->place < b->place ? -1 : a->place > b->place;
}

static GPtrArray *all_insns(void)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter iter;
    gpointer insn;

    g_hash_table_iter_init(&iter, insns);
    while (g_hash_table_iter_next(&iter, NULL, &insn)) {
        g_ptr_array_add(list, insn);
    }
    return list;
}

static void row_of_insn(struct report *r, const struct insn *insn, int level)
{
    if (report_is_text(r)) {
        report_text(r, "0x%" PRIx64, insn->vaddr);
        if (insn->symbol != NULL) {
            report_text(r, " (%s)", insn->symbol);
        }
        report_text(r, ", %" PRIu64 ", %s\n", insn->misses[level], insn->disas);
        return;
    }
    report_address(r, insn->vaddr);
    report_string(r, insn->symbol);
    report_number(r, insn->misses[level]);
    report_string(r, insn->disas);
    report_row(r);
}

static void report_insns(struct report *r, GPtrArray *list, int level)
{
    static const char *const titles[LEVELS] = { "data misses", "fetch misses", "L2 misses",
                                                "LLC misses" };
    static const char *const tables[LEVELS] = { "data_misses", "fetch_misses", "l2_misses",
                                                "llc_misses" };

    g_ptr_array_sort_with_data(list, by_misses, GINT_TO_POINTER(level));
    if (report_is_text(r)) {
        report_text(r, "%saddress, %s, instruction\n", level == DATA ? "" : "\n",
                    titles[level]);
    } else {
        report_table(r, tables[level], "address", "symbol", tables[level], "instruction", NULL);
    }
    for (guint i = 0; i < list->len && (option.limit == 0 || i < option.limit); i++) {
        row_of_insn(r, list->pdata[i], level);
    }
}

/* The vCPUs of a machine run on while QEMU exits: no count shall change within a report. */
static void for_each_lock(void (*action)(struct lock *lock))
{
    if (option.llc) {
        action(&llc_lock);
        return;
    }
    for (uint64_t i = 0; i < n_cores; i++) {
        if (core[i] != NULL) {
            action(core[i]->lock);
        }
    }
}

static void analyzer_exit(void)
{
    struct report *r = report_new(option.format);

    g_mutex_lock(&setup_lock);
    for_each_lock(lock_take);
    GPtrArray *list = all_insns();
    report_cores(r);
    report_insns(r, list, DATA);
    report_insns(r, list, FETCH);
    if (option.l2) {
        report_insns(r, list, L2);
    }
    if (option.llc) {
        report_insns(r, list, LLC);
    }
    report_write_backs(r);
    if (option.llc) {
        report_llc(r);
    }
    for_each_lock(lock_release);
    g_mutex_unlock(&setup_lock);
    report_print(r);
    g_ptr_array_free(list, TRUE);
}

/* ---- arguments ---- */

/* What was not given gets its default. true: something was given. */
static bool complete(struct cache_geometry *g, struct cache_geometry defaults)
{
    bool given = g->size != UINT64_MAX || g->block_size != UINT64_MAX || g->assoc != UINT64_MAX;

    g->size = g->size == UINT64_MAX ? defaults.size : g->size;
    g->block_size = g->block_size == UINT64_MAX ? defaults.block_size : g->block_size;
    g->assoc = g->assoc == UINT64_MAX ? defaults.assoc : g->assoc;
    return given;
}

static bool check_caches(void)
{
    static const char *const names[LEVELS] = { "data cache", "instruction cache", "L2 cache",
                                               "shared cache (llc)" };

    for (int level = 0; level < LEVELS; level++) {
        g_autofree char *why = cache_check(&option.geometry[level], option.policy);
        if (why != NULL) {
            fprintf(stderr, "cache: %s: %s\n", names[level], why);
            return false;
        }
    }
    return true;
}

static bool set_up(const qemu_info_t *info)
{
    complete(&option.geometry[DATA], (struct cache_geometry){ 64, 8, 16 << 10 });
    complete(&option.geometry[FETCH], (struct cache_geometry){ 64, 8, 16 << 10 });
    option.l2 |= complete(&option.geometry[L2], (struct cache_geometry){ 64, 16, 2 << 20 });
    option.llc |= complete(&option.geometry[LLC], (struct cache_geometry){ 64, 16, 8 << 20 });
    if (!check_caches()) {
        return false;
    }
    if (option.cores == UINT64_MAX) {
        option.cores = info->system_emulation ? (uint64_t)info->system.smp_vcpus : 1;
    }
    if (option.cores > MAX_CORES) {
        fprintf(stderr, "cache: cores=%" PRIu64 " is more than %d\n", option.cores, MAX_CORES);
        return false;
    }
    n_cores = option.cores;
    core_modulus = option.cores == 0 ? MAX_CORES : (uint32_t)option.cores;
    touched_system = info->system_emulation;
    llc = option.llc ? make_cache(LLC, MAX_CORES, NULL) : NULL;
    insns = g_hash_table_new(g_int64_hash, g_int64_equal);
    return true;
}

#define GEOMETRY(prefix, level)                                                             \
    { prefix "cachesize", OPTION_NUMBER, &option.geometry[level].size, .hint = "BYTES" },   \
    { prefix "blksize", OPTION_NUMBER, &option.geometry[level].block_size, .hint = "BYTES" }, \
    { prefix "assoc", OPTION_NUMBER, &option.geometry[level].assoc, .hint = "N" }

ANALYZER_SUMMARY("a model of caches: hits, misses, write-backs, and the instructions that miss")

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    static const char *const policies[] = { "lru", "fifo", "rand", "plru", NULL };
    const struct option options[] = {
        GEOMETRY("i", FETCH),
        GEOMETRY("d", DATA),
        { "l2", OPTION_BOOL, &option.l2 },
        GEOMETRY("l2", L2),
        { "llc", OPTION_BOOL, &option.llc },
        GEOMETRY("llc", LLC),
        { "cores", OPTION_NUMBER, &option.cores, .hint = "N" },
        { "evict", OPTION_CHOICE, &option.policy, policies },
        { "seed", OPTION_NUMBER, &option.seed, .hint = "N" },
        { "limit", OPTION_NUMBER, &option.limit, .hint = "N" },
        OPTION_FORMAT(&option.format),
        { NULL },
    };

    if (!options_parse("cache", options, argc, argv) || !set_up(info)) {
        return -1;
    }
    analyzer_register(id);
    return 0;
}
