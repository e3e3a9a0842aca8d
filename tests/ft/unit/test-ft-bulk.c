/*
 * QEMU-FT: tests of writing arrays of device state at once
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whatever ft_vmstate_bulk() does, the bytes have to be those of upstream's
 * loop.  Each case says whether the array is to be taken or left alone, so
 * that equal bytes cannot come from never taking any.
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "qapi/error.h"
#include "io/channel-buffer.h"
#include "migration/vmstate.h"
#include "migration/qemu-file.h"
#include "migration/ft/ft.h"
#include "migration/ft/vmstate-bulk.h"

#define N 40

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
    int32_t i32;
    uint64_t u64;
    bool flags[2][3];
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
    uint8_t buffer[N];
    uint32_t number;
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

static const VMStateDescription vmstate_inner_buffer = {
    .name = "inner-buffer",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT16(u16, Elem),
        VMSTATE_BUFFER(bytes, Elem),
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

/* --- cases: one field of the device each --- */

typedef struct BulkCase {
    const char *name;
    bool taken;
    int n;                      /* of elements; for the counted ones */
    VMStateField field;
} BulkCase;

#define STRUCTS(vmsd) VMSTATE_STRUCT_ARRAY(elems, Device, N, 1, vmsd, Elem)

static const BulkCase cases[] = {
    { "struct", true, N, STRUCTS(vmstate_mixed) },
    { "versions", true, N, STRUCTS(vmstate_versioned) },
    { "varray-known", true, N,
      VMSTATE_STRUCT_VARRAY_POINTER_KNOWN(known, Device, N, 0,
                                          vmstate_mixed, Elem) },
    { "varray-u32", true, 17,
      VMSTATE_STRUCT_VARRAY_POINTER_UINT32(counted, Device, count,
                                           vmstate_mixed, Elem) },
    { "varray-u16", true, 8,
      VMSTATE_STRUCT_VARRAY_POINTER_UINT16(counted, Device, count16,
                                           vmstate_mixed, Elem) },
    { "bool", true, N, VMSTATE_BOOL_ARRAY(flags, Device, N) },
    { "u8", true, N, VMSTATE_UINT8_ARRAY(u8, Device, N) },
    { "i8", true, N,
      VMSTATE_ARRAY(i8, Device, N, 0, vmstate_info_int8, int8_t) },
    { "u16", true, N, VMSTATE_UINT16_ARRAY(u16, Device, N) },
    { "u32", true, N, VMSTATE_UINT32_ARRAY(u32, Device, N) },
    { "i32", true, N, VMSTATE_INT32_ARRAY(i32, Device, N) },
    { "u64", true, N, VMSTATE_UINT64_ARRAY(u64, Device, N) },
    { "i64", true, N, VMSTATE_INT64_ARRAY(i64, Device, N) },
    { "sub-array", true, 10,
      VMSTATE_UINT32_SUB_ARRAY(u32, Device, 5, 10) },
    { "2d", true, N, VMSTATE_UINT16_2DARRAY(matrix, Device, 5, 8) },
    { "varray-u16-ints", true, 17,
      VMSTATE_VARRAY_UINT32(u16_counted, Device, count, 0,
                            vmstate_info_uint16, uint16_t) },
    { "varray-u8-ints", true, 17,
      VMSTATE_VARRAY_UINT32(u8_counted, Device, count, 0,
                            vmstate_info_uint8, uint8_t) },

    { "few", false, 7,
      VMSTATE_STRUCT_VARRAY_POINTER_UINT32(counted, Device, count,
                                           vmstate_mixed, Elem) },
    { "none", false, 0,
      VMSTATE_STRUCT_VARRAY_POINTER_UINT32(counted, Device, count,
                                           vmstate_mixed, Elem) },
    { "single", false, 1, VMSTATE_UINT32(number, Device) },
    { "buffer", false, 1, VMSTATE_BUFFER(buffer, Device) },
    { "pre-save", false, N, STRUCTS(vmstate_pre_save) },
    { "post-save", false, N, STRUCTS(vmstate_post_save) },
    { "subsections", false, N, STRUCTS(vmstate_with_sub) },
    { "field-exists", false, N, STRUCTS(vmstate_conditional) },
    { "unused-test", false, N, STRUCTS(vmstate_unused_test) },
    { "newer-field", false, N, STRUCTS(vmstate_newer) },
    { "unused-newer", false, N, STRUCTS(vmstate_unused_newer) },
    { "inner-pointer", false, N, STRUCTS(vmstate_inner_pointer) },
    { "nested", false, N, STRUCTS(vmstate_nested) },
    { "inner-buffer", false, N, STRUCTS(vmstate_inner_buffer) },
    { "custom-info", false, N, STRUCTS(vmstate_custom) },
    { "custom-info-ints", false, N,
      VMSTATE_ARRAY(u32, Device, N, 0, info_reversed, uint32_t) },
    { "pointers", false, N,
      VMSTATE_ARRAY_OF_POINTER_TO_STRUCT(by_pointer, Device, N, 1,
                                         vmstate_mixed, Elem) },
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
    }
    d->count = d->count16 = n;
    d->number = g_rand_int(r);
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
    g_free(d);
}

/* --- comparing --- */

