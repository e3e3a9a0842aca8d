/*
 * QEMU-FT: requests to one of several HTTP servers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For the arbiter's stores: one thread at a time, no BQL, calls block.
 */
#ifndef MIGRATION_FT_ARBITER_HTTP_H
#define MIGRATION_FT_ARBITER_HTTP_H

/* Longer answers are cut off and refused */
#define FT_HTTP_BODY_MAX (64 * 1024)

typedef struct FtHttp FtHttp;

/**
 * ft_http_new: prepare; nothing is sent yet
 *
 * @endpoints: host:port, at least one; copied
 * @tls_dir: NULL for http; for https a directory with ca-cert.pem and, when
 *     the server wants to know us, client-cert.pem and client-key.pem; the
 *     files are read whenever a connection is made
 */
FtHttp *ft_http_new(char **endpoints, const char *tls_dir, Error **errp);
void ft_http_free(FtHttp *h);

unsigned ft_http_endpoints(const FtHttp *h);

/** ft_http_endpoint: whom the next request goes to */
const char *ft_http_endpoint(const FtHttp *h);

/** ft_http_next_endpoint: not to this one again for now */
void ft_http_next_endpoint(FtHttp *h);

/**
 * ft_http_post: send JSON to the current endpoint, once
 *
 * @authorization: value of that header, or NULL
 * @deadline: microseconds of g_get_monotonic_time(); for connecting too
 * @answer: set to the body, NUL-terminated
 *
 * Returns the HTTP status, or 0 with @errp set: no complete answer came in
 * time, and the server may have done what it was asked nevertheless.
 */
int ft_http_post(FtHttp *h, const char *path, const char *authorization,
                 const char *body, int64_t deadline, GString *answer,
                 Error **errp);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(FtHttp, ft_http_free)

#endif
