/*
 * QEMU-FT: a load that dirties memory at a given rate
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 *     dirty MIB RATE SECONDS [BYTES]
 *
 * Writes into RATE MiB worth of pages a second, going round in MIB MiB of
 * memory: 64 bytes of each page, never the same twice.  What is left of the
 * processor's time goes into a fixed piece of arithmetic; with BYTES, which
 * are then written instead of 64, it is slept through.  Prints how often
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
#include <unistd.h>

#define PAGE 4096
#define TOUCHED 64              /* bytes of a page, a line of a cache */
#define NAP 5000                /* microseconds */
#define PER_MIB (1048576 / PAGE)
#define UNIT 2000               /* steps in a piece of arithmetic */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void touch(unsigned char *page, uint64_t value, int bytes)
{
    uint64_t *words = (uint64_t *)page;

    for (int i = 0; i < bytes / 8; i++) {
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
    int bytes;

    if (argc != 4 && argc != 5) {
        fprintf(stderr, "dirty: needs MIB RATE SECONDS [BYTES]\n");
        return 2;
    }
    pages = strtod(argv[1], NULL) * PER_MIB;
    rate = strtod(argv[2], NULL) * PER_MIB;
    seconds = strtod(argv[3], NULL);
    bytes = argc == 5 ? atoi(argv[4]) : TOUCHED;
    memory = pages ? aligned_alloc(PAGE, pages * PAGE) : NULL;
    if (!memory || !(seconds > 0) || bytes < 8 || bytes > PAGE) {
        fprintf(stderr, "dirty: no such memory, time or bytes\n");
        return 1;
    }
    for (uint64_t i = 0; i < pages; i++) {
        touch(memory + i * PAGE, 0, bytes);
    }
    start = now();
    while ((spent = now() - start) < seconds) {
        if (done < rate * spent) {
            touch(memory + done % pages * PAGE, done + 1, bytes);
            done++;
        } else if (argc == 5) {
            usleep(NAP);
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
