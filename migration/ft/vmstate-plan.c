/*
 * QEMU-FT: how the fields of a VMStateDescription are written
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A plan is the list of operations that write the fields of a description,
 * in their order.  What is known beforehand is done beforehand: which fields
 * a version has, where they are, how many there are.  A structure within a
 * structure becomes part of its operations, and integers that follow each
 * other in memory and in the stream become one operation.
 *
 * What upstream decides while it writes, the plan decides at the same point:
 * whether a field exists, how many elements it has, where a pointer leads.
 * A structure that has hooks or subsections is written by upstream's
 * function, and so is whatever is described in a way that is not known here.
 */
#include "qemu/osdep.h"
#include "vmstate-plan.h"

/* 10.2 added a second form of the hook */
#if __has_include("system/physmem.h")
#define HAS_PRE_SAVE_ERRP(vmsd) ((vmsd)->pre_save_errp)
#else
#define HAS_PRE_SAVE_ERRP(vmsd) false
#endif

/* Structures may point to their own kind */
#define MAX_DEPTH 8
/* Operations that elements of an array may become instead of a loop */
#define MAX_UNROLLED 64

static GHashTable *plans;       /* first field -> FtPlan */

typedef struct Draft {
    GArray *ops;                /* of FtOp */
    uint32_t fixed;             /* an FT_OP_IF leads to this one */
    int depth;
    bool failed;
} Draft;

static const VMStateInfo *const one[] = {
    &vmstate_info_bool, &vmstate_info_uint8, &vmstate_info_int8,
    &vmstate_info_uint8_equal,
};
static const VMStateInfo *const two[] = {
    &vmstate_info_uint16, &vmstate_info_int16, &vmstate_info_uint16_equal,
};
static const VMStateInfo *const four[] = {
    &vmstate_info_uint32, &vmstate_info_int32, &vmstate_info_uint32_equal,
    &vmstate_info_int32_equal, &vmstate_info_int32_le,
};
static const VMStateInfo *const eight[] = {
    &vmstate_info_uint64, &vmstate_info_int64, &vmstate_info_uint64_equal,
};

static bool is_one_of(const VMStateInfo *info, const VMStateInfo *const *list,
                      size_t n)
{
    while (n--) {
        if (list[n] == info) {
            return true;
        }
    }
    return false;
}

uint32_t ft_plan_int_width(const VMStateField *f)
{
    uint32_t width = 0;

    if (f->flags & (VMS_STRUCT | VMS_VSTRUCT | VMS_BUFFER | VMS_VBUFFER)) {
        return 0;
    }
    if (is_one_of(f->info, one, ARRAY_SIZE(one))) {
        width = 1;
    } else if (is_one_of(f->info, two, ARRAY_SIZE(two))) {
        width = 2;
    } else if (is_one_of(f->info, four, ARRAY_SIZE(four))) {
        width = 4;
    } else if (is_one_of(f->info, eight, ARRAY_SIZE(eight))) {
        width = 8;
    }
    return f->size == width ? width : 0;
}

/* Of whatever is written @n at a time; continues the last one if it can */
static void add_plain(Draft *d, FtOpKind kind, uint32_t offset, uint32_t n,
                      const VMStateField *field)
{
    FtOp op = { .kind = kind, .offset = offset, .n = n, .field = field };
    FtOp *last = d->ops->len > d->fixed ?
                 &g_array_index(d->ops, FtOp, d->ops->len - 1) : NULL;

    if (!n) {
        return;
    }
    if (last && last->kind == kind &&
        (kind == FT_OP_ZERO ||
         last->offset + last->n * ft_op_width(kind) == offset)) {
        last->n += n;
    } else {
        g_array_append_val(d->ops, op);
    }
}

static void add_ints(Draft *d, uint32_t width, uint32_t offset, uint32_t n,
                     const VMStateField *field)
{
    add_plain(d, width == 1 ? FT_OP_BYTES : width == 2 ? FT_OP_INT16 :
              width == 4 ? FT_OP_INT32 : FT_OP_INT64, offset, n, field);
}

static FtPlan *make_plan(const VMStateField *fields, int version, int depth);

