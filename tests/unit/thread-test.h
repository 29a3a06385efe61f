/*
 * thread-test.h - Criterion, or what our tests need of it
 *
 * Criterion cannot be initialised under the thread sanitizer: both want the same addresses; and
 * it is not at hand when the tests are built for another architecture (QT_NO_CRITERION).
 * There, this stands in for it: every test runs in a process of its own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_THREAD_TEST_H
#define QT_THREAD_TEST_H

#if !defined(__SANITIZE_THREAD__) && !defined(QT_NO_CRITERION)
#include <criterion/criterion.h>
#else

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    const char *name;
    void (*run)(void);
} thread_tests[64];
static unsigned n_thread_tests;
static bool thread_test_failed;

#define Test(suite, test)                                                                 \
    static void suite##_##test(void);                                                     \
    __attribute__((constructor)) static void add_##suite##_##test(void)                   \
    {                                                                                     \
        thread_tests[n_thread_tests].name = #suite "::" #test;                            \
        thread_tests[n_thread_tests++].run = suite##_##test;                              \
    }                                                                                     \
    static void suite##_##test(void)

/* More text may follow what is not true. */
#define thread_test_expect(good, end, what, ...)                            \
    do {                                                                    \
        if (!(good)) {                                                      \
            fprintf(stderr, "line %d: not true: %s ", __LINE__, what);      \
            fprintf(stderr, " " __VA_ARGS__);                               \
            fputc('\n', stderr);                                            \
            thread_test_failed = true;                                      \
            if (end) {                                                      \
                _exit(1);                                                   \
            }                                                               \
        }                                                                   \
    } while (0)

#define cr_assert_fail(...) thread_test_expect(false, true, "fail", __VA_ARGS__)
#define cr_assert_str_eq(x, y, ...) cr_assert(strcmp(x, y) == 0, __VA_ARGS__)
#define cr_assert(x, ...) thread_test_expect(x, true, #x, __VA_ARGS__)
#define cr_assert_not_null(x, ...) cr_assert((x) != NULL, __VA_ARGS__)
#define cr_assert_eq(x, y, ...) cr_assert((x) == (y), __VA_ARGS__)
#define cr_assert_neq(x, y, ...) cr_assert((x) != (y), __VA_ARGS__)
#define cr_assert_geq(x, y, ...) cr_assert((x) >= (y), __VA_ARGS__)
#define cr_assert_lt(x, y, ...) cr_assert((x) < (y), __VA_ARGS__)
#define cr_assert_leq(x, y, ...) cr_assert((x) <= (y), __VA_ARGS__)
#define cr_assert_gt(x, y, ...) cr_assert((x) > (y), __VA_ARGS__)
#define cr_expect(x, ...) thread_test_expect(x, false, #x, __VA_ARGS__)
#define cr_expect_eq(x, y, ...) thread_test_expect((x) == (y), false, #x " == " #y, __VA_ARGS__)
#define cr_expect_str_eq(x, y, ...) cr_expect(strcmp(x, y) == 0, __VA_ARGS__)

/* Is it one of those asked for? Arguments are SUITE or SUITE::TEST; none asks for all. */
static bool thread_test_wanted(const char *name, char **argv)
{
    const size_t n = strcspn(name, ":");
    bool wanted = *argv == NULL;

    for (; *argv != NULL; argv++) {
        wanted |= strlen(*argv) == n && strncmp(*argv, name, n) == 0;
        wanted |= strcmp(*argv, name) == 0;
    }
    return wanted;
}

int main(int argc, char **argv)
{
    unsigned i, run = 0, failing = 0;
    int status;

    for (i = 0; i < n_thread_tests; i++) {
        if (!thread_test_wanted(thread_tests[i].name, argv + (argc > 0))) {
            continue;
        }
        run++;
        pid_t child = fork();

        if (child == 0) {
            thread_tests[i].run();
            exit(thread_test_failed);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
            fprintf(stderr, "[FAIL] %s\n", thread_tests[i].name);
            failing++;
        }
    }
    printf("[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: 0\n", run,
           run - failing, failing);
    return failing > 0 || run == 0;
}

#endif
#endif
