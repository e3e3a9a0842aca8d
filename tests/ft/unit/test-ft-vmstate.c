/*
 * QEMU-FT: tests of writing device state by plan
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whatever ft_vmstate_write() does, the bytes have to be those of upstream's
 * loop.  Each case says what the last operation of its plan is to be, so
 * that equal bytes cannot come from leaving everything to upstream.
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "migration/vmstate.h"
#include "migration/qemu-file.h"
#include "migration/ft/ft.h"
#include "migration/ft/vmstate-plan.h"
#include "migration/ft/vmstate-write.h"
#include "vmstate-save.h"

#define N 40

typedef struct Pair {
    uint8_t a, b;
    uint16_t c;
    uint8_t d[3];
    uint8_t length;             /* of d */
} Pair;

typedef struct Elem {
    uint8_t u8;
    bool flag;
    uint16_t u16;
    uint32_t u32;
    int8_t i8;
    int64_t i64;
    uint64_t not_saved;
    int16_t i16[3];
    uint8_t bytes[5];
    uint8_t eight[8];
    int32_t i32;
    uint64_t u64;
    bool flags[2][3];
    Pair pairs[3];
    uint32_t *pointer;
} Elem;

typedef struct Device {
    Elem elems[N];
    Elem *known;
    Elem *counted;
    Elem *by_pointer[N];
    uint32_t count;
    uint16_t count16;
    bool flags[N];
    uint8_t u8[N];
    int8_t i8[N];
    uint16_t u16[N];
    uint32_t u32[N];
    int32_t i32[N];
    uint64_t u64[N];
    int64_t i64[N];
    uint16_t matrix[5][8];
    uint16_t *u16_counted;
    uint8_t *u8_counted;
    uint8_t big[5000];
    uint32_t big_ints[1500];
    uint8_t buffer[N];
    uint8_t *known_buffer;
    int32_t length;
    uint32_t number;
    uint32_t *nothing;
    uint32_t *pointers[N];
    QEMUTimer timer;
    QEMUTimer *other_timer;
    QEMUTimer *timers[3];
} Device;

/* --- elements --- */

static const VMStateField mixed_fields[] = {
    VMSTATE_UINT8(u8, Elem),
    VMSTATE_BOOL(flag, Elem),
    VMSTATE_UNUSED(3),
    VMSTATE_UINT16(u16, Elem),
    VMSTATE_UINT32(u32, Elem),
    VMSTATE_INT8(i8, Elem),
    VMSTATE_INT64(i64, Elem),
    VMSTATE_INT16_ARRAY(i16, Elem, 3),
    VMSTATE_UINT8_ARRAY(bytes, Elem, 5),
    VMSTATE_UNUSED(1),
    VMSTATE_INT32(i32, Elem),
    VMSTATE_UINT64(u64, Elem),
    VMSTATE_2DARRAY(flags, Elem, 2, 3, 0, vmstate_info_bool, bool),
    VMSTATE_END_OF_LIST()
};

static const VMStateDescription vmstate_mixed = {
    .name = "mixed",
    .version_id = 3,
    .minimum_version_id = 1,
    .fields = mixed_fields,
};

static int pre_calls, post_calls;

static int count_pre(void *opaque)
{
    Elem *e = opaque;

    pre_calls++;
    e->u16 = e->u32;
    return 0;
}

static int count_post(void *opaque)
{
    post_calls++;
    return 0;
}

static const VMStateDescription vmstate_pre_save = {
    .name = "pre-save",
    .version_id = 1,
    .pre_save = count_pre,
    .fields = mixed_fields,
};

static const VMStateDescription vmstate_post_save = {
    .name = "post-save",
    .version_id = 1,
    .post_save = count_post,
    .fields = mixed_fields,
};

static bool needed_if_odd(void *opaque)
{
    return ((Elem *)opaque)->u8 & 1;
}

