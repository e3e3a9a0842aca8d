/*
 * QEMU-FT: who may act
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_ARBITER_H
#define MIGRATION_FT_ARBITER_H

typedef enum FtClaim {
    FT_CLAIM_GO_ON_ALONE,       /* a primary that has lost its peer */
    FT_CLAIM_TAKE_OVER,         /* a secondary that has lost its primary */
} FtClaim;

/**
 * ft_may_act: may this copy act for the guest from now on?
 *
 * The one place that decides; an arbiter that both sides can ask belongs
 * here.  @generation is the number the claimant wants to act under.  Main
 * loop, BQL held.  False with @errp set: this copy must not act.
 */
bool ft_may_act(FtClaim claim, uint64_t generation, Error **errp);

#endif
