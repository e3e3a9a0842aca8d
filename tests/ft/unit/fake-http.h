/*
 * QEMU-FT: an HTTP server that answers what a test wants
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_FAKE_HTTP_H
#define FT_FAKE_HTTP_H

typedef struct FakeAnswer {
    int status;                 /* 0: take the request and say nothing */
    const char *body;
    size_t repeat;              /* the body so many times, 0: once */
    bool cut;                   /* take the request, end the connection */
} FakeAnswer;

typedef struct FakeHttp FakeHttp;

/**
 * fake_http_new: listen on a port of 127.0.0.1
 *
 * @answers: one for each request; the last, which has to be there, is
 *     repeated for ever
 * @n: how many
 */
FakeHttp *fake_http_new(const FakeAnswer *answers, size_t n);
void fake_http_free(FakeHttp *f);

/** fake_http_script: other answers from now on */
void fake_http_script(FakeHttp *f, const FakeAnswer *answers, size_t n);

/** fake_http_endpoint: where it listens, as host:port */
const char *fake_http_endpoint(FakeHttp *f);

/** fake_http_count: requests so far */
unsigned fake_http_count(FakeHttp *f);

/** fake_http_request: one of them, headers and body; to be freed */
char *fake_http_request(FakeHttp *f, unsigned n);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeHttp, fake_http_free)

#endif