static const VMStateDescription vmstate_sub = {
    .name = "with-sub/sub",
    .version_id = 1,
    .needed = needed_if_odd,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(not_saved, Elem),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_with_sub = {
    .name = "with-sub",
    .version_id = 1,
    .fields = mixed_fields,
    .subsections = (const VMStateDescription * const []) {
        &vmstate_sub,
        NULL
    },
};

static bool exists_if_odd(void *opaque, int version_id)
{
    return ((Elem *)opaque)->u8 & 1;
}

static const VMStateDescription vmstate_conditional = {
    .name = "conditional",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT16(u16, Elem),
        VMSTATE_UINT32_TEST(u32, Elem, exists_if_odd),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_unused_test = {
    .name = "unused-test",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT16(u16, Elem),
        VMSTATE_UNUSED_TEST(exists_if_odd, 4),
        VMSTATE_END_OF_LIST()
    },
};

/* A field that is newer than its struct is not written */
static const VMStateDescription vmstate_newer = {
    .name = "newer",
    .version_id = 2,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT16_V(u16, Elem, 2),
        VMSTATE_UINT32_V(u32, Elem, 3),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_unused_newer = {
    .name = "unused-newer",
    .version_id = 2,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT16(u16, Elem),
        VMSTATE_UNUSED_V(3, 4),
        VMSTATE_END_OF_LIST()
    },
};

/* As old as its struct: written */
static const VMStateDescription vmstate_versioned = {
    .name = "versioned",
    .version_id = 3,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT16_V(u16, Elem, 3),
        VMSTATE_UNUSED_V(2, 4),
        VMSTATE_UINT32_V(u32, Elem, 1),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_inner_pointer = {
    .name = "inner-pointer",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT16(u16, Elem),
        VMSTATE_POINTER(pointer, Elem, 0, vmstate_info_uint32, uint32_t *),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_inner_u32 = {
    .name = "inner-u32",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(u32, Elem),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_nested = {
    .name = "nested",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT16(u16, Elem),
        {
            .name = "inner",
            .vmsd = &vmstate_inner_u32,
            .size = sizeof(Elem),
            .flags = VMS_STRUCT,
        },
        VMSTATE_END_OF_LIST()
    },
};

/* What an element contains may contain what is not plain */
static const VMStateDescription vmstate_nested_hook = {
    .name = "nested-hook",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        {
            .name = "inner",
            .vmsd = &vmstate_pre_save,
            .size = sizeof(Elem),
            .flags = VMS_STRUCT,
        },
        VMSTATE_UINT16(u16, Elem),      /* as the hook has left it */
        VMSTATE_END_OF_LIST()
    },
};

static bool pair_is_odd(void *opaque, int version_id)
{
    return ((Pair *)opaque)->a & 1;
}

static bool pair_is_even(void *opaque, int version_id)
{
    return !pair_is_odd(opaque, version_id);
}

static bool pair_is_any(void *opaque, int version_id)
{
    return true;
}

static const VMStateDescription vmstate_pair = {
    .name = "pair",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT8(a, Pair),
        VMSTATE_UINT8(b, Pair),
        VMSTATE_UINT16(c, Pair),
        VMSTATE_UINT8_ARRAY(d, Pair, 3),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_pairs = {
    .name = "pairs",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT8(u8, Elem),
        VMSTATE_STRUCT_ARRAY(pairs, Elem, 3, 1, vmstate_pair, Pair),
        VMSTATE_UINT8_ARRAY(bytes, Elem, 5),
        VMSTATE_STRUCT(pairs[1], Elem, 1, vmstate_pair, Pair),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_inner_buffer = {
    .name = "inner-buffer",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT16(u16, Elem),
        VMSTATE_BUFFER(bytes, Elem),
        VMSTATE_END_OF_LIST()
    },
};

/* As many bytes as a pointer has, and not the first */
static const VMStateDescription vmstate_eight = {
    .name = "eight",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_BUFFER(eight, Elem),
        VMSTATE_END_OF_LIST()
    },
};

/* Another writer for the same width */
static int put_reversed(QEMUFile *f, void *pv, size_t size,
                        const VMStateField *field, JSONWriter *vmdesc)
{
    qemu_put_be32(f, ~*(uint32_t *)pv);
    return 0;
}

static const VMStateInfo info_reversed = {
    .name = "reversed",
    .put = put_reversed,
};

static const VMStateDescription vmstate_custom = {
    .name = "custom",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT16(u16, Elem),
        VMSTATE_SINGLE(u32, Elem, 0, info_reversed, uint32_t),
        VMSTATE_END_OF_LIST()
    },
};

/* Its counts and conditions are its own, wherever it is */
static const VMStateDescription vmstate_counting = {
    .name = "counting",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT8(a, Pair),
        VMSTATE_UINT8_TEST(b, Pair, pair_is_odd),
        VMSTATE_UINT8(a, Pair),
        VMSTATE_UINT16_TEST(c, Pair, pair_is_odd),
        VMSTATE_UINT16_TEST(c, Pair, pair_is_even),
        VMSTATE_VALIDATE("pair", pair_is_any),
        {
            .name = "d",
            .num_offset = offsetof(Pair, length),
            .offset = offsetof(Pair, d),
            .info = &vmstate_info_uint8,
            .size = 1,
            .flags = VMS_VARRAY_UINT8,
        },
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_counted_pairs = {
    .name = "counted-pairs",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_STRUCT(pairs[2], Elem, 1, vmstate_counting, Pair),
        VMSTATE_STRUCT_ARRAY(pairs, Elem, 3, 1, vmstate_counting, Pair),
        VMSTATE_UINT16(u16, Elem),
        VMSTATE_END_OF_LIST()
    },
};

static bool elem_is_odd(void *opaque, int version_id)
{
    return ((Elem *)opaque)->u8 & 1;
}

/* One condition after another, of structures of several fields */
static const VMStateDescription vmstate_conditions = {
    .name = "conditions",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT8(u8, Elem),
        VMSTATE_STRUCT_TEST(pairs[0], Elem, elem_is_odd, 1, vmstate_pair,
                            Pair),
        VMSTATE_STRUCT_TEST(pairs[1], Elem, exists_if_odd, 1,
                            vmstate_counting, Pair),
        VMSTATE_UINT8_ARRAY(bytes, Elem, 5),
        VMSTATE_END_OF_LIST()
    },
};

