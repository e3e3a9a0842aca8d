/*
 * QEMU-FT: going on with the committed state
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_TAKEOVER_H
#define MIGRATION_FT_TAKEOVER_H

#include "qapi/qapi-types-ft.h"
#include "carried.h"
#include "intake.h"

/*
 * The device state is loaded and the guest about to run; or with @error it
 * cannot be, and this process is about to end
 */
typedef void FtTakeoverLoaded(void *opaque, const char *error);

/**
 * ft_takeover: become the guest
 *
 * @in: a committed epoch; no thread touches it any more
 * @detect_ns: from the last sign of life to the decision
 * @state_loaded: may be NULL
 *
 * Main loop, top level, BQL held.  Does not return when the state cannot be
 * loaded: a process in between is of no use to anybody.
 */
void ft_takeover(FtIntake *in, FtTakeoverCause cause, int64_t detect_ns,
                 FtTakeoverLoaded *state_loaded, void *opaque);

/**
 * ft_takeover_deliver: what died with the primary but is known here
 *
 * Behind ft_takeover(): the guest runs, and neither it nor anybody else has
 * said a word since.
 */
void ft_takeover_deliver(FtCarried *carried);

/** ft_takeover_switched_lately: the old primary may get ready to be a peer */
bool ft_takeover_switched_lately(void);

/** ft_committed_guest_is_off: the committed state is a switched-off guest */
bool ft_committed_guest_is_off(const FtIntake *in);

#endif
