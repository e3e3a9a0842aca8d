/*
 * QEMU-FT: a process that outlives this one for a moment
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The kernel takes a dead process apart in a fixed order: memory first, then
 * files.  For a guest of some GiB the memory takes longer than the peer's
 * whole takeover, and only then does the peer's socket tell.
 *
 * The keeper is a process that shares our address space.  While it lives the
 * memory stays, so that files, and with them the connection, are closed
 * within a millisecond of our death.  One of them is the socket on which the
 * keeper waits: it ends too, the keeper does a last thing if it was told to
 * (salvage.c), and the memory is freed.
 *
 * For that last thing it needs files, and ours are gone by then.  So it is
 * given copies, through that socket.  As long as it has them they are open.
 *
 * What it can do for somebody who has taken over this process: read and write
 * what he has already.  It has no file but its end of the socket and what it
 * is given, and seccomp leaves it a handful of system calls, whatever the
 * sandbox or the user of QEMU is.  It exists before the guest runs, and before
 * the sandbox, which would not allow it.
 *
 * It shares the thread-local storage of the thread that made it, so while we
 * live it must not touch errno: it makes system calls that do not fail, and
 * nothing else.  Signals do not reach it, except SIGKILL.
 */
#include "qemu/osdep.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "qemu/atomic.h"
#include "qemu/sockets.h"
#include "qemu/units.h"
#include "keeper.h"

#define STACK_SIZE (64 * KiB)
#define CONTROL_SIZE CMSG_SPACE(FT_KEEPER_MAX_FILES * sizeof(int))

static struct {
    pid_t of;                   /* whose keeper it is, 0: there is none */
    int sock[2];                /* ours, the keeper's */
    bool able;                  /* it takes files */
    void (*act)(const int *fds);    /* atomic; NULL: nothing */
    uint8_t stack[STACK_SIZE] QEMU_ALIGNED(16);

    /* The keeper's alone */
    int fds[FT_KEEPER_MAX_FILES];
    int n;
    uint8_t control[CONTROL_SIZE] QEMU_ALIGNED(16);
} keeper;

#ifdef __x86_64__
static const int allowed[] = {
    SYS_recvmsg, SYS_read, SYS_write, SYS_close, SYS_ppoll, SYS_exit,
    SYS_clock_gettime,          /* where it is a system call */
};

static struct sock_filter filter[5 + 2 * ARRAY_SIZE(allowed)];
static struct sock_fprog program = { ARRAY_SIZE(filter), filter };

/* Strict mode, with what is needed to take files and use them */
static void make_filter(void)
{
    struct sock_filter *f = filter;

    *f++ = (struct sock_filter)
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    *f++ = (struct sock_filter)
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    *f++ = (struct sock_filter)
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    *f++ = (struct sock_filter)
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < ARRAY_SIZE(allowed); i++) {
        *f++ = (struct sock_filter)
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], 0, 1);
        *f++ = (struct sock_filter)
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    *f++ = (struct sock_filter)
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    assert(f == filter + ARRAY_SIZE(filter));
}

/* False: the kernel has no filters */
static bool confine(void)
{
    return !syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
           !syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
#else
static void make_filter(void)
{
}

static bool confine(void)
{
    return false;
}
#endif

static void close_files(void)
{
    while (keeper.n) {
        syscall(SYS_close, keeper.fds[--keeper.n]);
    }
}

/* False: we are dead */
static bool take_files(void)
{
    char byte;
    struct iovec iov = { &byte, 1 };
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = keeper.control,
        .msg_controllen = CONTROL_SIZE,
    };
    struct cmsghdr *c;

    if (syscall(SYS_recvmsg, keeper.sock[1], &msg, 0) != 1) {
        return false;
    }
    close_files();
    c = CMSG_FIRSTHDR(&msg);
    if (c && c->cmsg_type == SCM_RIGHTS) {
        keeper.n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(keeper.fds, CMSG_DATA(c), keeper.n * sizeof(int));
    }
    return true;
}

static int keep(void *opaque)
{
    void (*act)(const int *fds);
    int fd = keeper.sock[1];
    char none;

    syscall(SYS_prctl, PR_SET_NAME, "ft-keeper", 0, 0, 0);
    syscall(SYS_close_range, 0, fd - 1, 0);
    syscall(SYS_close_range, fd + 1, ~0U, 0);
    if (confine()) {
        qatomic_set(&keeper.able, true);
        while (take_files()) {
            continue;
        }
        act = qatomic_read(&keeper.act);
        if (act && keeper.n) {
            act(keeper.fds);
        }
        /* It is the last one that has the memory, which goes first */
        close_files();
    } else {
        syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0);
        syscall(SYS_read, fd, &none, 1);
    }
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
        /* Of the process that forked us; its files end when we close this */
        close(keeper.sock[0]);
        keeper.of = 0;
    }
    keeper.able = false;
    make_filter();
    if (qemu_socketpair(AF_UNIX, SOCK_SEQPACKET, 0, keeper.sock) < 0) {
        return;
    }
    /* Nothing but SIGKILL may ever make it return from recvmsg() */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid = clone(keep, keeper.stack + STACK_SIZE, CLONE_VM, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    close(keeper.sock[1]);
    if (pid < 0) {
        close(keeper.sock[0]);
        return;
    }
    keeper.of = getpid();
}

/* Without any file: those it has are to be closed */
static bool send_files(const int *fds, int n)
{
    static uint8_t control[CONTROL_SIZE] QEMU_ALIGNED(16);
    char byte = 0;
    struct iovec iov = { &byte, 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    struct cmsghdr *c;

    if (n) {
        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    }
    return sendmsg(keeper.sock[0], &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

bool ft_keeper_give(const int *fds, int n, void (*act)(const int *fds))
{
    assert(n > 0 && n <= FT_KEEPER_MAX_FILES);
    if (keeper.of != getpid() || !qatomic_read(&keeper.able) ||
        !send_files(fds, n)) {
        return false;
    }
    qatomic_set(&keeper.act, act);
    return true;
}

void ft_keeper_take_back(void)
{
    if (qatomic_read(&keeper.act)) {
        qatomic_set(&keeper.act, NULL);
        send_files(NULL, 0);
    }
}