typedef struct Temporary {
    Device *parent;
    uint32_t sum;
    uint16_t half;
} Temporary;

static int fill_temporary(void *opaque)
{
    Temporary *t = opaque;

    t->sum = t->parent->number + t->parent->count;
    t->half = t->sum / 2;
    return 0;
}

static const VMStateDescription vmstate_temporary = {
    .name = "temporary",
    .version_id = 1,
    .pre_save = fill_temporary,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(sum, Temporary),
        VMSTATE_UINT16(half, Temporary),
        VMSTATE_END_OF_LIST()
    },
};

/* As in migration/savevm.c, which is not linked */
static int put_timer(QEMUFile *f, void *pv, size_t size,
                     const VMStateField *field, JSONWriter *vmdesc)
{
    qemu_put_be64(f, timer_expire_time_ns(pv));
    return 0;
}

const VMStateInfo vmstate_info_timer = { .name = "timer", .put = put_timer };

/* --- cases: one field of the device each --- */

typedef struct Case {
    const char *name;
    FtOpKind last;              /* of the plan */
    int n;                      /* of elements; for the counted ones */
    VMStateField field;
} Case;

#define STRUCTS(vmsd) VMSTATE_STRUCT_ARRAY(elems, Device, N, 1, vmsd, Elem)

static const Case cases[] = {
    { "struct", FT_OP_ARRAY, N, STRUCTS(vmstate_mixed) },
    { "versions", FT_OP_ARRAY, N, STRUCTS(vmstate_versioned) },
    { "varray-known", FT_OP_ARRAY, N,
      VMSTATE_STRUCT_VARRAY_POINTER_KNOWN(known, Device, N, 0,
                                          vmstate_mixed, Elem) },
    { "varray-u32", FT_OP_ARRAY, 17,
      VMSTATE_STRUCT_VARRAY_POINTER_UINT32(counted, Device, count,
                                           vmstate_mixed, Elem) },
    { "varray-u16", FT_OP_ARRAY, 8,
      VMSTATE_STRUCT_VARRAY_POINTER_UINT16(counted, Device, count16,
                                           vmstate_mixed, Elem) },
    { "bool", FT_OP_BYTES, N, VMSTATE_BOOL_ARRAY(flags, Device, N) },
    { "u8", FT_OP_BYTES, N, VMSTATE_UINT8_ARRAY(u8, Device, N) },
    { "i8", FT_OP_BYTES, N,
      VMSTATE_ARRAY(i8, Device, N, 0, vmstate_info_int8, int8_t) },
    { "u16", FT_OP_INT16, N, VMSTATE_UINT16_ARRAY(u16, Device, N) },
    { "u32", FT_OP_INT32, N, VMSTATE_UINT32_ARRAY(u32, Device, N) },
    { "i32", FT_OP_INT32, N, VMSTATE_INT32_ARRAY(i32, Device, N) },
    { "u64", FT_OP_INT64, N, VMSTATE_UINT64_ARRAY(u64, Device, N) },
    { "i64", FT_OP_INT64, N, VMSTATE_INT64_ARRAY(i64, Device, N) },
    { "sub-array", FT_OP_INT32, 10,
      VMSTATE_UINT32_SUB_ARRAY(u32, Device, 5, 10) },
    { "2d", FT_OP_INT16, N, VMSTATE_UINT16_2DARRAY(matrix, Device, 5, 8) },
    { "varray-u16-ints", FT_OP_ARRAY, 17,
      VMSTATE_VARRAY_UINT32(u16_counted, Device, count, 0,
                            vmstate_info_uint16, uint16_t) },
    { "varray-u8-ints", FT_OP_ARRAY, 17,
      VMSTATE_VARRAY_UINT32(u8_counted, Device, count, 0,
                            vmstate_info_uint8, uint8_t) },

    { "few", FT_OP_ARRAY, 7,
      VMSTATE_STRUCT_VARRAY_POINTER_UINT32(counted, Device, count,
                                           vmstate_mixed, Elem) },
    { "none", FT_OP_ARRAY, 0,
      VMSTATE_STRUCT_VARRAY_POINTER_UINT32(counted, Device, count,
                                           vmstate_mixed, Elem) },
    { "single", FT_OP_INT32, 1, VMSTATE_UINT32(number, Device) },
    { "buffer", FT_OP_BYTES, 1, VMSTATE_BUFFER(buffer, Device) },
    { "pre-save", FT_OP_SAVE, N, STRUCTS(vmstate_pre_save) },
    { "post-save", FT_OP_SAVE, N, STRUCTS(vmstate_post_save) },
    { "subsections", FT_OP_SAVE, N, STRUCTS(vmstate_with_sub) },
    { "field-exists", FT_OP_STRUCTS, N, STRUCTS(vmstate_conditional) },
    { "unused-test", FT_OP_STRUCTS, N, STRUCTS(vmstate_unused_test) },
    { "newer-field", FT_OP_INT16, N, STRUCTS(vmstate_newer) },
    { "unused-newer", FT_OP_INT16, N, STRUCTS(vmstate_unused_newer) },
    { "inner-pointer", FT_OP_STRUCTS, N, STRUCTS(vmstate_inner_pointer) },
    { "nested", FT_OP_ARRAY, N, STRUCTS(vmstate_nested) },
    { "inner-buffer", FT_OP_ARRAY, N, STRUCTS(vmstate_inner_buffer) },
    { "nested-array", FT_OP_ARRAY, N, STRUCTS(vmstate_pairs) },
    { "nested-hook", FT_OP_STRUCTS, N, STRUCTS(vmstate_nested_hook) },
    { "custom-info", FT_OP_STRUCTS, N, STRUCTS(vmstate_custom) },
    { "custom-info-ints", FT_OP_PUT, N,
      VMSTATE_ARRAY(u32, Device, N, 0, info_reversed, uint32_t) },
    { "one-struct", FT_OP_BYTES, 1,
      VMSTATE_STRUCT(elems[3], Device, 1, vmstate_mixed, Elem) },
    { "pointed-to-struct", FT_OP_SAVE, 1,
      VMSTATE_STRUCT_POINTER(known, Device, vmstate_with_sub, Elem) },
    { "pointed-to-plain", FT_OP_ARRAY, 1,
      VMSTATE_STRUCT_POINTER(known, Device, vmstate_mixed, Elem) },
    { "pointed-to-bytes", FT_OP_ARRAY, 1,
      VMSTATE_STRUCT_POINTER(known, Device, vmstate_eight, Elem) },
    { "pointed-to", FT_OP_PUT, 1,
      VMSTATE_POINTER(u16_counted, Device, 0, vmstate_info_uint16,
                      uint16_t *) },
    { "few-ints", FT_OP_INT32, 5, VMSTATE_UINT32_SUB_ARRAY(u32, Device, 3, 5) },

    { "pointers", FT_OP_STRUCTS, N,
      VMSTATE_ARRAY_OF_POINTER_TO_STRUCT(by_pointer, Device, N, 1,
                                         vmstate_mixed, Elem) },
    { "pointers-to-ints", FT_OP_PUT, N,
      VMSTATE_ARRAY_OF_POINTER(pointers, Device, N, 1, vmstate_info_uint32,
                               uint32_t *) },
    { "vstruct", FT_OP_SAVE, 1,
      VMSTATE_VSTRUCT_V(elems[3], Device, 1, vmstate_mixed, Elem, 3) },
    { "vbuffer", FT_OP_PUT, 1,
      VMSTATE_VBUFFER(known_buffer, Device, 1, NULL, length) },
    { "counted-pairs", FT_OP_STRUCTS, N, STRUCTS(vmstate_counted_pairs) },
    { "conditions", FT_OP_STRUCTS, N, STRUCTS(vmstate_conditions) },
    { "conditions-of-one", FT_OP_BYTES, 1,
      VMSTATE_STRUCT(elems[2], Device, 1, vmstate_conditions, Elem) },
    { "counted-of-one", FT_OP_INT16, 1,
      VMSTATE_STRUCT(elems[2], Device, 1, vmstate_counted_pairs, Elem) },
    { "timer", FT_OP_TIMER, 1, VMSTATE_TIMER(timer, Device) },
    { "timer-pointer", FT_OP_TIMER_POINTER, 1,
      VMSTATE_TIMER_PTR(other_timer, Device) },
    { "no-timer", FT_OP_TIMER_POINTER, 2,
      VMSTATE_TIMER_PTR(other_timer, Device) },
    { "timers", FT_OP_PUT, 3, VMSTATE_TIMER_PTR_ARRAY(timers, Device, 3) },
    { "temporary", FT_OP_TEMPORARY, 3,
      VMSTATE_WITH_TMP(Device, Temporary, vmstate_temporary) },
    { "big", FT_OP_BYTES, 1, VMSTATE_UINT8_ARRAY(big, Device, 5000) },
    { "big-ints", FT_OP_INT32, 1,
      VMSTATE_UINT32_ARRAY(big_ints, Device, 1500) },
    { "big-unused", FT_OP_ZERO, 1, VMSTATE_UNUSED(5000) },
    { "equal", FT_OP_INT32, 1, VMSTATE_UINT32_EQUAL(number, Device, NULL) },
    { "positive", FT_OP_INT32, 1, VMSTATE_INT32_POSITIVE_LE(length, Device) },
    { "multiplied", FT_OP_ARRAY, 10,
      VMSTATE_VARRAY_MULTIPLY(u32, Device, count, 2, vmstate_info_uint32,
                              uint32_t) },
};

