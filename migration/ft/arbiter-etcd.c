/*
 * QEMU-FT: the arbiter's record in etcd
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The key is PREFIX/UUID, spoken to through etcd's JSON gateway (version 3.4
 * and later).  Reads are etcd's default ones, which a majority of the cluster
 * confirms; a write is a transaction that compares the key's revision and on
 * failure returns what is there instead.
 *
 * A call tries the endpoint that answered last, then the others, each with
 * its share of the time left; a lone endpoint is tried twice, since a
 * connection kept for hours may be dead without our knowing.  A transaction
 * may so be carried out more than once; only the first can succeed.
 *
 * With a user, a token is asked for when it is needed.  etcd forgets tokens
 * (a restart, five idle minutes, a change of its users) and says so in several
 * ways, so any refusal of an older token is answered by a new one, once.
 *
 * Endpoints must belong to one cluster: of two clusters each would grant a
 * claim.  The first answer's cluster is remembered, others are refused.
 * In the gateway's JSON numbers of 64 bits are strings, and members that are
 * false or zero are left out; but every answer has a header, so an empty
 * object never means that there is no record.
 */
#include "qemu/osdep.h"
#include "qemu/base64.h"
#include "qapi/error.h"
#include "qobject/qbool.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "arbiter-backend.h"
#include "arbiter-http.h"

#define TOKEN_MAX 4096
#define SAID_MAX 200

typedef struct FtEtcd {
    FtStore store;
    FtHttp *http;
    char *key;
    char *key_base64;
    char *user, *password;      /* NULL: etcd does not ask who we are */
    char *token;                /* NULL: to be asked for */
    uint64_t cluster;           /* 0: not known yet */
} FtEtcd;

static FtEtcd *etcd_of(FtStore *s)
{
    return container_of(s, FtEtcd, store);
}

/* --- JSON --- */

static bool get_number(const QDict *dict, const char *name, uint64_t min,
                       uint64_t max, uint64_t *value)
{
    const char *text = qdict_get_try_str(dict, name);

    return text && g_ascii_string_to_unsigned(text, 10, min, max, value, NULL);
}

static char *base64(const char *text)
{
    return g_base64_encode((const guchar *)text, strlen(text));
}

/* NULL: not base64, or not text */
static char *text_of_base64(const char *encoded)
{
    size_t len;
    uint8_t *raw = qbase64_decode(encoded, -1, &len, NULL);
    char *text = raw ? g_strndup((char *)raw, len) : NULL;

    g_free(raw);
    if (text && strlen(text) != len) {
        g_clear_pointer(&text, g_free);
    }
    return text;
}

static QDict *parse(const GString *answer)
{
    QObject *object;
    QDict *dict;

    if (strlen(answer->str) != answer->len) {
        return NULL;
    }
    object = qobject_from_json(answer->str, NULL);
    dict = qobject_to(QDict, object);
    if (!dict) {
        qobject_unref(object);
    }
    return dict;
}

/* etcd's own words for a refusal, fit for one line */
static void set_refusal(Error **errp, int status, const GString *answer)
{
    g_autoptr(QDict) dict = parse(answer);
    const char *said = dict ? qdict_get_try_str(dict, "error") : NULL;
    g_autofree char *line = NULL;

    if (dict && !said) {
        said = qdict_get_try_str(dict, "message");
    }
    line = g_strndup(said ?: "", SAID_MAX);
    for (char *c = line; *c; c++) {
        *c = g_ascii_isprint(*c) ? *c : '?';
    }
    error_setg(errp, "HTTP %d%s%s", status, *line ? ", " : "", line);
}

/* --- one endpoint --- */

/* The parsed answer of status 200, its header checked */
static QDict *checked_answer(FtEtcd *e, const GString *answer, Error **errp)
{
    g_autoptr(QDict) dict = parse(answer);
    QDict *header = dict ? qobject_to(QDict, qdict_get(dict, "header")) : NULL;
    uint64_t cluster;

    if (!header ||
        !get_number(header, "cluster_id", 1, UINT64_MAX, &cluster)) {
        error_setg(errp, "the answer is not that of an etcd");
        return NULL;
    }
    if (e->cluster && e->cluster != cluster) {
        error_setg(errp, "it belongs to another cluster than the one that "
                   "answered before; name members of one cluster only");
        return NULL;
    }
    e->cluster = cluster;
    return g_steal_pointer(&dict);
}

static bool is_refusal(int status)
{
    return status >= 400 && status < 500;
}

