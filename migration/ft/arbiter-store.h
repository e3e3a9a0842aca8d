/*
 * QEMU-FT: where the record of who may act is kept
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Nothing here needs the BQL or a main loop.  A store is used by one thread
 * at a time, and its calls block: give it a thread of its own.
 */
#ifndef MIGRATION_FT_ARBITER_STORE_H
#define MIGRATION_FT_ARBITER_STORE_H

/* What a JSON number can say without losing digits on the way */
#define FT_GENERATION_MAX ((UINT64_C(1) << 53) - 1)
#define FT_CLAIM_DIGITS 32

/* The record: who acts for a VM */
typedef struct FtSeat {
    uint64_t generation;        /* 0: there is no record yet */
    char *holder;               /* host of the copy that acts, or acted last */
    char *claim;                /* 32 hex digits: which claim wrote it */
    bool ended;                 /* the guest was switched off on purpose */
} FtSeat;

typedef enum FtStoreResult {
    FT_STORE_OK,
    FT_STORE_LOST,              /* the record is another one */
    FT_STORE_UNREACHABLE,       /* what became of it is unknown */
} FtStoreResult;

typedef enum FtStoreKind {
    FT_STORE_NONE,
    FT_STORE_ETCD,
    FT_STORE_FILE,
} FtStoreKind;

typedef struct FtStoreConfig {
    FtStoreKind kind;
    char **endpoints;           /* etcd: each host:port */
    char *prefix;               /* etcd: /words, no slash at the end */
    char *path;                 /* file: of the file or its directory */
    char *vm;                   /* the VM's UUID, 36 characters */
    char *tls_dir;              /* etcd: NULL for http */
    char *user, *password;      /* etcd: both or neither */
} FtStoreConfig;

typedef struct FtStore FtStore;

void ft_seat_clear(FtSeat *seat);
void ft_seat_copy(FtSeat *to, const FtSeat *from);

/** ft_seat_same: every member is equal */
bool ft_seat_same(const FtSeat *a, const FtSeat *b);

/** ft_seat_valid: could this be a record?  False with @errp set: no. */
bool ft_seat_valid(const FtSeat *seat, Error **errp);

/** ft_seat_encode: the record of @vm as JSON text, to be freed */
char *ft_seat_encode(const FtSeat *seat, const char *vm);

/**
 * ft_seat_decode: the reverse, for text that nobody has looked at yet
 *
 * False with @errp set, and @seat untouched: this is not a record, it is
 * that of a newer version, or of another VM than @vm.
 */
bool ft_seat_decode(FtSeat *seat, const char *vm, const char *text,
                    Error **errp);

/** ft_seat_host_valid: can @name be a holder? */
bool ft_seat_host_valid(const char *name);

/**
 * ft_store_parse: take @where apart into @cfg
 *
 * @where: etcd://host:port[,host:port...]/prefix or file:/path or none
 *
 * Fills in kind, endpoints, prefix and path.
 */
bool ft_store_parse(FtStoreConfig *cfg, const char *where, Error **errp);

/** ft_store_config_check: do TLS directory and user fit the store? */
bool ft_store_config_check(const FtStoreConfig *cfg, Error **errp);

void ft_store_config_clear(FtStoreConfig *cfg);

/**
 * ft_store_new: prepare to use a store; it is not asked anything yet
 *
 * @cfg: parsed, with kind not FT_STORE_NONE and vm set; copied
 *
 * Any thread.  NULL with @errp set: something in @cfg cannot be used.
 */
FtStore *ft_store_new(const FtStoreConfig *cfg, Error **errp);

/**
 * ft_store_read: what the record is now
 *
 * @seat: set when the result is FT_STORE_OK, what it held is freed
 * @timeout_ms: of the whole call
 *
 * FT_STORE_OK, or FT_STORE_UNREACHABLE with @errp set: nobody answered, or
 * what is there is not a record of this VM.  Never sees an older record than
 * a call that has ended before, on whatever host.
 */
FtStoreResult ft_store_read(FtStore *s, FtSeat *seat, uint32_t timeout_ms,
                            Error **errp);

/**
 * ft_store_swap: claim the next generation
 *
 * @expected: the generation the record must have, 0: there must be none
 * @next: what replaces it, of generation @expected + 1
 * @found: set when the result is FT_STORE_LOST, what it held is freed
 *
 * FT_STORE_OK: the record is @next now, or was already: the same call may be
 * repeated after FT_STORE_UNREACHABLE.  FT_STORE_LOST, @errp not set: @found
 * is the record; its generation is another, or it says that the guest has
 * ended, and nobody goes on with that one by ft_store_swap().
 * FT_STORE_UNREACHABLE with @errp set: the record may be @next now or become
 * it later.
 */
FtStoreResult ft_store_swap(FtStore *s, uint64_t expected, const FtSeat *next,
                            FtSeat *found, uint32_t timeout_ms, Error **errp);

/**
 * ft_store_update: replace a record that has been read
 *
 * @current: what the record must be, in every member
 * @next: of the same generation (to mark the guest as ended, say), or of the
 *     next one (to start a guest again that has ended)
 *
 * Results as of ft_store_swap().
 */
FtStoreResult ft_store_update(FtStore *s, const FtSeat *current,
                              const FtSeat *next, FtSeat *found,
                              uint32_t timeout_ms, Error **errp);

/** ft_store_name: the record's place; good until the next call */
const char *ft_store_name(const FtStore *s);

void ft_store_free(FtStore *s);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(FtSeat, ft_seat_clear)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FtStore, ft_store_free)

#endif