/* --- the device --- */

/* Not the same in any two bytes, so that a wrong offset shows */
static void fill_elem(Elem *e, GRand *r)
{
    uint8_t *p = (uint8_t *)e;

    for (size_t i = 0; i < sizeof(*e); i++) {
        p[i] = g_rand_int(r);
    }
    e->flag = g_rand_boolean(r);
    for (int i = 0; i < 6; i++) {
        e->flags[i / 3][i % 3] = g_rand_boolean(r);
    }
    for (int i = 0; i < 3; i++) {
        e->pairs[i].length %= 4;
    }
    e->pointer = g_memdup2(&e->u32, sizeof(e->u32));
}

static Device *device_new(int n)
{
    Device *d = g_new0(Device, 1);
    GRand *r = g_rand_new_with_seed(n);
    uint8_t *p = (uint8_t *)d->u8, *end = (uint8_t *)&d->u16_counted;

    while (p < end) {
        *p++ = g_rand_int(r);
    }
    d->known = g_new(Elem, N);
    d->counted = g_new(Elem, N);
    d->u16_counted = g_new(uint16_t, N);
    d->u8_counted = g_new(uint8_t, N);
    for (int i = 0; i < N; i++) {
        fill_elem(&d->elems[i], r);
        fill_elem(&d->known[i], r);
        fill_elem(&d->counted[i], r);
        d->by_pointer[i] = i % 3 ? &d->known[i] : NULL;
        d->flags[i] = g_rand_boolean(r);
        d->u16_counted[i] = g_rand_int(r);
        d->u8_counted[i] = g_rand_int(r);
        d->buffer[i] = g_rand_int(r);
        d->big_ints[i * 37] = g_rand_int(r);
        d->pointers[i] = i % 5 ? &d->u32[i] : NULL;
    }
    for (size_t i = 0; i < sizeof(d->big); i++) {
        d->big[i] = g_rand_int(r);
    }
    d->known_buffer = g_memdup2(d->buffer, N);
    d->length = N / 2;
    d->nothing = NULL;
    d->count = d->count16 = n;
    d->number = g_rand_int(r);
    d->timer = (QEMUTimer) { .expire_time = 0x123456789aLL, .scale = 1 };
    d->other_timer = g_new0(QEMUTimer, 1);
    d->other_timer->expire_time = n % 2 ? -1 : 77;
    d->timers[0] = d->timers[2] = &d->timer;
    g_rand_free(r);
    return d;
}

