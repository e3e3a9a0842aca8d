/*
 * QEMU-FT: a stream of epochs, and a secondary that receives it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A stream of a first copy and four epochs is made once, together with
 * what each epoch must leave behind.  The tests cut it, damage it or put
 * something wrong into it; the copy of the guest has to be that of the last
 * committed epoch whatever comes.
 *
 * Each program calls make_stream(&stream) before its tests.  The stream is
 * made from a fixed seed, so all of them see the same bytes.
 */
#ifndef TESTS_FT_INTAKE_STREAM_H
#define TESTS_FT_INTAKE_STREAM_H

#include "migration/ft/intake.h"
#include "fake-ram.h"

/* --- the guest: pc.ram, acpi and rom --- */

#define PAGE 64                 /* small, so that every byte can be tried */
#define BLOCKS 3
#define MAX_PAGES 8
#define EPOCHS 4
#define DEVICE_MAX 400
#define ROM 2                   /* the block that is not written to */

/* All there is of a guest */
typedef struct State {
    uint64_t epoch;
    uint64_t used[BLOCKS];
    uint8_t ram[BLOCKS][MAX_PAGES * PAGE];
    size_t device_len;
    uint8_t device[DEVICE_MAX];
} State;

/* --- making the stream --- */

typedef struct Stream {
    GByteArray *bytes;
    State at[EPOCHS + 1];       /* what epoch n leaves; 0: the first copy */
    size_t end[EPOCHS + 1];     /* bytes up to and with its last record */
} Stream;

extern Stream stream;

/** make_stream: always the same one; @s is all zero before */
void make_stream(Stream *s);

void random_bytes(GRand *r, uint8_t *p, size_t n);

/**
 * put_device: a DEVICE record as it is, right or wrong
 *
 * @full: length of the whole device state
 * @base: epoch a delta is laid over, 0 for FT_DEVICE_FULL
 * @data: @len bytes behind the header
 */
void put_device(GByteArray *out, uint64_t full, uint64_t base,
                FtDeviceKind kind, const void *data, size_t len);

/** put_device_piece: @len bytes at @offset of a device state sent in full */
void put_device_piece(GByteArray *out, uint64_t full, uint64_t offset,
                      const uint8_t *data, size_t len);

/** put_commit: with the hashes of @st, or without any when it is NULL */
void put_commit(GByteArray *out, const State *st, uint64_t epoch,
                uint64_t entries);

/* --- a secondary --- */

typedef struct World {
    FtRam ram;
    FtIntake in;
    Error *err;
} World;

/** world_new: a secondary that has received nothing */
World *world_new(void);

/** world_at: a secondary that has committed the first @n epochs */
World *world_at(int n);

/** world_free: also asserts that nothing was written outside of the RAM */
void world_free(World *w);

/**
 * feed_one: one record
 *
 * The payload is copied to a buffer of its exact size, for a sanitizer.
 * A complete epoch is not applied.  @used and @result are set unless the
 * record is cut short or is not one.
 *
 * Returns what ft_wire_next() returns, -1 also for what the intake refuses.
 */
int feed_one(World *w, const uint8_t *buf, size_t len, size_t *used,
             FtIntakeResult *result);

/** apply: a complete epoch; asserts that its hashes are right, if it has any */
void apply(World *w);

/**
 * feed: all whole records of @len bytes, epochs are applied
 *
 * Returns the bytes used, or -1.
 */
ssize_t feed(World *w, const uint8_t *buf, size_t len);

/** ram_equals: also what is behind the used lengths and around the blocks */
bool ram_equals(const World *w, const State *s);

/** state_equals: epoch, device state and RAM */
bool state_equals(const World *w, const State *s);

/* --- streams with something wrong in them, after epoch 2 --- */

#define AFTER 2                 /* epoch 3 is wrong */
#define LEN 300                 /* of the committed device state */

/* What ft_intake_record() says of them */
#define NO_PAGE "which this machine does not have"
#define ORDER "out of order"

/* Data to send */
extern const uint8_t pattern[2 * PAGE];

/** begin: epoch AFTER + 1, with lengths of blocks as they were */
void begin(GByteArray *out);

/** good_device: nothing has changed */
void good_device(GByteArray *out);

/**
 * assert_refused: @bad, sent after epoch AFTER
 *
 * Must be refused in its last record, with @why, and change nothing.
 */
void assert_refused(const GByteArray *bad, const char *why);

/* A test for each of @cases, which have names */
#define ADD_CASES(prefix, cases, func)                                  \
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {                    \
        g_autofree char *path = g_strdup_printf(prefix "%s",            \
                                                (cases)[i].name);       \
        g_test_add_data_func(path, &(cases)[i], func);                  \
    }

#endif
