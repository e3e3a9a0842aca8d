/*
 * QEMU-FT: what has to be the same on both sides
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The secondary loads the device state only when it takes over: too late
 * to find out that it does not fit, and another VM of the same build must
 * not have its disks overwritten.  So the handshake compares everything
 * the load depends on, device by device, and says what differs.
 */
#include "qemu/osdep.h"
#include "qemu-version.h"
#include "qemu/accel.h"
#include "qemu/uuid.h"
#include "qapi/error.h"
#include "qapi/qapi-visit-ft.h"
#include "qapi/qobject-input-visitor.h"
#include "qapi/qobject-output-visitor.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qobject.h"
#include "hw/core/cpu.h"
#include "migration/vmstate.h"
#include "system/system.h"
#include "arbiter.h"
#include "compat.h"
#include "machine.h"
#include "options.h"
#include "version.h"

#define FLAG_READONLY 1u
#define FLAG_RESIZABLE 2u

static int collect_device(Object *obj, void *opaque)
{
    GPtrArray *devices = opaque;
    DeviceState *dev = (DeviceState *)object_dynamic_cast(obj, TYPE_DEVICE);
    const VMStateDescription *vmsd;
    FtDeviceId *id;

    if (!dev || !dev->realized) {
        return 0;
    }
    vmsd = qdev_get_vmsd(dev);
    id = g_new0(FtDeviceId, 1);
    id->path = object_get_canonical_path(obj);
    id->address = qdev_get_dev_path(dev) ?: g_strdup("");
    id->type = g_strdup(object_get_typename(obj));
    id->version = vmsd ? vmsd->version_id : 0;
    id->minimum = vmsd ? vmsd->minimum_version_id : 0;
    g_ptr_array_add(devices, id);
    return 0;
}

static int compare_path(gconstpointer a, gconstpointer b)
{
    const FtDeviceId *x = *(FtDeviceId *const *)a;
    const FtDeviceId *y = *(FtDeviceId *const *)b;

    return strcmp(x->path, y->path);
}

static FtDeviceIdList *list_devices(void)
{
    g_autoptr(GPtrArray) devices = g_ptr_array_new();
    FtDeviceIdList *list = NULL, **tail = &list;

    object_child_foreach_recursive(qdev_get_machine(), collect_device,
                                   devices);
    g_ptr_array_sort(devices, compare_path);
    for (guint i = 0; i < devices->len; i++) {
        QAPI_LIST_APPEND(tail, g_ptr_array_index(devices, i));
    }
    return list;
}

static FtRamBlockList *list_ram(const FtRam *ram)
{
    FtRamBlockList *list = NULL, **tail = &list;

    for (uint32_t i = 0; i < ram->n; i++) {
        const FtBlock *b = &ram->blocks[i];
        FtRamBlock *rb = g_new0(FtRamBlock, 1);

        rb->name = g_strdup(b->name);
        rb->used = b->used;
        rb->max = b->max;
        rb->flags = (b->readonly ? FLAG_READONLY : 0) |
                    (b->used != b->max ? FLAG_RESIZABLE : 0);
        QAPI_LIST_APPEND(tail, rb);
    }
    return list;
}

static FtMachine *describe(const FtRam *ram, const FtDisks *disks,
                           uint64_t generation)
{
    FtMachine *m = g_new0(FtMachine, 1);

    m->ft_version = g_strdup(ft_version);
    m->qemu = g_strdup(QEMU_FULL_VERSION);
    m->uuid = qemu_uuid_unparse_strdup(&qemu_uuid);
    m->machine = g_strdup(MACHINE_GET_CLASS(current_machine)->name);
    m->accelerator = g_strdup(current_accel_name());
    m->cpus = current_machine->smp.cpus;
    m->cpu_model = g_strdup(first_cpu ?
                            object_get_typename(OBJECT(first_cpu)) : "none");
    m->page_size = ram->page_size;
    m->ram = list_ram(ram);
    m->devices = list_devices();
    m->disks = ft_disks_describe(disks);
    m->shared = ft_opts.shared;
    m->generation = generation;
    m->timeout = ft_opts.timeout_ms;
    m->arbiter = g_strdup(ft_arbiter_name());
    m->listen = g_strdup(ft_opts.listen_at.text);
    return m;
}