static void device_free(Device *d)
{
    for (int i = 0; i < N; i++) {
        g_free(d->elems[i].pointer);
        g_free(d->known[i].pointer);
        g_free(d->counted[i].pointer);
    }
    g_free(d->known);
    g_free(d->counted);
    g_free(d->u16_counted);
    g_free(d->u8_counted);
    g_free(d->known_buffer);
    g_free(d->other_timer);
    g_free(d);
}

/* --- comparing --- */

static GByteArray *save(const VMStateDescription *vmsd, Device *d, bool plan)
{
    return vmstate_save_as(vmsd, d, vmsd->version_id, plan);
}

/* Ask directly; returns what was written */
static GByteArray *ask(const VMStateDescription *vmsd, Device *d)
{
    QIOChannelBuffer *buf;
    QEMUFile *f = vmstate_open(&buf);

    ft_vmstate_write_enable(true);
    g_assert_cmpint(ft_vmstate_write(f, vmsd, d, NULL,
                                     vmsd->version_id)->flags, ==, VMS_END);
    ft_vmstate_write_enable(false);
    return vmstate_close(f, buf);
}

static void test_same_bytes(const void *opaque)
{
    const Case *c = opaque;
    /* For ever, as the fields of real devices */
    VMStateField *fields = g_new0(VMStateField, 2);
    const VMStateDescription vmsd = {
        .name = c->name, .version_id = 1, .fields = fields,
    };
    Device *d = device_new(c->n);
    g_autoptr(GByteArray) upstream = NULL, asked = NULL;
    const FtPlan *plan;

    fields[0] = c->field;
    fields[1] = (VMStateField) VMSTATE_END_OF_LIST();
    upstream = save(&vmsd, d, false);
    /* The second time from the plan that the first one has made */
    for (int i = 0; i < 3; i++) {
        g_autoptr(GByteArray) ours = save(&vmsd, d, true);

        g_assert_cmpmem(ours->data, ours->len, upstream->data,
                        upstream->len);
    }
    asked = ask(&vmsd, d);
    g_assert_cmpmem(asked->data, asked->len, upstream->data, upstream->len);
    plan = ft_plan_find(fields, 1);
    g_assert_cmpuint(plan->n_ops, >, 0);
    g_assert_cmpint(plan->ops[plan->n_ops - 1].kind, ==, c->last);
    device_free(d);
}

