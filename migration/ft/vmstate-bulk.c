/*
 * QEMU-FT: writing arrays of device state at once
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Most of the time of a device save goes into arrays whose elements are
 * written field by field through function pointers: 1024 queue slots twice
 * for each virtio device, 256 hot-plug slots, FIFOs of integers.  For
 * arrays whose elements consist of plain fixed-size integers, a list of
 * (offset, width) pairs is compiled from the VMStateDescription at first
 * sight and kept; from then on the array is written with it into one
 * buffer.  The bytes are those upstream's loop would write, so loading
 * needs nothing new (tests/ft/unit/test-ft-bulk.c compares).
 *
 * Anything unusual - pointers, conditions, hooks, subsections, versions -
 * is left to upstream's loop: an array is ours only when every field of
 * its element is known to be always present and plain.
 *
 * Runs with the BQL held, only between ft_vmstate_bulk_enable(true) and
 * (false), which the cut brackets its save with.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "migration/vmstate.h"
#include "migration/qemu-file-types.h"
#include "ft.h"
#include "vmstate-bulk.h"

/* 10.2 added a second form of the hook */
#if __has_include("system/physmem.h")
#define HAS_PRE_SAVE(vmsd) ((vmsd)->pre_save || (vmsd)->pre_save_errp)
#else
#define HAS_PRE_SAVE(vmsd) ((vmsd)->pre_save)
#endif

/* Too few elements are not worth a look-up */
#define MIN_ELEMS 8

typedef struct BulkOp {
    uint32_t offset;            /* in the element */
    uint32_t width;             /* bytes: 1, 2, 4 or 8 when not zero */
    bool zero;                  /* VMSTATE_UNUSED: so many zero bytes */
} BulkOp;

typedef struct BulkPlan {
    size_t stride;              /* bytes of an element in memory */
    size_t bytes;               /* bytes of an element in the stream */
    uint32_t n_ops;
    bool plain_bytes;           /* elements are bytes: copy them */
    BulkOp *ops;                /* NULL: not ours */
} BulkPlan;

/* Under the BQL; a field's address identifies it for ever */
static GHashTable *plans;
static GByteArray *scratch;
static bool enabled;

void ft_vmstate_bulk_enable(bool on)
{
    enabled = on;
}

/* Width of a plain integer type, 0 for any other */
static uint32_t plain_width(const VMStateInfo *info)
{
    if (info == &vmstate_info_bool || info == &vmstate_info_uint8 ||
        info == &vmstate_info_int8) {
        return 1;
    }
    if (info == &vmstate_info_uint16 || info == &vmstate_info_int16) {
        return 2;
    }
    if (info == &vmstate_info_uint32 || info == &vmstate_info_int32) {
        return 4;
    }
    if (info == &vmstate_info_uint64 || info == &vmstate_info_int64) {
        return 8;
    }
    return 0;
}

/* Append the operations of one field of an element; false: not plain */
static bool compile_field(GArray *ops, const VMStateField *f)
{
    const uint32_t allowed = VMS_SINGLE | VMS_ARRAY | VMS_MUST_EXIST;
    uint32_t width = f->info ? plain_width(f->info) : 0;
    uint32_t n = f->flags & VMS_ARRAY ? f->num : 1;

    if (f->info == &vmstate_info_unused_buffer && f->flags == VMS_BUFFER &&
        !f->field_exists) {
        BulkOp op = { .width = f->size, .zero = true };

        g_array_append_val(ops, op);
        return true;
    }
    if (!width || f->size != width || (f->flags & ~allowed) ||
        f->field_exists) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        BulkOp op = { .offset = f->offset + i * width, .width = width };

        g_array_append_val(ops, op);
    }
    return true;
}

static bool compile_struct(GArray *ops, const VMStateDescription *vmsd)
{
    if (!vmsd || HAS_PRE_SAVE(vmsd) || vmsd->post_save || vmsd->subsections ||
        vmsd->unmigratable) {
        return false;
    }
    for (const VMStateField *f = vmsd->fields; f->name; f++) {
        if (f->version_id > vmsd->version_id || !compile_field(ops, f)) {
            return false;
        }
    }
    return true;
}

static BulkPlan *compile(const VMStateField *field)
{
    const uint32_t odd = VMS_ARRAY_OF_POINTER | VMS_VSTRUCT | VMS_MULTIPLY |
                         VMS_MULTIPLY_ELEMENTS | VMS_VBUFFER | VMS_BUFFER;
    BulkPlan *plan = g_new0(BulkPlan, 1);
    GArray *ops = g_array_new(false, false, sizeof(BulkOp));
    bool ok = false;

    plan->stride = field->size;
    if (!(field->flags & odd)) {
        if (field->flags & VMS_STRUCT) {
            ok = compile_struct(ops, field->vmsd);
        } else if (field->info && plain_width(field->info) == field->size) {
            BulkOp op = { .offset = 0, .width = field->size };

            g_array_append_val(ops, op);
            plan->plain_bytes = field->size == 1;
            ok = true;
        }
    }
    for (uint32_t i = 0; ok && i < ops->len; i++) {
        plan->bytes += g_array_index(ops, BulkOp, i).width;
    }
    plan->n_ops = ops->len;
    plan->ops = (BulkOp *)g_array_free(ops, !ok);
    if (!ok) {
        plan->ops = NULL;
    }
    return plan;
}

static uint8_t *put_element(uint8_t *out, const uint8_t *elem,
                            const BulkPlan *plan)
{
    for (uint32_t i = 0; i < plan->n_ops; i++) {
        const BulkOp *op = &plan->ops[i];
        const uint8_t *p = elem + op->offset;

        if (op->zero) {
            memset(out, 0, op->width);
            out += op->width;
            continue;
        }
        switch (op->width) {
        case 1:
            *out = *p;
            break;
        case 2:
            stw_be_p(out, lduw_he_p(p));
            break;
        case 4:
            stl_be_p(out, (uint32_t)ldl_he_p(p));
            break;
        case 8:
            stq_be_p(out, ldq_he_p(p));
            break;
        }
        out += op->width;
    }
    return out;
}

int ft_vmstate_bulk(QEMUFile *f, const VMStateField *field, void *elems,
                    int n, JSONWriter *vmdesc)
{
    BulkPlan *plan;
    uint8_t *out;

    if (likely(!enabled) || n < MIN_ELEMS || vmdesc) {
        return n;
    }
    if (!plans) {
        plans = g_hash_table_new(NULL, NULL);
        scratch = g_byte_array_new();
    }
    plan = g_hash_table_lookup(plans, field);
    if (!plan) {
        plan = compile(field);
        g_hash_table_insert(plans, (gpointer)field, plan);
    }
    if (!plan->ops) {
        return n;
    }
    if (field->flags & VMS_POINTER) {
        elems = *(void **)elems;
    }
    if (plan->plain_bytes) {
        qemu_put_buffer(f, elems, n);
        return 0;
    }
    g_byte_array_set_size(scratch, n * plan->bytes);
    out = scratch->data;
    for (int i = 0; i < n; i++) {
        out = put_element(out, (uint8_t *)elems + i * plan->stride, plan);
    }
    qemu_put_buffer(f, scratch->data, scratch->len);
    return 0;
}
