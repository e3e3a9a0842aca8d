/*
 * QEMU-FT: writing device state by plan
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Most of the time of a device save goes into upstream's loop around the
 * writing, not into the writing: it asks twice for each element how much has
 * been written so far, looks through the whole description of a field for
 * something that only matters to a description in JSON, and every integer
 * goes byte by byte into the file.  So the fields of nearly every description
 * are written here instead, from a list made once (vmstate-plan.c), and the
 * bytes are those upstream's loop would write, so that loading needs nothing
 * new (tests/ft/unit/test-ft-vmstate.c compares, and so does the self-check).
 *
 * Upstream still does what is around the fields: hooks, subsections, errors.
 *
 * What is written is collected in a buffer on the stack, and put into the
 * file when something else is about to write there: a function of a device,
 * or upstream's for a structure with hooks, which may come back here.
 *
 * Runs with the BQL held, only between ft_vmstate_write_enable(true) and
 * (false), which the cut brackets its save with.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "migration/qemu-file.h"
#include "migration/vmstate.h"
#include "ft.h"
#include "vmstate-array.h"
#include "vmstate-plan.h"
#include "vmstate-write.h"

/* 10.2 reports through one more argument */
#if __has_include("system/physmem.h")
#define SAVE_STRUCT(f, vmsd, e) vmstate_save_state(f, vmsd, e, NULL, NULL)
#else
#define SAVE_STRUCT(f, vmsd, e) vmstate_save_state(f, vmsd, e, NULL)
#endif

#define UNINITIALIZED __attribute__((uninitialized))

#define ROOM 2048               /* bytes collected */
#define CHUNK (ROOM / 8)        /* integers encoded at once */

typedef struct Out {
    QEMUFile *f;
    const VMStateField *failed;
    uint32_t used;
    uint8_t buf[ROOM];
} Out;

static bool enabled;

void ft_vmstate_write_enable(bool on)
{
    enabled = on;
    if (on) {
        ft_array_begin();
    } else {
        ft_array_end();
    }
}

static void flush(Out *o)
{
    if (o->used) {
        qemu_put_buffer(o->f, o->buf, o->used);
        o->used = 0;
    }
}

/* For @n bytes, at most ROOM */
static inline uint8_t *take(Out *o, uint32_t n)
{
    if (unlikely(o->used + n > ROOM)) {
        flush(o);
    }
    o->used += n;
    return o->buf + o->used - n;
}

static void put_bytes(Out *o, const uint8_t *p, size_t n)
{
    if (n <= CHUNK) {
        memcpy(take(o, n), p, n);
    } else {
        flush(o);
        qemu_put_buffer(o->f, p, n);
    }
}

static void put_zeros(Out *o, uint32_t n)
{
    while (n) {
        uint32_t some = MIN(n, CHUNK);

        memset(take(o, some), 0, some);
        n -= some;
    }
}

static void put_ints(Out *o, FtOpKind kind, const uint8_t *p, uint32_t n)
{
    const uint32_t width = ft_op_width(kind);

    while (n) {
        uint32_t some = MIN(n, CHUNK);

        ft_put_ints(take(o, some * width), width, p, width, some, kind);
        n -= some;
        p += some * width;
    }
}

static void put_timer(Out *o, QEMUTimer *timer)
{
    stq_be_p(take(o, 8), timer_expire_time_ns(timer));
}

static int run(Out *o, const FtPlan *plan, uint8_t *mem);

/* Where the elements of a field begin */
static uint8_t *first_element(const FtOp *op, uint8_t *mem, int n, int size)
{
    uint8_t *first = mem + op->offset;

    if (op->field->flags & VMS_POINTER) {
        first = *(void **)first;
        assert(first || !n || !size);
    }
    return first;
}

static void put_array(Out *o, const FtOp *op, uint8_t *mem)
{
    const FtPlan *plan = op->plan;
    int n = ft_plan_elems(mem + op->base, op->field);
    size_t stride = op->field->size;
    uint8_t *elems = first_element(op, mem, n, stride);
    const uint8_t *wire;

    if (n <= 0 || !plan->bytes) {
        return;
    }
    /* Of what is found by a pointer the stride is that of the pointer */
    if (plan->bytes == stride && plan->n_ops == 1 &&
        plan->ops[0].kind == FT_OP_BYTES && plan->ops[0].offset == 0) {
        put_bytes(o, elems, n * stride);
        return;
    }
    wire = ft_array_kept(op->field, elems, stride, n, plan);
    if (wire) {
        flush(o);
        /* Copied when the file is flushed, which whoever saves does next */
        qemu_put_buffer_async(o->f, wire, n * plan->bytes, false);
    } else if (n * plan->bytes <= ROOM) {
        ft_array_encode(take(o, n * plan->bytes), elems, stride, n, plan);
    } else {
        g_autofree uint8_t *whole = g_malloc(n * plan->bytes);

        ft_array_encode(whole, elems, stride, n, plan);
        put_bytes(o, whole, n * plan->bytes);
    }
}

