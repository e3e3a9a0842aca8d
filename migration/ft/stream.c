/*
 * QEMU-FT: bytes that were said and are not confirmed yet
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 *      first   base          sent        end
 *        |......|#############|###########|......|
 *        '- confirmed         '- not on any socket yet
 *
 * A queue of chunks of one size, so that a position is found by a division
 * and nothing is ever moved.  A small guest's epochs are confirmed one by
 * one: then the one chunk is filled from its beginning again, which keeps
 * it in the cache.
 *
 * Pure: no lock, no clock, no connection.
 */
#include "qemu/osdep.h"
#include "qemu/units.h"
#include "stream.h"

#define CHUNK (256 * KiB)

void ft_stream_init(FtStream *s, uint64_t start, uint64_t limit)
{
    *s = (FtStream) {
        .base = start,
        .sent = start,
        .end = start,
        .first = start,
        .limit = limit,
    };
    g_queue_init(&s->chunks);
}

void ft_stream_destroy(FtStream *s)
{
    g_queue_clear_full(&s->chunks, g_free);
    g_free(s->spare);
    s->spare = NULL;
}

static void add_chunk(FtStream *s)
{
    g_queue_push_tail(&s->chunks, s->spare ?: g_malloc(CHUNK));
    s->spare = NULL;
}

size_t ft_stream_append(FtStream *s, const void *data, size_t len)
{
    size_t done = 0;

    len = MIN(len, s->limit - (s->end - s->base));
    if (s->base == s->end && g_queue_get_length(&s->chunks) == 1) {
        s->first = s->end;
    }
    while (done < len) {
        uint64_t used = s->end - s->first;
        uint64_t room = g_queue_get_length(&s->chunks) * CHUNK - used;
        size_t n;

        if (!room) {
            add_chunk(s);
            room = CHUNK;
        }
        n = MIN(room, len - done);
        memcpy((uint8_t *)g_queue_peek_tail(&s->chunks) + used % CHUNK,
               (const uint8_t *)data + done, n);
        s->end += n;
        done += n;
    }
    return len;
}

size_t ft_stream_peek(const FtStream *s, const uint8_t **data)
{
    uint64_t at = s->sent - s->first;
    uint8_t *chunk;

    if (s->sent == s->end) {
        return 0;
    }
    chunk = g_queue_peek_nth((GQueue *)&s->chunks, at / CHUNK);
    *data = chunk + at % CHUNK;
    return MIN(CHUNK - at % CHUNK, s->end - s->sent);
}

void ft_stream_advance(FtStream *s, size_t len)
{
    assert(len <= s->end - s->sent);
    s->sent += len;
}

bool ft_stream_confirm(FtStream *s, uint64_t upto)
{
    if (upto > s->sent) {
        return false;
    }
    s->base = MAX(s->base, upto);
    while (s->base - s->first >= CHUNK) {
        void *chunk = g_queue_pop_head(&s->chunks);

        s->first += CHUNK;
        if (s->spare) {
            g_free(chunk);
        } else {
            s->spare = chunk;
        }
    }
    return true;
}

bool ft_stream_rewind(FtStream *s, uint64_t upto)
{
    if (upto < s->base || !ft_stream_confirm(s, upto)) {
        return false;
    }
    s->sent = upto;
    return true;
}
