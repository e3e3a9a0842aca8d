/*
 * QEMU-FT: how the fields of a VMStateDescription are written
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Internal to vmstate-*.c.  With the BQL held.
 */
#ifndef MIGRATION_FT_VMSTATE_PLAN_H
#define MIGRATION_FT_VMSTATE_PLAN_H

#include "qemu/bswap.h"
#include "migration/vmstate.h"

typedef struct FtPlan FtPlan;

typedef enum FtOpKind {
    /* Plain: what is written depends on the bytes of the structure alone */
    FT_OP_BYTES,                /* @n bytes as they are */
    FT_OP_INT16,                /* @n integers, one after the other */
    FT_OP_INT32,
    FT_OP_INT64,
    FT_OP_ZERO,                 /* @n zero bytes */
    FT_OP_PLAIN_LAST = FT_OP_ZERO,

    FT_OP_IF,                   /* go on, or skip @n operations */
    FT_OP_TIMER,                /* when it expires */
    FT_OP_TIMER_POINTER,
    FT_OP_ARRAY,                /* elements that consist of plain @plan */
    FT_OP_STRUCTS,              /* elements that consist of @plan */
    FT_OP_TEMPORARY,            /* VMSTATE_WITH_TMP of @plan */
    FT_OP_SAVE,                 /* each element by vmstate_save_state() */
    FT_OP_PUT,                  /* each element by the field's own put() */
} FtOpKind;

typedef struct FtOp {
    FtOpKind kind;
    uint32_t n;
    uint32_t offset;            /* of what is written, in the memory saved */
    uint32_t base;              /* of the structure that has the field */
    int version;                /* of that structure */
    const VMStateField *field;  /* what an error is about; see the kinds */
    const FtPlan *plan;
} FtOp;

struct FtPlan {
    int version;                /* of the description */
    bool plain;                 /* has plain operations only */
    uint32_t bytes;             /* written by them */
    uint32_t n_ops;
    FtOp *ops;                  /* NULL: to be left to upstream's loop */
};

/* Bytes of what @kind writes @n of */
static inline uint32_t ft_op_width(FtOpKind kind)
{
    switch (kind) {
    case FT_OP_INT16:
        return 2;
    case FT_OP_INT32:
        return 4;
    case FT_OP_INT64:
        return 8;
    default:
        return 1;
    }
}

/* @n integers that are @stride apart, into the stream @step apart */
static inline void ft_put_ints(uint8_t *out, size_t step, const uint8_t *p,
                               size_t stride, int n, FtOpKind kind)
{
    switch (kind) {
    case FT_OP_INT16:
        for (int i = 0; i < n; i++, out += step, p += stride) {
            stw_be_p(out, lduw_he_p(p));
        }
        break;
    case FT_OP_INT32:
        for (int i = 0; i < n; i++, out += step, p += stride) {
            stl_be_p(out, (uint32_t)ldl_he_p(p));
        }
        break;
    default:
        for (int i = 0; i < n; i++, out += step, p += stride) {
            stq_be_p(out, ldq_he_p(p));
        }
        break;
    }
}

/**
 * ft_plan_find: how to write @fields of a description of @version
 *
 * Made at first sight and kept: the fields of a description are for ever.
 * Returns NULL when that is for upstream's loop to do.
 */
const FtPlan *ft_plan_find(const VMStateField *fields, int version);

/* Width of a plain integer in the stream and in memory, 0 for any other */
uint32_t ft_plan_int_width(const VMStateField *field);

/* The same as upstream's vmstate_n_elems() and vmstate_size() */
static inline int ft_plan_elems(const uint8_t *base, const VMStateField *f)
{
    const uint8_t *count = base + f->num_offset;
    int n = 1;

    if (f->flags & VMS_ARRAY) {
        n = f->num;
    } else if (f->flags & VMS_VARRAY_INT32) {
        n = *(const int32_t *)count;
    } else if (f->flags & VMS_VARRAY_UINT32) {
        n = *(const uint32_t *)count;
    } else if (f->flags & VMS_VARRAY_UINT16) {
        n = *(const uint16_t *)count;
    } else if (f->flags & VMS_VARRAY_UINT8) {
        n = *count;
    }
    return f->flags & VMS_MULTIPLY_ELEMENTS ? n * f->num : n;
}

static inline int ft_plan_size(const uint8_t *base, const VMStateField *f)
{
    int size = f->size;

    if (f->flags & VMS_VBUFFER) {
        size = *(const int32_t *)(base + f->size_offset);
        if (f->flags & VMS_MULTIPLY) {
            size *= f->size;
        }
    }
    return size;
}

#endif
