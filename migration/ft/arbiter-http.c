/*
 * QEMU-FT: requests to one of several HTTP servers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each endpoint has a connection of its own that is kept between requests:
 * a claim then needs no DNS, no TCP and no TLS handshake.  A request that
 * fails drops that connection with all libcurl remembers of the endpoint, so
 * that the next one starts from the name again.
 *
 * Nothing of the environment counts: no proxy, no .netrc, no system-wide
 * certificates, no redirection to somewhere else.  What a server answers is
 * limited in size and not interpreted here.
 */
#include "qemu/osdep.h"
#include <curl/curl.h>
#include "qapi/error.h"
#include "arbiter-http.h"

#define KEEPALIVE_S 10

typedef struct Endpoint {
    char *address;
    CURL *curl;                 /* NULL: not connected */
} Endpoint;

struct FtHttp {
    char *scheme;
    char *ca, *cert, *key;      /* files; @cert and @key may be NULL */
    Endpoint *endpoints;
    unsigned count, current;
};

typedef struct Body {
    GString *text;
    bool too_long;
} Body;

static char *file_in(const char *dir, const char *name, bool optional)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);

    return optional && access(path, F_OK) < 0 ? NULL : g_steal_pointer(&path);
}

FtHttp *ft_http_new(char **endpoints, const char *tls_dir, Error **errp)
{
    FtHttp *h;

    /* Counts its calls; safe in any thread since libcurl 7.84 */
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) {
        error_setg(errp, "libcurl cannot be initialised");
        return NULL;
    }
    h = g_new0(FtHttp, 1);
    h->scheme = g_strdup(tls_dir ? "https" : "http");
    if (tls_dir) {
        h->ca = file_in(tls_dir, "ca-cert.pem", false);
        h->cert = file_in(tls_dir, "client-cert.pem", true);
        h->key = file_in(tls_dir, "client-key.pem", true);
    }
    h->count = g_strv_length(endpoints);
    h->endpoints = g_new0(Endpoint, h->count);
    for (int i = 0; i < h->count; i++) {
        h->endpoints[i].address = g_strdup(endpoints[i]);
    }
    return h;
}

static void drop(Endpoint *e)
{
    curl_easy_cleanup(e->curl);
    e->curl = NULL;
}

void ft_http_free(FtHttp *h)
{
    if (!h) {
        return;
    }
    for (int i = 0; i < h->count; i++) {
        drop(&h->endpoints[i]);
        g_free(h->endpoints[i].address);
    }
    g_free(h->endpoints);
    g_free(h->scheme);
    g_free(h->ca);
    g_free(h->cert);
    g_free(h->key);
    g_free(h);
    curl_global_cleanup();
}

unsigned ft_http_endpoints(const FtHttp *h)
{
    return h->count;
}

const char *ft_http_endpoint(const FtHttp *h)
{
    return h->endpoints[h->current].address;
}

void ft_http_next_endpoint(FtHttp *h)
{
    h->current = (h->current + 1) % h->count;
}

static size_t take_body(char *data, size_t size, size_t n, void *opaque)
{
    Body *body = opaque;

    if (n > FT_HTTP_BODY_MAX - body->text->len) {
        body->too_long = true;
        return 0;
    }
    g_string_append_len(body->text, data, n);
    return n;
}

/* Programs that QEMU starts have no business with it */
static int close_on_exec(void *opaque, curl_socket_t fd, curlsocktype purpose)
{
    qemu_set_cloexec(fd);
    return CURL_SOCKOPT_OK;
}

static bool set_up_tls(FtHttp *h, CURL *curl)
{
    int bad = 0;

    bad |= curl_easy_setopt(curl, CURLOPT_CAINFO, h->ca);
    /* libcurl's default adds every authority the system trusts */
    bad |= curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    bad |= curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    bad |= curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    bad |= curl_easy_setopt(curl, CURLOPT_SSLVERSION,
                            (long)CURL_SSLVERSION_TLSv1_2);
    if (h->cert) {
        bad |= curl_easy_setopt(curl, CURLOPT_SSLCERT, h->cert);
        bad |= curl_easy_setopt(curl, CURLOPT_SSLKEY, h->key);
    }
    return !bad;
}

