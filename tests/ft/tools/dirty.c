/*
 * QEMU-FT: a load that dirties memory at a given rate
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 *     dirty MIB RATE SECONDS
 *
 * Writes into RATE MiB worth of pages a second, going round in MIB MiB of
 * memory: 64 bytes of each page, never the same twice.  What is left of the
 * processor's time goes into a fixed piece of arithmetic.  Prints how often
 * that was done, the pages written and the seconds it took by its own clock:
 *
 *     loops N pages N seconds S
 *
 * Runs in the guest of the measurements (scripts/guest-image --bench), so it
 * needs nothing but libc.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PAGE 4096
#define TOUCHED 64              /* bytes of a page, a line of a cache */
#define PER_MIB (1048576 / PAGE)
#define UNIT 2000               /* steps in a piece of arithmetic */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void touch(unsigned char *page, uint64_t value)
{
    uint64_t *words = (uint64_t *)page;

    for (int i = 0; i < TOUCHED / 8; i++) {
        words[i] = value * 0x9e3779b97f4a7c15u + i;
    }
}

static uint64_t arithmetic(uint64_t x)
{
    for (int i = 0; i < UNIT; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return x;
}

int main(int argc, char **argv)
{
    uint64_t pages, done = 0, loops = 0, x = 1;
    double rate, seconds, start, spent;
    unsigned char *memory;

    if (argc != 4) {
        fprintf(stderr, "dirty: needs MIB RATE SECONDS\n");
        return 2;
    }
    pages = strtod(argv[1], NULL) * PER_MIB;
    rate = strtod(argv[2], NULL) * PER_MIB;
    seconds = strtod(argv[3], NULL);
    memory = pages ? aligned_alloc(PAGE, pages * PAGE) : NULL;
    if (!memory || !(seconds > 0)) {
        fprintf(stderr, "dirty: no such memory or time\n");
        return 1;
    }
    for (uint64_t i = 0; i < pages; i++) {
        touch(memory + i * PAGE, 0);
    }
    start = now();
    while ((spent = now() - start) < seconds) {
        if (done < rate * spent) {
            touch(memory + done % pages * PAGE, done + 1);
            done++;
        } else {
            x = arithmetic(x);
            loops++;
        }
    }
    printf("loops %llu pages %llu seconds %.3f%s\n",
           (unsigned long long)loops, (unsigned long long)done, spent,
           x ? "" : " ");
    return 0;
}