static bool is_simple(const VMStateDescription *vmsd)
{
    return vmsd && !vmsd->pre_save && !HAS_PRE_SAVE_ERRP(vmsd) &&
           !vmsd->post_save && !vmsd->subsections;
}

static void add_fields(Draft *d, const VMStateField *fields, int version,
                       uint32_t base);

static void free_plan(FtPlan *plan)
{
    /* What it refers to may be shared, and is small */
    g_free(plan->ops);
    g_free(plan);
}

/* An int or a structure that other operations can do: its plan, or NULL */
static const FtPlan *element_plan(const VMStateField *f, int depth)
{
    FtPlan *plan;

    if (f->flags & VMS_STRUCT) {
        if (!is_simple(f->vmsd) || depth >= MAX_DEPTH) {
            return NULL;
        }
        plan = make_plan(f->vmsd->fields, f->vmsd->version_id, depth + 1);
    } else {
        Draft d = { .ops = g_array_new(false, false, sizeof(FtOp)) };

        add_ints(&d, ft_plan_int_width(f), 0, 1, f);
        plan = g_new0(FtPlan, 1);
        plan->plain = true;
        plan->bytes = f->size;
        plan->n_ops = d.ops->len;
        plan->ops = (FtOp *)g_array_free(d.ops, false);
    }
    if (!plan->ops) {
        g_free(plan);
        return NULL;
    }
    return plan;
}

/* A field of structures; @op has everything but the way */
static void add_structs(Draft *d, const VMStateField *f, FtOp op)
{
    const uint32_t dynamic = VMS_POINTER | VMS_ARRAY_OF_POINTER |
                             VMS_VARRAY_INT32 | VMS_VARRAY_UINT32 |
                             VMS_VARRAY_UINT16 | VMS_VARRAY_UINT8 |
                             VMS_VBUFFER | VMS_MULTIPLY_ELEMENTS;
    int n = f->flags & VMS_ARRAY ? f->num : 1;

    op.plan = element_plan(f, d->depth);
    if (!op.plan) {
        op.kind = FT_OP_SAVE;
        g_array_append_val(d->ops, op);
        return;
    }
    if (!(f->flags & dynamic) && n >= 0 &&
        n * op.plan->n_ops <= MAX_UNROLLED) {
        free_plan((FtPlan *)op.plan);
        for (int i = 0; i < n; i++) {
            add_fields(d, f->vmsd->fields, f->vmsd->version_id,
                       op.offset + i * f->size);
        }
        return;
    }
    op.kind = op.plan->plain &&
              !(f->flags & (VMS_ARRAY_OF_POINTER | VMS_VBUFFER)) ?
              FT_OP_ARRAY : FT_OP_STRUCTS;
    g_array_append_val(d->ops, op);
}

/* VMSTATE_WITH_TMP: a structure made for the saving, by its pre_save() */
static bool is_known_temporary(const VMStateField *f)
{
    return f->info == &vmstate_info_tmp && !(f->flags & ~VMS_SINGLE) &&
           f->vmsd && !HAS_PRE_SAVE_ERRP(f->vmsd) && !f->vmsd->post_save &&
           !f->vmsd->subsections;
}

/* A field that is no structure */
static void add_others(Draft *d, const VMStateField *f, FtOp op)
{
    const uint32_t fixed = VMS_SINGLE | VMS_ARRAY | VMS_MUST_EXIST;
    uint32_t width = ft_plan_int_width(f);

    if (width && !(f->flags & ~fixed)) {
        if (!(f->flags & VMS_ARRAY) || f->num > 0) {
            add_ints(d, width, op.offset, f->flags & VMS_ARRAY ? f->num : 1,
                     f);
        }
        return;
    }
    if (f->flags == VMS_BUFFER && f->info == &vmstate_info_buffer) {
        add_plain(d, FT_OP_BYTES, op.offset, f->size, f);
        return;
    }
    if (f->flags == VMS_BUFFER && f->info == &vmstate_info_unused_buffer) {
        add_plain(d, FT_OP_ZERO, 0, f->size, f);
        return;
    }

    op.kind = FT_OP_PUT;
    if (width && !(f->flags & VMS_ARRAY_OF_POINTER)) {
        op.kind = FT_OP_ARRAY;
        op.plan = element_plan(f, d->depth);
    } else if (f->info == &vmstate_info_timer &&
               !(f->flags & ~(VMS_SINGLE | VMS_POINTER))) {
        op.kind = f->flags & VMS_POINTER ? FT_OP_TIMER_POINTER : FT_OP_TIMER;
    } else if (is_known_temporary(f) && d->depth < MAX_DEPTH) {
        op.plan = make_plan(f->vmsd->fields, f->vmsd->version_id,
                            d->depth + 1);
        if (op.plan->ops) {
            op.kind = FT_OP_TEMPORARY;
        }
    }
    g_array_append_val(d->ops, op);
}