static CURL *connection(FtHttp *h, Endpoint *e, Error **errp)
{
    CURL *curl;
    int bad = 0;

    if (e->curl) {
        return e->curl;
    }
    curl = curl_easy_init();
    if (!curl) {
        error_setg(errp, "libcurl has no memory");
        return NULL;
    }
    bad |= curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, h->scheme);
    bad |= curl_easy_setopt(curl, CURLOPT_PROXY, "");
    bad |= curl_easy_setopt(curl, CURLOPT_HTTP_VERSION,
                            (long)CURL_HTTP_VERSION_1_1);
    /* No signals, no waiting for a DNS server after the deadline */
    bad |= curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    bad |= curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
    bad |= curl_easy_setopt(curl, CURLOPT_DNS_CACHE_TIMEOUT, -1L);
    bad |= curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
    bad |= curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    bad |= curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_S);
    bad |= curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_S);
    /* A claim may come hours after the last request */
    bad |= curl_easy_setopt(curl, CURLOPT_MAXAGE_CONN, 86400L);
    bad |= curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, close_on_exec);
    bad |= curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    if (bad || (h->ca && !set_up_tls(h, curl))) {
        error_setg(errp, "libcurl lacks what the arbiter needs");
        curl_easy_cleanup(curl);
        return NULL;
    }
    e->curl = curl;
    return curl;
}

static struct curl_slist *headers_of(const char *authorization)
{
    g_autofree char *line = NULL;
    struct curl_slist *headers;

    headers = curl_slist_append(NULL, "Content-Type: application/json");
    /* The body follows at once, without asking */
    headers = curl_slist_append(headers, "Expect:");
    if (authorization) {
        line = g_strconcat("Authorization: ", authorization, NULL);
        headers = curl_slist_append(headers, line);
    }
    return headers;
}

/* Returns the HTTP status, 0 with @errp set */
static int perform(CURL *curl, Body *body, Error **errp)
{
    char why[CURL_ERROR_SIZE] = "";
    long status = 0;
    CURLcode rc;

    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    rc = curl_easy_perform(curl);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
    if (body->too_long) {
        error_setg(errp, "the answer is longer than %d bytes",
                   FT_HTTP_BODY_MAX);
        return 0;
    }
    if (rc) {
        error_setg(errp, "%s", *why ? why : curl_easy_strerror(rc));
        return 0;
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (!status) {
        error_setg(errp, "the answer is not HTTP");
    }
    return status;
}

int ft_http_post(FtHttp *h, const char *path, const char *authorization,
                 const char *request, int64_t deadline, GString *answer,
                 Error **errp)
{
    Endpoint *e = &h->endpoints[h->current];
    g_autofree char *url = g_strdup_printf("%s://%s%s", h->scheme, e->address,
                                           path);
    long left = (deadline - g_get_monotonic_time()) / 1000;
    struct curl_slist *headers;
    Body body = { .text = answer };
    int status = 0, bad = 0;
    CURL *curl;

    g_string_truncate(answer, 0);
    if (left < 1) {
        error_setg(errp, "there was no time left to ask");
        return 0;
    }
    curl = connection(h, e, errp);
    if (!curl) {
        return 0;
    }
    headers = headers_of(authorization);
    bad |= curl_easy_setopt(curl, CURLOPT_URL, url);
    bad |= curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    bad |= curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE,
                            (long)strlen(request));
    bad |= curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request);
    bad |= curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, left);
    bad |= curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
    if (bad) {
        error_setg(errp, "libcurl does not take the request");
    } else {
        status = perform(curl, &body, errp);
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    if (!status) {
        drop(e);
    }
    return status;
}
