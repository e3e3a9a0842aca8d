/*
 * QEMU-FT: making stores go through the emulator's slow path again
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_TLB_H
#define MIGRATION_FT_TLB_H

#include "hot.h"

/**
 * ft_tlb_clean: let the next store to any page but the hot ones be noticed
 *
 * @hot: pages whose stores need not be, since they stay dirty; or NULL
 *
 * TCG only; BQL held, no vCPU running.
 */
void ft_tlb_clean(const FtRam *ram, const FtHot *hot);

#endif