/* A flag that a later QEMU may bring is left to its own loop */
#define KNOWN_FLAGS \
    (VMS_SINGLE | VMS_POINTER | VMS_ARRAY | VMS_STRUCT | VMS_VARRAY_INT32 | \
     VMS_BUFFER | VMS_ARRAY_OF_POINTER | VMS_VARRAY_UINT16 | VMS_VBUFFER | \
     VMS_MULTIPLY | VMS_VARRAY_UINT8 | VMS_VARRAY_UINT32 | VMS_MUST_EXIST | \
     VMS_ALLOC | VMS_MULTIPLY_ELEMENTS | VMS_VSTRUCT)

/* The fields of a structure at @base */
static void add_fields(Draft *d, const VMStateField *fields, int version,
                       uint32_t base)
{
    for (const VMStateField *f = fields; f->name; f++) {
        FtOp op = {
            .offset = base + f->offset, .base = base, .version = version,
            .field = f,
        };
        uint32_t condition = d->ops->len;

        d->failed |= (f->flags & ~KNOWN_FLAGS) != 0;
        if (f->field_exists) {
            op.kind = FT_OP_IF;
            g_array_append_val(d->ops, op);
            d->fixed = d->ops->len;
        } else if (f->version_id > version) {
            /* Upstream would complain and abort: it may do so */
            d->failed |= f->flags & VMS_MUST_EXIST;
            continue;
        }
        if (f->flags & VMS_STRUCT) {
            add_structs(d, f, op);
        } else if (f->flags & VMS_VSTRUCT) {
            op.kind = FT_OP_SAVE;
            g_array_append_val(d->ops, op);
        } else {
            add_others(d, f, op);
        }
        if (f->field_exists) {
            g_array_index(d->ops, FtOp, condition).n =
                d->ops->len - condition - 1;
            d->fixed = d->ops->len;
        }
    }
}

static FtPlan *make_plan(const VMStateField *fields, int version, int depth)
{
    Draft d = {
        .ops = g_array_new(false, false, sizeof(FtOp)), .depth = depth,
    };
    FtPlan *plan = g_new0(FtPlan, 1);

    add_fields(&d, fields, version, 0);
    plan->version = version;
    plan->plain = true;
    for (uint32_t i = 0; i < d.ops->len; i++) {
        const FtOp *op = &g_array_index(d.ops, FtOp, i);

        plan->plain &= op->kind <= FT_OP_PLAIN_LAST;
        plan->bytes += op->n * ft_op_width(op->kind);
    }
    plan->n_ops = d.ops->len;
    plan->ops = (FtOp *)g_array_free(d.ops, d.failed);
    if (!d.failed && !plan->ops) {
        plan->ops = g_new0(FtOp, 1);    /* nothing is written at all */
    }
    return plan;
}

const FtPlan *ft_plan_find(const VMStateField *fields, int version)
{
    FtPlan *plan;

    if (!plans) {
        plans = g_hash_table_new(NULL, NULL);
    }
    plan = g_hash_table_lookup(plans, fields);
    if (!plan) {
        plan = make_plan(fields, version, 0);
        g_hash_table_insert(plans, (gpointer)fields, plan);
    }
    /* Two descriptions of the same fields, or an old version of one */
    return plan->ops && plan->version == version ? plan : NULL;
}