static bool authenticate(FtEtcd *e, int64_t deadline, bool *refused,
                         Error **errp)
{
    ERRP_GUARD();
    g_autoptr(GString) answer = g_string_new("");
    g_autoptr(QDict) who = qdict_new();
    g_autoptr(GString) request = NULL;
    g_autoptr(QDict) dict = NULL;
    const char *token;
    int status;

    qdict_put_str(who, "name", e->user);
    qdict_put_str(who, "password", e->password);
    request = qobject_to_json(QOBJECT(who));
    status = ft_http_post(e->http, "/v3/auth/authenticate", NULL,
                          request->str, deadline, answer, errp);
    if (!status) {
        return false;
    }
    if (status != 200) {
        *refused = is_refusal(status);
        set_refusal(errp, status, answer);
        error_prepend(errp, "user %s is not let in: ", e->user);
        return false;
    }
    dict = checked_answer(e, answer, errp);
    if (!dict) {
        return false;
    }
    token = qdict_get_try_str(dict, "token");
    /* It becomes a line of a header */
    if (!token || !*token || strlen(token) > TOKEN_MAX ||
        strspn(token, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-._~+/=") !=
        strlen(token)) {
        error_setg(errp, "the token for user %s is not one", e->user);
        return false;
    }
    g_free(e->token);
    e->token = g_strdup(token);
    return true;
}

/* Statuses by which etcd says that a token is not or no longer good */
static bool may_be_the_token(int status)
{
    return status == 400 || status == 401 || status == 403;
}

/*
 * Ask the current endpoint.  NULL with @errp set; @refused says that it
 * understood and declined, so the others of its cluster would too.
 */
static QDict *ask_one(FtEtcd *e, const char *path, const char *request,
                      int64_t deadline, bool *refused, Error **errp)
{
    g_autoptr(GString) answer = g_string_new("");
    bool new_token = !e->user;
    int status;

    *refused = false;
    for (;;) {
        if (e->user && !e->token) {
            if (!authenticate(e, deadline, refused, errp)) {
                return NULL;
            }
            new_token = true;
        }
        status = ft_http_post(e->http, path, e->token, request, deadline,
                              answer, errp);
        if (!status) {
            return NULL;
        }
        if (!may_be_the_token(status) || new_token) {
            break;
        }
        g_clear_pointer(&e->token, g_free);
    }
    if (status != 200) {
        *refused = is_refusal(status);
        set_refusal(errp, status, answer);
        return NULL;
    }
    return checked_answer(e, answer, errp);
}

/* --- the cluster --- */

static QDict *ask(FtEtcd *e, const char *path, const char *request,
                  int64_t deadline, Error **errp)
{
    unsigned tries = MAX(ft_http_endpoints(e->http), 2);
    g_autoptr(GString) why = g_string_new("");
    bool refused = false;

    for (; tries && !refused; tries--) {
        int64_t now = g_get_monotonic_time();
        g_autofree char *line = NULL;
        Error *err = NULL;
        QDict *dict;

        if (why->len && now >= deadline) {
            break;
        }
        dict = ask_one(e, path, request, now + (deadline - now) / tries,
                       &refused, &err);
        if (dict) {
            return dict;
        }
        line = g_strdup_printf("%s: %s", ft_http_endpoint(e->http),
                               error_get_pretty(err));
        error_free(err);
        /* A lone endpoint mostly says the same twice */
        if (!strstr(why->str, line)) {
            g_string_append_printf(why, "%s%s", why->len ? "; " : "", line);
        }
        ft_http_next_endpoint(e->http);
    }
    error_setg(errp, "arbiter: %s: %s", e->store.name, why->str);
    return NULL;
}

/* @range: a RangeResponse for our key */
static bool take_record(FtEtcd *e, const QDict *range, FtRecord *record,
                        Error **errp)
{
    QObject *object = qdict_get(range, "kvs");
    QList *kvs = qobject_to(QList, object);
    g_autofree char *text = NULL;
    const char *key, *value;
    uint64_t revision, count;
    QDict *kv;

    if (!object || (kvs && qlist_empty(kvs))) {
        /* Said twice: the count has to agree */
        if (qdict_haskey(range, "count") &&
            !get_number(range, "count", 0, 0, &count)) {
            goto bad;
        }
        ft_record_set(record, NULL, 0);
        return true;
    }
    kv = kvs && qlist_size(kvs) == 1 ?
         qobject_to(QDict, qlist_entry_obj(qlist_first(kvs))) : NULL;
    if (!kv) {
        goto bad;
    }
    key = qdict_get_try_str(kv, "key");
    value = qdict_haskey(kv, "value") ? qdict_get_try_str(kv, "value") : "";
    if (!key || strcmp(key, e->key_base64) || !value ||
        !get_number(kv, "mod_revision", 1, INT64_MAX, &revision)) {
        goto bad;
    }
    text = text_of_base64(value);
    if (!text || strlen(text) > FT_RECORD_MAX) {
        error_setg(errp, "%s is too big for the record or binary; it is left "
                   "alone, look at it and remove it", e->store.name);
        return false;
    }
    ft_record_set(record, g_steal_pointer(&text), revision);
    return true;

bad:
    error_setg(errp, "arbiter: %s: %s gave an answer that etcd would not",
               e->store.name, ft_http_endpoint(e->http));
    return false;
}

static bool etcd_load(FtStore *s, FtRecord *record, int64_t deadline,
                      Error **errp)
{
    FtEtcd *e = etcd_of(s);
    g_autofree char *request = g_strdup_printf("{\"key\":\"%s\"}",
                                               e->key_base64);
    g_autoptr(QDict) dict = ask(e, "/v3/kv/range", request, deadline, errp);

    return dict && take_record(e, dict, record, errp);
}

/* If the record still is of @revision (0: if there is none) put @text */
static char *transaction(FtEtcd *e, int64_t revision, const char *text)
{
    g_autofree char *value = base64(text);
    const char *key = e->key_base64;

    return g_strdup_printf("{\"compare\":[{\"key\":\"%s\",\"target\":\"%s\","
                           "\"result\":\"EQUAL\",\"%s\":\"%" PRId64 "\"}],"
                           "\"success\":[{\"request_put\":{\"key\":\"%s\","
                           "\"value\":\"%s\"}}],"
                           "\"failure\":[{\"request_range\":"
                           "{\"key\":\"%s\"}}]}",
                           key, revision ? "MOD" : "CREATE",
                           revision ? "mod_revision" : "create_revision",
                           revision, key, value, key);
}

/* The only response of a TxnResponse, by its kind; NULL: none such */
static const QDict *response_in(const QDict *txn, const char *kind)
{
    QList *list = qobject_to(QList, qdict_get(txn, "responses"));
    QDict *response = list && qlist_size(list) == 1 ?
        qobject_to(QDict, qlist_entry_obj(qlist_first(list))) : NULL;

    return response ? qobject_to(QDict, qdict_get(response, kind)) : NULL;
}

static FtStoreResult etcd_save(FtStore *s, FtRecord *record, const char *text,
                               int64_t deadline, Error **errp)
{
    FtEtcd *e = etcd_of(s);
    g_autofree char *request = transaction(e, record->revision, text);
    g_autoptr(QDict) txn = ask(e, "/v3/kv/txn", request, deadline, errp);
    const QDict *range;
    uint64_t revision;

    if (!txn) {
        return FT_STORE_UNREACHABLE;
    }
    if (qdict_get_try_bool(txn, "succeeded", false)) {
        /* The transaction's own revision is the key's now */
        if (!response_in(txn, "response_put") ||
            !get_number(qdict_get_qdict(txn, "header"), "revision", 1,
                        INT64_MAX, &revision)) {
            error_setg(errp, "arbiter: %s: %s gave an answer that etcd would "
                       "not", s->name, ft_http_endpoint(e->http));
            return FT_STORE_UNREACHABLE;
        }
        ft_record_set(record, g_strdup(text), revision);
        return FT_STORE_OK;
    }
    range = response_in(txn, "response_range");
    if (!range) {
        error_setg(errp, "arbiter: %s: %s gave an answer that etcd would not",
                   s->name, ft_http_endpoint(e->http));
        return FT_STORE_UNREACHABLE;
    }
    return take_record(e, range, record, errp) ? FT_STORE_LOST
                                               : FT_STORE_UNREACHABLE;
}

static void etcd_free(FtStore *s)
{
    FtEtcd *e = etcd_of(s);

    ft_http_free(e->http);
    g_free(e->key);
    g_free(e->key_base64);
    g_free(e->user);
    g_free(e->password);
    g_free(e->token);
    g_free(e);
}

static const FtStoreOps etcd_ops = {
    .load = etcd_load,
    .save = etcd_save,
    .free = etcd_free,
};

static bool readable(const char *dir, const char *name)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);

    return access(path, R_OK) == 0;
}