static const VMStateDescription vmstate_elems = {
    .name = "elems",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        STRUCTS(vmstate_mixed),
        VMSTATE_END_OF_LIST()
    },
};

/* The layout itself, so that two equal mistakes do not pass */
static void test_layout(void)
{
    static const uint8_t first[] = {
        0x11, 1, 0, 0, 0, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
        1, 2, 3, 4, 5, 6, 7, 8,
    };
    Device *d = device_new(N);
    g_autoptr(GByteArray) bytes = NULL;

    d->elems[0].u8 = 0x11;
    d->elems[0].flag = true;
    d->elems[0].u16 = 0x2233;
    d->elems[0].u32 = 0x44556677;
    d->elems[0].i8 = 0x88 - 0x100;
    d->elems[0].i64 = 0x0102030405060708LL;
    bytes = ask(&vmstate_elems, d);
    g_assert_cmpuint(bytes->len, ==, N * (20 + 6 + 5 + 1 + 4 + 8 + 6));
    g_assert_cmpmem(bytes->data, sizeof(first), first, sizeof(first));
    device_free(d);
}

/* Only while enabled, and never for a description in JSON or another version */
static void test_disabled(void)
{
    const VMStateDescription *vmsd = &vmstate_elems;
    Device *d = device_new(N);
    QIOChannelBuffer *buf;
    QEMUFile *f = vmstate_open(&buf);
    g_autoptr(GByteArray) bytes = NULL;

    g_assert_true(ft_vmstate_write(f, vmsd, d, NULL, 1) == vmsd->fields);
    ft_vmstate_write_enable(true);
    /* Not looked into, only seen to be there */
    g_assert_true(ft_vmstate_write(f, vmsd, d, (void *)d, 1) == vmsd->fields);
    g_assert_nonnull(ft_plan_find(vmsd->fields, 1));
    g_assert_true(ft_vmstate_write(f, vmsd, d, NULL, 0) == vmsd->fields);
    ft_vmstate_write_enable(false);
    g_assert_true(ft_vmstate_write(f, vmsd, d, NULL, 1) == vmsd->fields);
    bytes = vmstate_close(f, buf);
    g_assert_cmpuint(bytes->len, ==, 0);
    device_free(d);
}

