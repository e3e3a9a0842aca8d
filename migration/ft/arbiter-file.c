/*
 * QEMU-FT: the arbiter's record in a file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For two QEMUs that see the same files: on one host, or on a shared file
 * system whose locks reach both hosts (NFS version 4 and cluster file systems
 * do).  A lock on FILE.lock, never on FILE itself, which is replaced: read,
 * compare, write FILE.new, fsync, rename, fsync of the directory.  The lock
 * belongs to the open file and goes with the process; FILE.lock stays.
 *
 * Asking for the lock does not wait in the kernel, so that a call ends in
 * time when another host has stopped while it had the lock.  Reading and
 * writing cannot be bounded: a hard NFS mount whose server is away blocks.
 *
 * A path that is a directory gets a file for each VM.  What it is is decided
 * once, at the first use: a file system that goes away leaves its mount
 * point, and its records must not be looked for one level higher.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "arbiter-backend.h"

#define LOCK_POLL_US 2000

typedef struct FtFile {
    FtStore store;
    char *given;                /* by the user */
    char *path;                 /* of the record, NULL: not decided */
    char *dir;
    bool used;                  /* it was there, and cannot change any more */
    int lock;                   /* -1: not locked */
} FtFile;

static FtFile *file_of(FtStore *s)
{
    return container_of(s, FtFile, store);
}

/* Where is the record?  Not at start: that must not wait for a server. */
static bool decide_path(FtFile *f, Error **errp)
{
    bool slash = g_str_has_suffix(f->given, "/");
    bool is_dir = slash;
    struct stat st;

    if (f->path) {
        return true;
    }
    if (stat(f->given, &st) == 0) {
        is_dir |= S_ISDIR(st.st_mode);
    } else if (errno != ENOENT) {
        error_setg_errno(errp, errno, "arbiter: cannot look at %s", f->given);
        return false;
    }
    f->path = is_dir ? g_strdup_printf("%s%s%s.seat", f->given,
                                       slash ? "" : "/", f->store.vm) :
                       g_strdup(f->given);
    f->dir = g_path_get_dirname(f->path);
    g_free(f->store.name);
    f->store.name = g_strdup_printf("file %s", f->path);
    return true;
}

static bool file_begin(FtStore *s, int64_t deadline, Error **errp)
{
    FtFile *f = file_of(s);
    g_autofree char *name = NULL;
    int ret;

    if (!decide_path(f, errp)) {
        return false;
    }
    name = g_strconcat(f->path, ".lock", NULL);
    f->lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0660);
    if (f->lock < 0 && errno == ENOENT) {
        error_setg(errp, "arbiter: there is no directory %s; make or mount "
                   "it", f->dir);
        if (!f->used) {
            /* It may come, and be something else then */
            g_clear_pointer(&f->path, g_free);
            g_clear_pointer(&f->dir, g_free);
        }
        return false;
    }
    if (f->lock < 0) {
        error_setg_errno(errp, errno, "arbiter: cannot open %s", name);
        return false;
    }
    for (;;) {
        ret = qemu_lock_fd(f->lock, 0, 0, true);
        if (!ret) {
            f->used = true;
            return true;
        }
        if ((ret != -EAGAIN && ret != -EACCES) ||
            g_get_monotonic_time() >= deadline) {
            break;
        }
        g_usleep(LOCK_POLL_US);
    }
    error_setg_errno(errp, -ret, "arbiter: cannot lock %s", name);
    close(f->lock);
    f->lock = -1;
    return false;
}

static void file_end(FtStore *s)
{
    FtFile *f = file_of(s);

    close(f->lock);
    f->lock = -1;
}

static bool file_load(FtStore *s, FtRecord *record, int64_t deadline,
                      Error **errp)
{
    FtFile *f = file_of(s);
    g_autofree char *text = g_malloc0(FT_RECORD_MAX + 1);
    ssize_t got;
    int fd;

    fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        ft_record_set(record, NULL, 0);
        return true;
    }
    if (fd < 0) {
        error_setg_errno(errp, errno, "arbiter: cannot open %s", f->path);
        return false;
    }
    /* A regular file: short only at its end */
    got = RETRY_ON_EINTR(read(fd, text, FT_RECORD_MAX + 1));
    if (got < 0) {
        error_setg_errno(errp, errno, "arbiter: cannot read %s", f->path);
        close(fd);
        return false;
    }
    close(fd);
    if (got > FT_RECORD_MAX || strlen(text) != got) {
        error_setg(errp, "%s is too big for the record or binary; it is left "
                   "alone, look at it and remove it", f->path);
        return false;
    }
    ft_record_set(record, g_steal_pointer(&text), 0);
    return true;
}

static bool write_synced(const char *name, const char *text, Error **errp)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0660);
    size_t len = strlen(text);

    if (fd < 0) {
        error_setg_errno(errp, errno, "arbiter: cannot write %s", name);
        return false;
    }
    if (qemu_write_full(fd, text, len) != len || fsync(fd) < 0) {
        error_setg_errno(errp, errno, "arbiter: cannot write %s", name);
        close(fd);
        return false;
    }
    /* NFS has errors left for the end */
    if (close(fd) < 0) {
        error_setg_errno(errp, errno, "arbiter: cannot write %s", name);
        return false;
    }
    return true;
}

static bool sync_dir(const char *dir, Error **errp)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && !fsync(fd);

    if (!ok) {
        error_setg_errno(errp, errno, "arbiter: cannot sync %s", dir);
    }
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/* The lock is held, so @record is what is there */
static FtStoreResult file_save(FtStore *s, FtRecord *record, const char *text,
                               int64_t deadline, Error **errp)
{
    FtFile *f = file_of(s);
    g_autofree char *name = g_strconcat(f->path, ".new", NULL);

    if (!write_synced(name, text, errp)) {
        return FT_STORE_UNREACHABLE;
    }
    if (rename(name, f->path) < 0) {
        error_setg_errno(errp, errno, "arbiter: cannot replace %s", f->path);
        return FT_STORE_UNREACHABLE;
    }
    if (!sync_dir(f->dir, errp)) {
        return FT_STORE_UNREACHABLE;
    }
    ft_record_set(record, g_strdup(text), 0);
    return FT_STORE_OK;
}

static void file_free(FtStore *s)
{
    FtFile *f = file_of(s);

    g_free(f->given);
    g_free(f->path);
    g_free(f->dir);
    g_free(f);
}

static const FtStoreOps file_ops = {
    .begin = file_begin,
    .end = file_end,
    .load = file_load,
    .save = file_save,
    .free = file_free,
};

FtStore *ft_file_new(const FtStoreConfig *cfg, Error **errp)
{
    FtFile *f = g_new0(FtFile, 1);

    f->store.ops = &file_ops;
    f->store.name = g_strdup_printf("file %s", cfg->path);
    f->given = g_strdup(cfg->path);
    f->lock = -1;
    return &f->store;
}