bool ft_etcd_check_tls(const char *dir, Error **errp)
{
    bool cert = readable(dir, "client-cert.pem");

    if (!readable(dir, "ca-cert.pem")) {
        error_setg(errp, "arbiter-tls=%s: there is no ca-cert.pem that can be "
                   "read; put the authority's certificate there", dir);
        return false;
    }
    if (cert != readable(dir, "client-key.pem")) {
        error_setg(errp, "arbiter-tls=%s: there is no client-%s.pem that can "
                   "be read; give both certificate and key, or neither", dir,
                   cert ? "key" : "cert");
        return false;
    }
    return true;
}

FtStore *ft_etcd_new(const FtStoreConfig *cfg, Error **errp)
{
    FtHttp *http = ft_http_new(cfg->endpoints, cfg->tls_dir, errp);
    FtEtcd *e;

    if (!http) {
        return NULL;
    }
    e = g_new0(FtEtcd, 1);
    e->store.ops = &etcd_ops;
    e->http = http;
    e->key = g_strdup_printf("%s/%s", cfg->prefix, cfg->vm);
    e->key_base64 = base64(e->key);
    e->store.name = g_strdup_printf("etcd key %s", e->key);
    e->user = g_strdup(cfg->user);
    e->password = g_strdup(cfg->password);
    return &e->store;
}
