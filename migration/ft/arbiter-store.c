/*
 * QEMU-FT: where the record of who may act is kept
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who wins is decided here, once for all kinds of store.  A store only loads
 * text and replaces it provided that it is still what was loaded (etcd
 * compares revisions; a file is locked meanwhile).
 *
 * What was read or written last is kept, so that a claim usually costs one
 * round trip.  It may be out of date, so by itself it never decides against
 * anybody: when it does not fit, or the store says that it is old, what is
 * really there is looked at first.
 *
 * A lost answer leaves the caller in doubt.  It repeats the same call; a
 * record that already is what it wanted to write counts as written, because
 * the claim's number in it is nobody else's.
 */
#include "qemu/osdep.h"
#include "qemu/uuid.h"
#include "qapi/error.h"
#include "arbiter-backend.h"

/* Only changes within one generation can make this many tries lose */
#define MAX_TRIES 4
#define MAX_ENDPOINTS 16

void ft_record_set(FtRecord *record, char *text, int64_t revision)
{
    g_free(record->text);
    record->text = text;
    record->revision = revision;
}

/* --- configuration --- */

static bool parse_port(const char *text)
{
    guint64 port;

    return g_ascii_string_to_unsigned(text, 10, 1, 65535, &port, NULL);
}

/* host:port, [v6 address]:port */
static bool check_endpoint(const char *text, Error **errp)
{
    const char *colon = strrchr(text, ':');
    g_autofree char *host = colon ? g_strndup(text, colon - text)
                                  : g_strdup(text);
    size_t len = strlen(host);
    bool v6 = len > 2 && host[0] == '[' && host[len - 1] == ']';

    if (!len) {
        error_setg(errp, "arbiter=: no host in '%s'; give "
                   "etcd://host:port/prefix", text);
        return false;
    }
    if (v6 ? strspn(host + 1, G_CSET_DIGITS "abcdefABCDEF:.") != len - 2 :
             strspn(host, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-._") !=
             len) {
        error_setg(errp, "arbiter=: '%s' is not a host; give "
                   "etcd://host:port/prefix, an IPv6 address in brackets",
                   host);
        return false;
    }
    if (!colon || !parse_port(colon + 1)) {
        error_setg(errp, "arbiter=: no port from 1 to 65535 in '%s'; give "
                   "etcd://host:port/prefix", text);
        return false;
    }
    return true;
}

static bool check_prefix(const char *prefix, Error **errp)
{
    size_t len = prefix ? strlen(prefix) : 0;

    if (len < 2) {
        error_setg(errp, "arbiter=: no prefix for the keys; give "
                   "etcd://host:port/prefix");
        return false;
    }
    if (len > 200 || strstr(prefix, "//") ||
        strspn(prefix, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-._/") !=
        len) {
        error_setg(errp, "arbiter=: the prefix '%s' cannot be used; give "
                   "letters, digits and -._ with single slashes between",
                   prefix);
        return false;
    }
    return true;
}

static bool parse_etcd(FtStoreConfig *cfg, const char *rest, Error **errp)
{
    const char *slash = strchr(rest, '/');
    g_autofree char *hosts = slash ? g_strndup(rest, slash - rest)
                                   : g_strdup(rest);
    g_autofree char *prefix = g_strdup(slash);
    g_auto(GStrv) endpoints = NULL;

    /* Of an empty string g_strsplit() makes no part at all */
    endpoints = *hosts ? g_strsplit(hosts, ",", -1) : g_new0(char *, 1);
    if (!endpoints[0]) {
        error_setg(errp, "arbiter=: no host in 'etcd://%s'; give "
                   "etcd://host:port/prefix", rest);
        return false;
    }
    if (g_strv_length(endpoints) > MAX_ENDPOINTS) {
        error_setg(errp, "arbiter=: more than %d hosts; give fewer",
                   MAX_ENDPOINTS);
        return false;
    }
    for (int i = 0; endpoints[i]; i++) {
        if (!check_endpoint(endpoints[i], errp)) {
            return false;
        }
    }
    if (prefix && g_str_has_suffix(prefix, "/")) {
        prefix[strlen(prefix) - 1] = '\0';
    }
    if (!check_prefix(prefix, errp)) {
        return false;
    }
    cfg->kind = FT_STORE_ETCD;
    cfg->endpoints = g_steal_pointer(&endpoints);
    cfg->prefix = g_steal_pointer(&prefix);
    return true;
}

bool ft_store_parse(FtStoreConfig *cfg, const char *where, Error **errp)
{
    const char *rest;

    if (g_str_equal(where, "none")) {
        cfg->kind = FT_STORE_NONE;
        return true;
    }
    if (g_str_has_prefix(where, "etcd://")) {
        return parse_etcd(cfg, where + strlen("etcd://"), errp);
    }
    if (!g_str_has_prefix(where, "file:")) {
        error_setg(errp, "arbiter=%s is not known; give "
                   "etcd://host:port/prefix, file:/path or none", where);
        return false;
    }
    rest = where + strlen("file:");
    if (rest[0] != '/' || rest[1] == '/' || !rest[1]) {
        error_setg(errp, "arbiter=%s: the path is not absolute; give "
                   "file:/path", where);
        return false;
    }
    cfg->kind = FT_STORE_FILE;
    cfg->path = g_strdup(rest);
    return true;
}

bool ft_store_config_check(const FtStoreConfig *cfg, Error **errp)
{
    if (cfg->kind != FT_STORE_ETCD && (cfg->tls_dir || cfg->user)) {
        error_setg(errp, "%s has a meaning with arbiter=etcd://... only; "
                   "remove it", cfg->tls_dir ? "arbiter-tls=" :
                   "arbiter-user=");
        return false;
    }
    return !cfg->tls_dir || ft_etcd_check_tls(cfg->tls_dir, errp);
}

void ft_store_config_clear(FtStoreConfig *cfg)
{
    g_strfreev(cfg->endpoints);
    g_free(cfg->prefix);
    g_free(cfg->path);
    g_free(cfg->vm);
    g_free(cfg->tls_dir);
    g_free(cfg->user);
    g_free(cfg->password);
    *cfg = (FtStoreConfig) { 0 };
}

/* --- the record --- */

FtStore *ft_store_new(const FtStoreConfig *cfg, Error **errp)
{
    QemuUUID uuid;
    FtStore *s;

    assert(cfg->kind != FT_STORE_NONE);
    /* It becomes part of a key and of a file's name */
    if (!cfg->vm || qemu_uuid_parse(cfg->vm, &uuid) < 0) {
        error_setg(errp, "the arbiter's record needs the VM's UUID");
        return NULL;
    }
    if (!ft_store_config_check(cfg, errp)) {
        return NULL;
    }
    s = cfg->kind == FT_STORE_ETCD ? ft_etcd_new(cfg, errp)
                                   : ft_file_new(cfg, errp);
    if (s) {
        s->vm = g_strdup(cfg->vm);
    }
    return s;
}

void ft_store_free(FtStore *s)
{
    if (s) {
        g_free(s->vm);
        g_free(s->name);
        g_free(s->record.text);
        ft_seat_clear(&s->seat);
        s->ops->free(s);
    }
}

const char *ft_store_name(const FtStore *s)
{
    return s->name;
}

/* s->record has been set: what does it say? */
static bool understand(FtStore *s, Error **errp)
{
    ERRP_GUARD();

    s->known = false;
    if (!s->record.text) {
        ft_seat_clear(&s->seat);
    } else if (!ft_seat_decode(&s->seat, s->vm, s->record.text, errp)) {
        error_prepend(errp, "%s holds something else than the record, which "
                      "is left alone; look at it and remove it: ", s->name);
        return false;
    }
    s->known = true;
    return true;
}

static bool load(FtStore *s, int64_t deadline, Error **errp)
{
    s->known = false;
    return s->ops->load(s, &s->record, deadline, errp) && understand(s, errp);
}

static bool begin(FtStore *s, int64_t deadline, Error **errp)
{
    if (!s->ops->begin) {
        return true;
    }
    /* Others may have written it while it was not locked */
    s->known = false;
    return s->ops->begin(s, deadline, errp);
}

static void end(FtStore *s)
{
    if (s->ops->end) {
        s->ops->end(s);
    }
}

static int64_t deadline_in(uint32_t timeout_ms)
{
    return g_get_monotonic_time() + timeout_ms * INT64_C(1000);
}

FtStoreResult ft_store_read(FtStore *s, FtSeat *seat, uint32_t timeout_ms,
                            Error **errp)
{
    int64_t deadline = deadline_in(timeout_ms);
    bool ok;

    if (!begin(s, deadline, errp)) {
        return FT_STORE_UNREACHABLE;
    }
    ok = load(s, deadline, errp);
    end(s);
    if (!ok) {
        return FT_STORE_UNREACHABLE;
    }
    ft_seat_copy(seat, &s->seat);
    return FT_STORE_OK;
}

/* May @next replace this record?  @current NULL: generation and end decide. */
static bool fits(const FtSeat *seat, const FtSeat *current,
                 const FtSeat *next)
{
    return current ? ft_seat_same(seat, current) :
           seat->generation + 1 == next->generation && !seat->ended;
}

static FtStoreResult replace(FtStore *s, const FtSeat *current,
                             const FtSeat *next, FtSeat *found,
                             int64_t deadline, Error **errp)
{
    g_autofree char *text = ft_seat_encode(next, s->vm);
    FtStoreResult result;
    bool fresh = false;

    for (int try = 0; try < MAX_TRIES; try++) {
        if (!fresh && !(s->known && fits(&s->seat, current, next))) {
            if (!load(s, deadline, errp)) {
                return FT_STORE_UNREACHABLE;
            }
            fresh = true;
        }
        if (fresh && ft_seat_same(&s->seat, next)) {
            return FT_STORE_OK;
        }
        if (!fits(&s->seat, current, next)) {
            ft_seat_copy(found, &s->seat);
            return FT_STORE_LOST;
        }
        s->known = false;
        result = s->ops->save(s, &s->record, text, deadline, errp);
        if (result == FT_STORE_UNREACHABLE || !understand(s, errp)) {
            return FT_STORE_UNREACHABLE;
        }
        if (result == FT_STORE_OK) {
            return FT_STORE_OK;
        }
        fresh = true;
    }
    error_setg(errp, "%s is changed by others all the time", s->name);
    return FT_STORE_UNREACHABLE;
}

static FtStoreResult try_replace(FtStore *s, const FtSeat *current,
                                 const FtSeat *next, FtSeat *found,
                                 uint32_t timeout_ms, Error **errp)
{
    int64_t deadline = deadline_in(timeout_ms);
    FtStoreResult result;

    if (!ft_seat_valid(next, errp) || !begin(s, deadline, errp)) {
        return FT_STORE_UNREACHABLE;
    }
    result = replace(s, current, next, found, deadline, errp);
    end(s);
    return result;
}

FtStoreResult ft_store_swap(FtStore *s, uint64_t expected, const FtSeat *next,
                            FtSeat *found, uint32_t timeout_ms, Error **errp)
{
    assert(next->generation == expected + 1);
    return try_replace(s, NULL, next, found, timeout_ms, errp);
}

FtStoreResult ft_store_update(FtStore *s, const FtSeat *current,
                              const FtSeat *next, FtSeat *found,
                              uint32_t timeout_ms, Error **errp)
{
    assert(next->generation - current->generation <= 1);
    return try_replace(s, current, next, found, timeout_ms, errp);
}
