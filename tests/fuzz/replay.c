/*
 * replay.c - run a fuzz target without a fuzzer
 *
 * fuzz-NAME FILE...      on these inputs
 * fuzz-NAME --random N   on N random inputs, always the same ones: bytes of changing length, of
 *                        which some are small numbers and some repeat earlier ones
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "fuzz.h"

#define LONGEST 4096

static uint64_t state = 0x243f6a8885a308d3u;

static uint32_t below(uint32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 32) * n >> 32);
}

static void run_random(unsigned long n)
{
    static uint8_t data[LONGEST];

    while (n-- > 0) {
        size_t size = below(2) ? below(64) : below(LONGEST), i;

        for (i = 0; i < size; i++) {
            switch (below(4)) {
            case 0:
                data[i] = (uint8_t)below(4);
                break;
            case 1:
                data[i] = i > 0 ? data[below((uint32_t)i)] : 0;
                break;
            default:
                data[i] = (uint8_t)below(256);
            }
        }
        LLVMFuzzerTestOneInput(data, size);
    }
}

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t size = 0, n;

    if (file == NULL) {
        perror(path);
        return 1;
    }
    do {
        data = realloc(data, size + 65536);
        MUST(data != NULL);
        n = fread(data + size, 1, 65536, file);
        size += n;
    } while (n > 0);
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    int i, failed = 0;

    if (argc == 3 && strcmp(argv[1], "--random") == 0) {
        run_random(strtoul(argv[2], NULL, 10));
        return 0;
    }
    for (i = 1; i < argc; i++) {
        failed |= run_file(argv[i]);
    }
    return failed;
}
