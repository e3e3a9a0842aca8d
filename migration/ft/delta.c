/*
 * QEMU-FT: differences between two versions of a page or a device state
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pages are compared in words of 8 bytes: guests change counters, list
 * pointers and short strings, and a word is the smallest unit for which
 * the header of a run (4 bytes) pays.  A run ends at the first equal word:
 * going on across it would cost 8 bytes to save a header of 4.
 *
 * Nearly half of the pages that were written hold what they held before, and
 * most of the others nearly so: what is equal is skipped by lines of 64 bytes,
 * with the processor's wide registers where it has them.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "delta.h"
#ifdef __x86_64__
#include <immintrin.h>
#include "host/cpuinfo.h"
#endif

#define WORD 8
#define LINE_WORDS 8

bool ft_delta_narrow;

/* The first line from word @i on that differs; the last may be short */
static uint32_t skip_words(const uint64_t *o, const uint64_t *n, uint32_t i,
                           uint32_t words)
{
    for (; i + LINE_WORDS <= words; i += LINE_WORDS) {
        uint64_t differ = 0;

        for (uint32_t w = 0; w < LINE_WORDS; w++) {
            differ |= o[i + w] ^ n[i + w];
        }
        if (differ) {
            break;
        }
    }
    return i;
}

#ifdef __x86_64__
static uint32_t __attribute__((target("avx2")))
skip_avx2(const uint64_t *o, const uint64_t *n, uint32_t i, uint32_t words)
{
    for (; i + LINE_WORDS <= words; i += LINE_WORDS) {
        const __m256i *x = (const __m256i *)(o + i);
        const __m256i *y = (const __m256i *)(n + i);
        __m256i d = _mm256_or_si256(
            _mm256_xor_si256(_mm256_loadu_si256(x), _mm256_loadu_si256(y)),
            _mm256_xor_si256(_mm256_loadu_si256(x + 1),
                             _mm256_loadu_si256(y + 1)));

        if (!_mm256_testz_si256(d, d)) {
            break;
        }
    }
    return i;
}
#endif

static uint32_t skip_equal(const uint64_t *o, const uint64_t *n, uint32_t i,
                           uint32_t words)
{
#ifdef __x86_64__
    if ((cpuinfo & CPUINFO_AVX2) && !ft_delta_narrow) {
        return skip_avx2(o, n, i, words);
    }
#endif
    return skip_words(o, n, i, words);
}

static inline uint32_t next_difference(const uint64_t *o, const uint64_t *n,
                                       uint32_t i, uint32_t words)
{
    for (; i < words; i++) {
        if (i % LINE_WORDS == 0) {
            i = skip_equal(o, n, i, words);
        }
        if (i < words && o[i] != n[i]) {
            break;
        }
    }
    return MIN(i, words);
}

int ft_page_delta(const void *old, const void *new, uint32_t page_size,
                  uint8_t *out, uint32_t max)
{
    const uint64_t *o = old, *n = new;
    uint32_t words = page_size / WORD, i = 0, used = 0;

    while ((i = next_difference(o, n, i, words)) < words) {
        uint32_t first = i, len;

        do {
            i++;
        } while (i < words && o[i] != n[i]);
        len = (i - first) * WORD;
        if (used + 4 + len > max) {
            return -1;
        }
        stw_be_p(out + used, first);
        stw_be_p(out + used + 2, i - first);
        memcpy(out + used + 4, n + first, len);
        used += 4 + len;
    }
    return used;
}

bool ft_page_delta_valid(const uint8_t *delta, uint32_t len,
                         uint32_t page_size)
{
    uint32_t words = page_size / WORD, next = 0, pos = 0;

    while (pos < len) {
        uint32_t first, n;

        if (len - pos < 4) {
            return false;
        }
        first = lduw_be_p(delta + pos);
        n = lduw_be_p(delta + pos + 2);
        pos += 4;
        if (!n || first < next || first + n > words ||
            len - pos < n * WORD) {
            return false;
        }
        next = first + n;
        pos += n * WORD;
    }
    return len > 0;
}

void ft_page_delta_apply(void *page, const uint8_t *delta, uint32_t len)
{
    const uint8_t *end = delta + len;

    while (delta < end) {
        uint32_t first = lduw_be_p(delta), n = lduw_be_p(delta + 2);

        memcpy((uint8_t *)page + first * WORD, delta + 4, n * WORD);
        delta += 4 + n * WORD;
    }
}

static void put_run(GByteArray *out, uint32_t first, uint32_t n,
                    const uint8_t *bytes)
{
    uint32_t head[2] = { cpu_to_be32(first), cpu_to_be32(n) };

    g_byte_array_append(out, (const guint8 *)head, sizeof(head));
    g_byte_array_append(out, bytes, n);
}

void ft_device_delta(const uint8_t *old, const uint8_t *new, size_t len,
                     GByteArray *out)
{
    const size_t block = 256, gap = 8;
    size_t first = 0, last = 0;
    bool open = false;

    for (size_t b = 0; b < len; b += block) {
        size_t end = MIN(b + block, len);

        if (!memcmp(old + b, new + b, end - b)) {
            continue;
        }
        for (size_t i = b; i < end; i++) {
            if (old[i] == new[i]) {
                continue;
            }
            if (open && i - last > gap) {
                put_run(out, first, last - first + 1, new + first);
                open = false;
            }
            if (!open) {
                first = i;
                open = true;
            }
            last = i;
        }
    }
    if (open) {
        put_run(out, first, last - first + 1, new + first);
    }
}

bool ft_device_delta_valid(const uint8_t *delta, size_t len, uint64_t full)
{
    uint64_t next = 0;
    size_t pos = 0;

    while (pos < len) {
        uint64_t first, n;

        if (len - pos < 8) {
            return false;
        }
        /* ldl_be_p() returns an int: no sign may get into 64 bits */
        first = (uint32_t)ldl_be_p(delta + pos);
        n = (uint32_t)ldl_be_p(delta + pos + 4);
        pos += 8;
        if (!n || first < next || first + n > full || len - pos < n) {
            return false;
        }
        next = first + n;
        pos += n;
    }
    return true;
}

void ft_device_delta_apply(uint8_t *state, const uint8_t *delta, size_t len)
{
    const uint8_t *end = delta + len;

    while (delta < end) {
        uint32_t first = ldl_be_p(delta), n = ldl_be_p(delta + 4);

        memcpy(state + first, delta + 8, n);
        delta += 8 + n;
    }
}