static int put_element(Out *o, const FtOp *op, uint8_t *elem, int size)
{
    const VMStateField *field = op->field;

    if (op->kind == FT_OP_STRUCTS) {
        return run(o, op->plan, elem);
    }
    flush(o);
    if (op->kind == FT_OP_PUT) {
        return field->info->put(o->f, elem, size, field, NULL);
    }
    if (field->flags & VMS_STRUCT) {
        return SAVE_STRUCT(o->f, field->vmsd, elem);
    }
    return vmstate_save_state_v(o->f, field->vmsd, elem, NULL,
                                field->struct_version_id, NULL);
}

/* As upstream's loop does */
static int put_each(Out *o, const FtOp *op, uint8_t *mem)
{
    const VMStateField *field = op->field;
    int n = ft_plan_elems(mem + op->base, field);
    int size = ft_plan_size(mem + op->base, field);
    uint8_t *first = first_element(op, mem, n, size);
    int ret = 0;

    for (int i = 0; i < n && !ret; i++) {
        uint8_t *elem = first + size * i;

        if (field->flags & VMS_ARRAY_OF_POINTER) {
            elem = *(void **)elem;
            if (!elem && size) {
                *take(o, 1) = VMS_NULLPTR_MARKER;
                continue;
            }
        }
        ret = put_element(o, op, elem, size);
    }
    return ret;
}

/* As vmstate_info_tmp does */
static int put_temporary(Out *o, const FtOp *op, uint8_t *parent)
{
    const VMStateDescription *vmsd = op->field->vmsd;
    g_autofree void *tmp = g_malloc(op->field->size);
    int ret;

    *(void **)tmp = parent;
    ret = vmsd->pre_save ? vmsd->pre_save(tmp) : 0;
    return ret ?: run(o, op->plan, tmp);
}

static bool exists(const FtOp *op, uint8_t *mem)
{
    const VMStateField *field = op->field;

    if (field->field_exists(mem + op->base, op->version)) {
        return true;
    }
    if (field->flags & VMS_MUST_EXIST) {
        /* The same end as upstream's */
        error_report("Output state validation failed: %s", field->name);
        abort();
    }
    return false;
}

/* Write what @plan says of the structure at @mem */
static int run(Out *o, const FtPlan *plan, uint8_t *mem)
{
    const FtOp *end = plan->ops + plan->n_ops;
    int ret = 0;

    for (const FtOp *op = plan->ops; op < end; op++) {
        uint8_t *p = mem + op->offset;

        switch (op->kind) {
        case FT_OP_BYTES:
            put_bytes(o, p, op->n);
            break;
        case FT_OP_INT16:
        case FT_OP_INT32:
        case FT_OP_INT64:
            put_ints(o, op->kind, p, op->n);
            break;
        case FT_OP_ZERO:
            put_zeros(o, op->n);
            break;
        case FT_OP_IF:
            op += exists(op, mem) ? 0 : op->n;
            break;
        case FT_OP_TIMER:
            put_timer(o, (QEMUTimer *)p);
            break;
        case FT_OP_TIMER_POINTER:
            put_timer(o, *(QEMUTimer **)p);
            break;
        case FT_OP_ARRAY:
            put_array(o, op, mem);
            break;
        case FT_OP_TEMPORARY:
            ret = put_temporary(o, op, p);
            break;
        case FT_OP_STRUCTS:
        case FT_OP_SAVE:
        case FT_OP_PUT:
            ret = put_each(o, op, mem);
            break;
        }
        if (unlikely(ret)) {
            o->failed = o->failed ?: op->field;
            return ret;
        }
    }
    return 0;
}

static int failed_with;         /* for the loop that is about to call this */

static int put_failed(QEMUFile *f, void *pv, size_t size,
                      const VMStateField *field, JSONWriter *vmdesc)
{
    return failed_with;
}

/* What lets upstream's loop fail at @field, with its own message and hooks */
static const VMStateField *failing(const VMStateField *field, int ret)
{
    static const VMStateInfo info = { .name = "failed", .put = put_failed };
    static VMStateField fields[2];

    failed_with = ret;
    fields[0] = (VMStateField) {
        .name = field->name, .size = 1, .info = &info, .flags = VMS_SINGLE,
    };
    fields[1] = (VMStateField) VMSTATE_END_OF_LIST();
    return fields;
}

/*
 * A function of its own, whose buffer is not cleared: QEMU is compiled with
 * -ftrivial-auto-var-init=zero, and every save of every kind passes the hook
 */
G_NO_INLINE
static const VMStateField *write_fields(QEMUFile *f, const FtPlan *plan,
                                        void *opaque)
{
    static const VMStateField nothing_left = VMSTATE_END_OF_LIST();
    UNINITIALIZED Out o;
    int ret;

    o.f = f;
    o.used = 0;
    o.failed = NULL;
    ret = run(&o, plan, opaque);
    flush(&o);
    return ret ? failing(o.failed, ret) : &nothing_left;
}

const VMStateField *ft_vmstate_write(QEMUFile *f,
                                     const VMStateDescription *vmsd,
                                     void *opaque, JSONWriter *vmdesc,
                                     int version_id)
{
    const FtPlan *plan = NULL;

    if (unlikely(enabled) && !vmdesc) {
        plan = ft_plan_find(vmsd->fields, version_id);
    }
    return plan ? write_fields(f, plan, opaque) : vmsd->fields;
}