static QObject *to_qobject(FtMachine *m)
{
    QObject *obj = NULL;
    Visitor *v = qobject_output_visitor_new(&obj);

    visit_type_FtMachine(v, NULL, &m, &error_abort);
    visit_complete(v, &obj);
    visit_free(v);
    return obj;
}

char *ft_machine_describe(const FtRam *ram, const FtDisks *disks,
                          uint64_t generation)
{
    g_autoptr(FtMachine) m = describe(ram, disks, generation);
    QObject *obj = to_qobject(m);
    GString *json = qobject_to_json(obj);

    qobject_unref(obj);
    return g_string_free(json, false);
}

/* A newer patch level may say more than this one knows of */
static void drop_unknown(QObject *obj, FtMachine *here)
{
    QDict *theirs = qobject_to(QDict, obj), *ours;
    const QDictEntry *e, *next;
    QObject *known;

    if (!theirs) {
        return;
    }
    g_free(here->listen);
    here->listen = g_strdup("");
    known = to_qobject(here);
    ours = qobject_to(QDict, known);
    for (e = qdict_first(theirs); e; e = next) {
        next = qdict_next(theirs, e);
        if (!qdict_haskey(ours, qdict_entry_key(e))) {
            qdict_del(theirs, qdict_entry_key(e));
        }
    }
    qobject_unref(known);
}

/* "10.0" of "10.0.8 (Debian ...)" */
static size_t series_length(const char *version)
{
    size_t n = strspn(version, "0123456789");

    return version[n] == '.' ? n + 1 + strspn(version + n + 1, "0123456789") :
           n;
}

static bool same_series(const FtMachine *here, const FtMachine *there,
                        Error **errp)
{
    size_t n = series_length(here->qemu);

    if (n == series_length(there->qemu) &&
        !strncmp(here->qemu, there->qemu, n)) {
        return true;
    }
    error_setg(errp, "the QEMU version differs: %s with QEMU-FT %s on the "
               "secondary, %.200s with QEMU-FT %.200s on the primary; their "
               "series (%.*s) has to be the same", here->qemu,
               here->ft_version, there->qemu, there->ft_version, (int)n,
               here->qemu);
    return false;
}

static bool same_text(const char *what, const char *here, const char *there,
                      Error **errp)
{
    if (g_str_equal(here, there)) {
        return true;
    }
    error_setg(errp, "%s differs: %s on the secondary, %.200s on the primary",
               what, here, there);
    return false;
}

static bool same_number(const char *what, uint64_t here, uint64_t there,
                        Error **errp)
{
    if (here == there) {
        return true;
    }
    error_setg(errp, "%s differs: %" PRIu64 " on the secondary, %" PRIu64
               " on the primary", what, here, there);
    return false;
}

static bool same_ram(FtRamBlockList *here, FtRamBlockList *there,
                     Error **errp)
{
    for (; here && there; here = here->next, there = there->next) {
        FtRamBlock *a = here->value, *b = there->value;
        g_autofree char *max = g_strdup_printf("the size of RAM block %s",
                                               a->name);
        g_autofree char *flags = g_strdup_printf("the kind of RAM block %s",
                                                 a->name);

        /* Used lengths may differ: they come with each epoch */
        if (!same_text("the RAM layout (-m, -numa, -object memory-backend)",
                       a->name, b->name, errp) ||
            !same_number(max, a->max, b->max, errp) ||
            !same_number(flags, a->flags & FLAG_READONLY,
                         b->flags & FLAG_READONLY, errp)) {
            return false;
        }
    }
    if (here || there) {
        error_setg(errp, "the RAM layout differs: block %.200s exists only on "
                   "the %s", (here ?: there)->value->name,
                   here ? "secondary" : "primary");
        return false;
    }
    return true;
}

