/*
 * QEMU-FT: tests of long arrays in device state
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is kept of an array from one save to the next must never show.
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "migration/vmstate.h"
#include "migration/qemu-file.h"
#include "migration/ft/ft.h"
#include "migration/ft/vmstate-write.h"
#include "vmstate-save.h"

/* In migration/savevm.c, which is not linked */
const VMStateInfo vmstate_info_timer = { .name = "timer" };

#define SLOTS 100               /* no multiple of what is compared at once */

typedef struct Slot {
    uint16_t num;
    bool enabled;
    uint64_t addr;
    uint32_t pair[2];
} Slot;

/* Too large to be kept as they are */
typedef struct Wide {
    uint8_t not_saved[90];
    uint32_t first;
    uint64_t addr;
    uint8_t nor_this[50];
} Wide;

typedef struct Queues {
    Slot *slots;
    uint32_t count;
    uint32_t ints[SLOTS];
    uint64_t words[SLOTS];
    Wide wide[SLOTS];
} Queues;

static const VMStateDescription vmstate_wide = {
    .name = "wide",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(addr, Wide),
        VMSTATE_UINT32(first, Wide),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_slot = {
    .name = "slot",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT16(num, Slot),
        VMSTATE_UNUSED(1),
        VMSTATE_BOOL(enabled, Slot),
        VMSTATE_UINT64(addr, Slot),
        VMSTATE_UINT32_ARRAY(pair, Slot, 2),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateField slots_fields[] = {
    VMSTATE_STRUCT_VARRAY_POINTER_UINT32(slots, Queues, count, vmstate_slot,
                                         Slot),
    VMSTATE_END_OF_LIST()
};

static const VMStateDescription vmstate_queues = {
    .name = "queues",
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_STRUCT_VARRAY_POINTER_UINT32(slots, Queues, count,
                                             vmstate_slot, Slot),
        VMSTATE_UINT32_ARRAY(ints, Queues, SLOTS),
        VMSTATE_UINT64_ARRAY(words, Queues, SLOTS),
        VMSTATE_STRUCT_ARRAY(wide, Queues, SLOTS, 1, vmstate_wide, Wide),
        VMSTATE_END_OF_LIST()
    },
};

static void same_queues(Queues *q)
{
    g_autoptr(GByteArray) upstream = vmstate_save_as(&vmstate_queues, q, 1, false);
    g_autoptr(GByteArray) ours = vmstate_save_as(&vmstate_queues, q, 1, true);

    g_assert_cmpmem(ours->data, ours->len, upstream->data, upstream->len);
}

/* Each element in turn changes, and sometimes nothing does */
static void test_kept_changes(void)
{
    Queues q = { .slots = g_new0(Slot, SLOTS), .count = SLOTS };
    uint8_t *p = (uint8_t *)q.slots;

    same_queues(&q);
    same_queues(&q);
    for (int i = 0; i < SLOTS; i++) {
        q.slots[i].enabled = true;
        same_queues(&q);
        q.ints[i] = i + 0x01020304;
        q.words[SLOTS - 1 - i] = ~0ULL - i;
        q.wide[i].first = i * 3;
        q.wide[SLOTS - 1 - i].addr = 0x0102030405060708 + i;
        same_queues(&q);
        q.slots[i].pair[1] = ~i;
        q.slots[SLOTS - 1 - i].addr++;
        same_queues(&q);
    }
    /* Every byte of an element on both sides of a border, padding included */
    for (size_t i = 31 * sizeof(Slot); i < 33 * sizeof(Slot); i++) {
        if (i % sizeof(Slot) != offsetof(Slot, enabled)) {
            p[i] ^= 0x80;
            same_queues(&q);
        }
    }
    g_free(q.slots);
}

static int change_slots(void *opaque)
{
    Queues *q = opaque;

    q->slots[SLOTS / 2].addr++;
    q->slots[0].num++;
    return 0;
}

static const VMStateDescription vmstate_again = {
    .name = "queues/again",
    .version_id = 1,
    .pre_save = change_slots,
    .fields = slots_fields,
};

static const VMStateDescription vmstate_twice = {
    .name = "queues",
    .version_id = 1,
    .fields = slots_fields,
    .subsections = (const VMStateDescription * const []) {
        &vmstate_again,
        NULL
    },
};

/* The same array twice in one save, with a change in between */
static void test_kept_twice(void)
{
    Queues q = { .slots = g_new0(Slot, SLOTS), .count = SLOTS };

    for (int i = 0; i < 3; i++) {
        g_autoptr(GByteArray) upstream = vmstate_save_as(&vmstate_twice, &q, 1, false);
        g_autoptr(GByteArray) ours = NULL;

        q.slots[SLOTS / 2].addr--;
        q.slots[0].num--;
        ours = vmstate_save_as(&vmstate_twice, &q, 1, true);
        g_assert_cmpmem(ours->data, ours->len, upstream->data,
                        upstream->len);
    }
    g_free(q.slots);
}

/* Another array at the same place, a shorter one, and one that comes back */
static void test_kept_replaced(void)
{
    Queues q = { .slots = g_new0(Slot, SLOTS), .count = SLOTS };
    Slot *first = q.slots, *second = g_new0(Slot, SLOTS);

    for (int i = 0; i < SLOTS; i++) {
        second[i] = (Slot) { .num = i, .addr = i * 3ULL, .pair = { i, ~i } };
    }
    same_queues(&q);
    for (q.count = 0; q.count <= SLOTS; q.count++) {
        same_queues(&q);
    }
    q.count = SLOTS;
    q.slots = second;
    same_queues(&q);
    memcpy(second, first, SLOTS * sizeof(Slot));
    same_queues(&q);
    memset(first, 0x01, SLOTS * sizeof(Slot));
    q.slots = first;
    same_queues(&q);
    g_free(first);
    g_free(second);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    module_call_init(MODULE_INIT_QOM);
    g_test_add_func("/ft/vmstate-array/changes", test_kept_changes);
    g_test_add_func("/ft/vmstate-array/replaced", test_kept_replaced);
    g_test_add_func("/ft/vmstate-array/twice", test_kept_twice);
    return g_test_run();
}