/* What a later QEMU may bring is upstream's */
static void test_unknown_flag(void)
{
    static VMStateField fields[] = {
        VMSTATE_UINT32(number, Device),
        VMSTATE_UINT32(count, Device),
        VMSTATE_END_OF_LIST()
    };

    fields[1].flags |= 0x20000;
    g_assert_null(ft_plan_find(fields, 1));
}

static const VMStateDescription vmstate_older = {
    .name = "older",
    .version_id = 3,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(number, Device),
        VMSTATE_UINT16_V(count16, Device, 2),
        VMSTATE_UINT64_V(u64[2], Device, 3),
        VMSTATE_END_OF_LIST()
    },
};

/* A description may be asked for what it was in an earlier version */
static void test_older(void)
{
    static const uint32_t bytes[] = { 4, 6, 14 };
    Device *d = device_new(N);

    /* The plan is made for the first of them */
    for (int version = 3; version > 0; version--) {
        g_autoptr(GByteArray) loop = vmstate_save_as(&vmstate_older, d,
                                                     version, false);
        g_autoptr(GByteArray) plan = vmstate_save_as(&vmstate_older, d,
                                                     version, true);

        g_assert_cmpuint(loop->len, ==, bytes[version - 1]);
        g_assert_cmpmem(plan->data, plan->len, loop->data, loop->len);
    }
    device_free(d);
}

static const VMStateDescription vmstate_device = {
    .name = "device",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(number, Device),
        STRUCTS(vmstate_mixed),
        VMSTATE_UINT8_ARRAY(u8, Device, N),
        STRUCTS(vmstate_conditional),
        VMSTATE_UINT64_ARRAY(u64, Device, N),
        VMSTATE_UINT32(count, Device),
        VMSTATE_STRUCT_VARRAY_POINTER_UINT32(counted, Device, count,
                                             vmstate_mixed, Elem),
        VMSTATE_BUFFER(buffer, Device),
        STRUCTS(vmstate_with_sub),
        VMSTATE_STRUCT(elems[3], Device, 1, vmstate_nested, Elem),
        VMSTATE_ARRAY_OF_POINTER_TO_STRUCT(by_pointer, Device, N, 1,
                                           vmstate_mixed, Elem),
        VMSTATE_INT32(length, Device),
        VMSTATE_END_OF_LIST()
    },
};