static QEMUFile *open_buffer(QIOChannelBuffer **buf)
{
    *buf = qio_channel_buffer_new(1024);
    return qemu_file_new_output(QIO_CHANNEL(*buf));
}

static GByteArray *close_buffer(QEMUFile *f, QIOChannelBuffer *buf)
{
    GByteArray *bytes = g_byte_array_new();

    g_assert_cmpint(qemu_fflush(f), ==, 0);
    g_byte_array_append(bytes, buf->data, buf->usage);
    qemu_fclose(f);
    object_unref(OBJECT(buf));
    return bytes;
}

static GByteArray *save(const VMStateDescription *vmsd, Device *d, bool bulk)
{
    QIOChannelBuffer *buf;
    QEMUFile *f = open_buffer(&buf);

    ft_vmstate_bulk_enable(bulk);
    g_assert_cmpint(vmstate_save_state_v(f, vmsd, d, NULL, vmsd->version_id,
                                         &error_abort), ==, 0);
    ft_vmstate_bulk_enable(false);
    return close_buffer(f, buf);
}

/* Ask directly whether the array is taken; returns what was written */
static GByteArray *ask(const BulkCase *c, Device *d, int expect)
{
    QIOChannelBuffer *buf;
    QEMUFile *f = open_buffer(&buf);

    ft_vmstate_bulk_enable(true);
    g_assert_cmpint(ft_vmstate_bulk(f, &c->field,
                                    (uint8_t *)d + c->field.offset, c->n,
                                    NULL), ==, expect);
    ft_vmstate_bulk_enable(false);
    return close_buffer(f, buf);
}

static void test_same_bytes(const void *opaque)
{
    const BulkCase *c = opaque;
    /* For ever, as the fields of real devices */
    VMStateField *fields = g_new0(VMStateField, 2);
    const VMStateDescription vmsd = {
        .name = c->name, .version_id = 1, .fields = fields,
    };
    Device *d = device_new(c->n);
    g_autoptr(GByteArray) upstream = NULL, asked = NULL;

    fields[0] = c->field;
    fields[1] = (VMStateField) VMSTATE_END_OF_LIST();
    upstream = save(&vmsd, d, false);
    /* The second time from the plan that the first one has made */
    for (int i = 0; i < 3; i++) {
        g_autoptr(GByteArray) bulk = save(&vmsd, d, true);

        g_assert_cmpmem(bulk->data, bulk->len, upstream->data,
                        upstream->len);
    }
    asked = ask(c, d, c->taken ? 0 : c->n);
    if (c->taken) {
        g_assert_cmpuint(asked->len, >, 0);
        g_assert_cmpmem(asked->data, asked->len, upstream->data,
                        upstream->len);
    } else {
        g_assert_cmpuint(asked->len, ==, 0);
    }
    device_free(d);
}

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
    bytes = ask(&cases[0], d, 0);
    g_assert_cmpuint(bytes->len, ==, N * (20 + 6 + 5 + 1 + 4 + 8 + 6));
    g_assert_cmpmem(bytes->data, sizeof(first), first, sizeof(first));
    device_free(d);
}

/* Taken only while enabled, and never for a description in JSON */
static void test_disabled(void)
{
    const VMStateField *field = &cases[0].field;
    Device *d = device_new(N);
    QIOChannelBuffer *buf;
    QEMUFile *f = open_buffer(&buf);
    g_autoptr(GByteArray) bytes = NULL;

    g_assert_cmpint(ft_vmstate_bulk(f, field, d->elems, N, NULL), ==, N);
    ft_vmstate_bulk_enable(true);
    /* Not looked into, only seen to be there */
    g_assert_cmpint(ft_vmstate_bulk(f, field, d->elems, N, (void *)d), ==,
                    N);
    g_assert_cmpint(ft_vmstate_bulk(f, field, d->elems, 7, NULL), ==, 7);
    ft_vmstate_bulk_enable(false);
    g_assert_cmpint(ft_vmstate_bulk(f, field, d->elems, N, NULL), ==, N);
    bytes = close_buffer(f, buf);
    g_assert_cmpuint(bytes->len, ==, 0);
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
        VMSTATE_END_OF_LIST()
    },
};

/* A device of several arrays, saved again and again as it changes */
static void test_device(void)
{
    for (int n = 0; n <= N; n++) {
        Device *d = device_new(n);
        g_autoptr(GByteArray) upstream = save(&vmstate_device, d, false);
        g_autoptr(GByteArray) bulk = save(&vmstate_device, d, true);

        g_assert_cmpmem(bulk->data, bulk->len, upstream->data,
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

int main(int argc, char **argv)
{
    static const char *const kinds[] = { "left", "taken" };

    g_test_init(&argc, &argv, NULL);
    module_call_init(MODULE_INIT_QOM);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *kind = kinds[cases[i].taken];
        g_autofree char *path = g_strdup_printf("/ft/bulk/%s/%s", kind,
                                                cases[i].name);

        g_test_add_data_func(path, &cases[i], test_same_bytes);
    }
    g_test_add_func("/ft/bulk/layout", test_layout);
    g_test_add_func("/ft/bulk/disabled", test_disabled);
    g_test_add_func("/ft/bulk/device", test_device);
    g_test_add_func("/ft/bulk/hooks", test_hooks);
    return g_test_run();
}
