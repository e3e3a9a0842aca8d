/*
 * QEMU-FT: let the connection end first when this process dies
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The kernel takes a dead process apart in a fixed order: memory first, then
 * files.  For a guest of some GiB the memory takes longer than the peer's
 * whole takeover, and only then does the peer's socket tell.
 *
 * The keeper is a process that does nothing but share our address space.
 * While it lives the memory stays, so that files, and with them the
 * connection, are closed within a millisecond of our death.  One of them is
 * the pipe on which the keeper waits: it ends too, and the memory is freed.
 *
 * What it can do for somebody who has taken over this process: nothing.  It
 * has no file but its end of the pipe, and seccomp's strict mode leaves it
 * read, write and exit, whatever the sandbox or the user of QEMU is.  It
 * exists before the guest runs.
 *
 * It shares the thread-local storage of the thread that made it, so it must
 * not touch errno: it makes system calls that do not fail, and nothing else.
 */
#include "qemu/osdep.h"
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "qemu/units.h"
#include "keeper.h"

#define STACK_SIZE (16 * KiB)

static struct {
    pid_t of;                   /* whose keeper it is, 0: there is none */
    int pipe[2];
    uint8_t stack[STACK_SIZE] QEMU_ALIGNED(16);
} keeper;

static int keep(void *opaque)
{
    int fd = keeper.pipe[0];
    char none;

    syscall(SYS_prctl, PR_SET_NAME, "ft-keeper", 0, 0, 0);
    syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (fd > 0) {
        syscall(SYS_close_range, 0, fd - 1, 0);
    }
    syscall(SYS_close_range, fd + 1, ~0U, 0);
    syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0);
    syscall(SYS_read, fd, &none, 1);
    syscall(SYS_exit, 0);
    return 0;
}

void ft_keeper_start(void)
{
    sigset_t all, old;
    int pid;

    if (keeper.of == getpid()) {
        return;
    }
    if (keeper.of) {
        /* Of the process that forked us: not ours, and it dies with that */
        close(keeper.pipe[1]);
        keeper.of = 0;
    }
    if (!g_unix_open_pipe(keeper.pipe, FD_CLOEXEC, NULL)) {
        return;
    }
    /* Nothing but SIGKILL may ever make it return from read() */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid = clone(keep, keeper.stack + STACK_SIZE, CLONE_VM, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    close(keeper.pipe[0]);
    if (pid < 0) {
        close(keeper.pipe[1]);
        return;
    }
    keeper.of = getpid();
}