/* A device of several arrays, saved again and again as it changes */
static void test_device(void)
{
    for (int n = 0; n <= N; n++) {
        Device *d = device_new(n);
        g_autoptr(GByteArray) upstream = save(&vmstate_device, d, false);
        g_autoptr(GByteArray) ours = save(&vmstate_device, d, true);

        g_assert_cmpmem(ours->data, ours->len, upstream->data,
                        upstream->len);
        device_free(d);
    }
}

static const VMStateDescription vmstate_hooks = {
    .name = "hooks",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        STRUCTS(vmstate_pre_save),
        STRUCTS(vmstate_post_save),
        VMSTATE_END_OF_LIST()
    },
};

/* Hooks run as often as they would */
static void test_hooks(void)
{
    Device *d = device_new(N);
    g_autoptr(GByteArray) bytes = NULL;

    pre_calls = post_calls = 0;
    bytes = save(&vmstate_hooks, d, true);
    g_assert_cmpint(pre_calls, ==, N);
    g_assert_cmpint(post_calls, ==, N);
    device_free(d);
}

static int put_broken(QEMUFile *f, void *pv, size_t size,
                      const VMStateField *field, JSONWriter *vmdesc)
{
    return *(uint32_t *)pv == 3 ? -ENXIO : 0;
}

static const VMStateInfo info_broken = { .name = "broken", .put = put_broken };

static int refuse(void *opaque)
{
    return 1;
}

static const VMStateDescription vmstate_refused = {
    .name = "refused",
    .pre_save = refuse,
    .fields = mixed_fields,
};

static const VMStateDescription vmstate_broken = {
    .name = "broken",
    .version_id = 1,
    .post_save = count_post,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(number, Device),
        VMSTATE_ARRAY(u32, Device, N, 0, info_broken, uint32_t),
        VMSTATE_UINT64_ARRAY(u64, Device, N),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_refusing = {
    .name = "refusing",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        STRUCTS(vmstate_refused),
        VMSTATE_END_OF_LIST()
    },
};

static int error_of(const VMStateDescription *vmsd, Device *d, bool plan,
                    char **text)
{
    QIOChannelBuffer *buf;
    QEMUFile *f = vmstate_open(&buf);
    Error *err = NULL;
    int ret;

    ft_vmstate_write_enable(plan);
    ret = vmstate_save_state_v(f, vmsd, d, NULL, vmsd->version_id,
                               text ? &err : NULL);
    ft_vmstate_write_enable(false);
    if (text) {
        *text = err ? g_strdup(error_get_pretty(err)) : NULL;
        error_free(err);
    }
    qemu_fclose(f);
    object_unref(OBJECT(buf));
    return ret;
}

/* The same error, hook and message as without */
static void test_errors(void)
{
    Device *d = device_new(N);

    memset(d->u32, 0, sizeof(d->u32));
    post_calls = 0;
    g_assert_cmpint(error_of(&vmstate_broken, d, true, NULL), ==, 0);
    g_assert_cmpint(post_calls, ==, 1);
    d->u32[N / 2] = 3;
    for (int plan = 0; plan < 2; plan++) {
        g_autofree char *text = NULL;

        post_calls = 0;
        g_assert_cmpint(error_of(&vmstate_broken, d, plan, &text), ==,
                        -ENXIO);
        g_assert_cmpint(post_calls, ==, 1);
        g_assert_nonnull(text);
        g_assert_nonnull(strstr(text, "Save of field broken/u32 failed"));
        g_assert_cmpint(error_of(&vmstate_refusing, d, plan, NULL), ==, 1);
    }
    device_free(d);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    module_call_init(MODULE_INIT_QOM);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree char *path = g_strdup_printf("/ft/vmstate/field/%s",
                                                cases[i].name);

        g_test_add_data_func(path, &cases[i], test_same_bytes);
    }
    g_test_add_func("/ft/vmstate/layout", test_layout);
    g_test_add_func("/ft/vmstate/disabled", test_disabled);
    g_test_add_func("/ft/vmstate/unknown-flag", test_unknown_flag);
    g_test_add_func("/ft/vmstate/older", test_older);
    g_test_add_func("/ft/vmstate/device", test_device);
    g_test_add_func("/ft/vmstate/hooks", test_hooks);
    g_test_add_func("/ft/vmstate/errors", test_errors);
    return g_test_run();
}