/*
 * A state is loaded by the version that wrote it, or by a newer one that
 * knows it still
 */
static bool same_device(FtDeviceId *a, FtDeviceId *b, Error **errp)
{
    if (!g_str_equal(a->type, b->type) || a->version < b->version ||
        a->minimum > b->version) {
        error_setg(errp, "the device at %s differs: %s version %d on the "
                   "secondary, %.200s version %d on the primary",
                   a->path, a->type, a->version, b->type, b->version);
        return false;
    }
    if (!g_str_equal(a->address, b->address)) {
        error_setg(errp, "the slot of %s (%s) differs: %s on the secondary, "
                   "%.200s on the primary; give both the same addr=",
                   a->path, a->type, a->address, b->address);
        return false;
    }
    return true;
}

static bool same_devices(FtDeviceIdList *here, FtDeviceIdList *there,
                         Error **errp)
{
    int order = 0;

    for (; here && there; here = here->next, there = there->next) {
        order = strcmp(here->value->path, there->value->path);
        if (order) {
            break;
        }
        if (!same_device(here->value, there->value, errp)) {
            return false;
        }
    }
    if (here && (!there || order < 0)) {
        error_setg(errp, "the devices differ: the secondary has a %s at %s, "
                   "which the primary does not have",
                   here->value->type, here->value->path);
        return false;
    }
    if (there) {
        error_setg(errp, "the devices differ: the primary has a %.200s at "
                   "%.200s, which the secondary does not have",
                   there->value->type, there->value->path);
        return false;
    }
    return true;
}

bool ft_machine_matches(const char *json, const FtRam *ram,
                        const FtDisks *disks, uint64_t *used,
                        FtTerms *terms, Error **errp)
{
    g_autoptr(FtMachine) here = describe(ram, disks, 0);
    g_autoptr(FtMachine) there = NULL;
    QObject *obj = qobject_from_json(json, NULL);
    Visitor *v;

    if (!obj) {
        error_setg(errp, "the primary's description of its machine is not "
                   "valid JSON");
        return false;
    }
    drop_unknown(obj, here);
    v = qobject_input_visitor_new(obj);
    visit_type_FtMachine(v, NULL, &there, NULL);
    visit_free(v);
    qobject_unref(obj);
    if (!there) {
        error_setg(errp, "the primary's description of its machine is not "
                   "complete");
        return false;
    }
    terms->generation = there->generation;
    terms->timeout_ms = CLAMP(there->timeout, FT_TIMEOUT_MIN_MS,
                              FT_TIMEOUT_MAX_MS);
    if (!same_series(here, there, errp) ||
        !same_text("the VM (-uuid)", here->uuid, there->uuid, errp) ||
        !same_text("the machine type (-machine)", here->machine,
                   there->machine, errp) ||
        !same_text("the accelerator (-accel)", here->accelerator,
                   there->accelerator, errp) ||
        !same_number("the number of vCPUs (-smp)", here->cpus, there->cpus,
                     errp) ||
        !same_text("the CPU model (-cpu)", here->cpu_model,
                   there->cpu_model, errp) ||
        !same_number("the page size", here->page_size, there->page_size,
                     errp) ||
        !same_devices(here->devices, there->devices, errp) ||
        !same_ram(here->ram, there->ram, errp) ||
        !same_text("the arbiter's record (key arbiter)",
                   *here->arbiter ? here->arbiter : "none",
                   *there->arbiter ? there->arbiter : "none", errp) ||
        !same_text("the key shared", here->shared ? "on" : "off",
                   there->shared ? "on" : "off", errp) ||
        !ft_disks_match(here->disks, there->disks, here->shared, errp)) {
        return false;
    }
    for (FtRamBlockList *l = there->ram; l; l = l->next) {
        *used++ = l->value->used;
    }
    terms->listen = g_strdup(there->listen);
    return true;
}
