/*
 * QEMU-FT: an HTTP server that answers what a test wants
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One thread, one connection at a time; connections are kept.  A client that
 * gives up is noticed by the end of its connection.
 */
#include "qemu/osdep.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include "qemu/sockets.h"
#include "fake-http.h"

struct FakeHttp {
    GThread *thread;
    char *endpoint;
    int listener;
    /* Under @lock */
    GMutex lock;
    const FakeAnswer *answers;
    size_t n, next;
    GPtrArray *requests;
    int connection;             /* -1: none */
    bool ending;
};

/* Until the headers have ended and the body they announce is there */
static bool complete(const GString *in)
{
    const char *end = strstr(in->str, "\r\n\r\n");
    const char *length = strcasestr(in->str, "\r\nContent-Length:");

    return end && in->len >= (end - in->str) + 4 +
           (length ? g_ascii_strtoull(length + strlen("\r\nContent-Length:"),
                                      NULL, 10) : 0);
}

static bool read_request(int fd, GString *in)
{
    char buf[4096];
    ssize_t got;

    g_string_truncate(in, 0);
    while (!complete(in)) {
        got = recv(fd, buf, sizeof(buf), 0);
        if (got <= 0) {
            return false;
        }
        g_string_append_len(in, buf, got);
    }
    return true;
}

static FakeAnswer note(FakeHttp *f, const GString *request)
{
    FakeAnswer answer;

    g_mutex_lock(&f->lock);
    g_ptr_array_add(f->requests, g_strdup(request->str));
    answer = f->answers[MIN(f->next, f->n - 1)];
    f->next++;
    g_mutex_unlock(&f->lock);
    return answer;
}

static bool write_answer(int fd, const FakeAnswer *answer)
{
    size_t repeat = MAX(answer->repeat, 1);
    g_autoptr(GString) out = g_string_new("");

    g_string_printf(out, "HTTP/1.1 %d Some words\r\n"
                    "Content-Type: application/json\r\n"
                    "Content-Length: %zu\r\n\r\n", answer->status,
                    strlen(answer->body) * repeat);
    for (size_t i = 0; i < repeat; i++) {
        g_string_append(out, answer->body);
    }
    /* Fails when the client has had enough of it */
    return send(fd, out->str, out->len, MSG_NOSIGNAL) == out->len;
}

static void serve(FakeHttp *f, int fd)
{
    g_autoptr(GString) request = g_string_new("");

    while (read_request(fd, request)) {
        FakeAnswer answer = note(f, request);
        ssize_t got;
        char byte;

        if (answer.cut) {
            return;
        }
        if (!answer.status) {
            /* Ends with the connection */
            do {
                got = recv(fd, &byte, 1, 0);
            } while (got > 0);
            return;
        }
        if (!write_answer(fd, &answer)) {
            return;
        }
    }
}

static bool set_connection(FakeHttp *f, int fd)
{
    bool go_on;

    g_mutex_lock(&f->lock);
    f->connection = fd;
    go_on = !f->ending;
    g_mutex_unlock(&f->lock);
    return go_on;
}

static void *server(void *opaque)
{
    FakeHttp *f = opaque;
    int fd;

    while ((fd = accept(f->listener, NULL, NULL)) >= 0) {
        if (set_connection(f, fd)) {
            serve(f, fd);
        }
        set_connection(f, -1);
        close(fd);
    }
    return NULL;
}

FakeHttp *fake_http_new(const FakeAnswer *answers, size_t n)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(at);
    FakeHttp *f = g_new0(FakeHttp, 1);

    f->listener = socket(AF_INET, SOCK_STREAM, 0);
    g_assert_cmpint(bind(f->listener, (struct sockaddr *)&at, len), ==, 0);
    g_assert_cmpint(listen(f->listener, 8), ==, 0);
    g_assert_cmpint(getsockname(f->listener, (struct sockaddr *)&at, &len),
                    ==, 0);
    f->endpoint = g_strdup_printf("127.0.0.1:%d", ntohs(at.sin_port));
    f->connection = -1;
    f->requests = g_ptr_array_new_with_free_func(g_free);
    g_mutex_init(&f->lock);
    fake_http_script(f, answers, n);
    f->thread = g_thread_new("fake-http", server, f);
    return f;
}

void fake_http_free(FakeHttp *f)
{
    g_mutex_lock(&f->lock);
    f->ending = true;
    shutdown(f->listener, SHUT_RDWR);
    if (f->connection >= 0) {
        shutdown(f->connection, SHUT_RDWR);
    }
    g_mutex_unlock(&f->lock);
    g_thread_join(f->thread);
    close(f->listener);
    g_mutex_clear(&f->lock);
    g_ptr_array_free(f->requests, true);
    g_free(f->endpoint);
    g_free(f);
}

void fake_http_script(FakeHttp *f, const FakeAnswer *answers, size_t n)
{
    g_mutex_lock(&f->lock);
    f->answers = answers;
    f->n = n;
    f->next = 0;
    g_mutex_unlock(&f->lock);
}

const char *fake_http_endpoint(FakeHttp *f)
{
    return f->endpoint;
}

unsigned fake_http_count(FakeHttp *f)
{
    unsigned count;

    g_mutex_lock(&f->lock);
    count = f->requests->len;
    g_mutex_unlock(&f->lock);
    return count;
}

char *fake_http_request(FakeHttp *f, unsigned n)
{
    char *text;

    g_mutex_lock(&f->lock);
    g_assert_cmpuint(n, <, f->requests->len);
    text = g_strdup(g_ptr_array_index(f->requests, n));
    g_mutex_unlock(&f->lock);
    return text;
}
