/* HTTP transfers that never block: a pool is one curl multi handle. Callbacks of libcurl touch only
 * our own memory, never Lua's; Lua sees a transfer when it is started and again when it is taken.
 */
#include "core.h"
#include "request.h"
#include "response_head.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define TYPE "heymarket.pool"
#define HOLDER_TYPE "heymarket.result"

#define DEFAULT_MAX_BODY (8.0 * 1024 * 1024)
#define DEFAULT_MAX_HEADER (256.0 * 1024)
#define DEFAULT_MAX_AGE 50.0
#define ERROR_BODY 2048 /* how much of a body is worth keeping beside an error */
/* Were this fewer than are in use at once, every answer would close a connection. */
#define KEPT_CONNECTIONS 256L
/* On a new connection the system holds the end of the request back for so long (s): an answer that
 * comes meanwhile is an answer to nothing. It holds nothing back beyond 0.2 s: what comes later
 * than HOLD_PROVES proves nothing. */
#define HOLD 0.02
#define HOLD_PROVES 0.1
#define EVENTS_AT_ONCE 32 /* so that one look at many busy connections stays short */

struct buffer {
    char *data;
    size_t length;
    size_t capacity;
};

/* What is to be sent, in memory of our own: libcurl reads the body from here, and a request that
 * met a stale connection is started once more. */
struct request {
    char *method;
    char *url;
    char *body; /* NULL: none */
    size_t body_length;
    struct curl_slist *headers;
    double timeout;       /* s, from the start on */
    long connect_timeout; /* ms */
    bool secure;
};

struct transfer {
    struct transfer *next;
    struct transfer *previous;
    struct pool *pool;
    CURL *easy; /* NULL once finished */
    struct request request;
    long long id;
    int references; /* the list it is in, and a `take` that is reading it */
    bool linked;
    double started;
    struct response response;
    struct buffer head; /* of the final response */
    struct buffer body;
    size_t max_head;
    size_t max_body;
    size_t head_received; /* of all responses, interim ones included */
    size_t body_received;
    int socket;              /* of its connection; -1 where it is not known */
    bool counted;            /* is `arrived_before` known? */
    uint64_t arrived_before; /* bytes that the connection had brought before the request was sent */
    bool held;               /* the end of the request is held back */
    double held_since;
    uint64_t sent_before;  /* bytes that had left on the connection when the holding began */
    uint64_t arrived_held; /* bytes that it had brought before the end was let go; 0: not known */
    bool fresh;     /* a connection of its own was asked for, because the kept one was stale */
    bool stale;     /* bytes or an end waited on the kept connection; nothing was sent */
    bool too_early; /* bytes waited on a new connection; nothing was sent */
    bool sent;      /* the request was about to be written on a ready connection */
    bool resent;    /* libcurl was about to write it once more */
    bool unasked;   /* the answer had begun to arrive before the request was sent */
    bool early;     /* the answer was sent before the whole request had arrived */
    bool excess;    /* more bytes came than the answer announced */
    bool good_end;  /* the connection is kept after the answer, or the peer has said that it goes
                       away */
    bool too_long;
    bool no_memory;
    bool new_connection;
    double version;
    double elapsed;
    const char *code; /* NULL: an answer came */
    char code_text[24];
    char message[CURL_ERROR_SIZE];
};

struct list {
    struct transfer *first;
    struct transfer *last;
};

/* A socket of the pool. libcurl tells a callback only the ports of its connection. */
struct owned {
    struct owned *next;
    int socket;
    int port;              /* the local one; 0 before it is known */
    struct transfer *user; /* that is under way on it; NULL: none */
};

struct pool {
    bool open;
    CURLM *multi; /* made by the first start in this process */
    pid_t pid;    /* that made it */
    int epoll;    /* watches the sockets of `multi`; good while there is a multi */
    double timer; /* monotonic seconds at which libcurl wants to be called; below 0: never */
    long long last_id;
    struct list running;
    struct list finished;
    int running_count;
    struct owned *sockets;
    int held_count; /* running transfers that are held */
    size_t max_body;
    size_t max_header;
    long max_age;
    char *ca_file;
    char *proxy;
    bool proxy_is_local; /* on this machine */
    char *user_agent;
};

/* With CURLOPT_NOSIGNAL libcurl leaves SIGPIPE to its user, and some TLS libraries write without
 * MSG_NOSIGNAL. A lost connection must not end the process. */
struct pipe_guard {
    bool needed;
    sigset_t former;
    bool pending;
};

static void guard_pipe(struct pipe_guard *guard) {
    sigset_t pipe_only, pending;
    struct sigaction present;
    /* Servers such as nginx ignore the signal anyway: nothing to guard against then. */
    guard->needed = sigaction(SIGPIPE, NULL, &present) != 0 || present.sa_handler != SIG_IGN;
    if (!guard->needed) {
        return;
    }
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigemptyset(&pending);
    sigpending(&pending);
    guard->pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_only, &guard->former);
}

static void unguard_pipe(const struct pipe_guard *guard) {
    sigset_t pending;
    if (!guard->needed) {
        return;
    }
    sigemptyset(&pending);
    if (!guard->pending && sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1) {
        sigset_t pipe_only;
        sigemptyset(&pipe_only);
        sigaddset(&pipe_only, SIGPIPE);
        struct timespec at_once = {0, 0};
        sigtimedwait(&pipe_only, NULL, &at_once);
    }
    pthread_sigmask(SIG_SETMASK, &guard->former, NULL);
}

static double monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void append(struct list *list, struct transfer *transfer) {
    transfer->linked = true;
    transfer->next = NULL;
    transfer->previous = list->last;
    *(list->last != NULL ? &list->last->next : &list->first) = transfer;
    list->last = transfer;
}

static void unlink_from(struct list *list, struct transfer *transfer) {
    *(transfer->previous != NULL ? &transfer->previous->next : &list->first) = transfer->next;
    *(transfer->next != NULL ? &transfer->next->previous : &list->last) = transfer->previous;
    transfer->next = transfer->previous = NULL;
    transfer->linked = false;
}

static bool buffer_add(struct buffer *buffer, const char *data, size_t length) {
    if (length > buffer->capacity - buffer->length) {
        if (length > SIZE_MAX / 4 || buffer->length > SIZE_MAX / 4) {
            return false;
        }
        size_t capacity = buffer->capacity < 2048 ? 2048 : buffer->capacity * 2;
        if (capacity < buffer->length + length) {
            capacity = buffer->length + length;
        }
        char *grown = realloc(buffer->data, capacity);
        if (grown == NULL) {
            return false;
        }
        buffer->data = grown;
        buffer->capacity = capacity;
    }
    memcpy(buffer->data + buffer->length, data, length);
    buffer->length += length;
    return true;
}

/* ---- sockets ---- */

static void disown_socket(struct pool *pool, int socket) {
    for (struct owned **place = &pool->sockets; *place != NULL; place = &(*place)->next) {
        if ((*place)->socket == socket) {
            struct owned *owned = *place;
            *place = owned->next;
            if (owned->user != NULL) {
                owned->user->socket = -1;
            }
            free(owned);
            return;
        }
    }
}

static curl_socket_t on_open(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
    struct pool *pool = context;
    struct owned *owned = malloc(sizeof *owned);
    (void)purpose;
    if (owned == NULL) {
        return CURL_SOCKET_BAD;
    }
    /* A program that this process starts must not inherit the connection. */
    owned->socket = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (owned->socket < 0) {
        free(owned);
        return CURL_SOCKET_BAD;
    }
    /* libcurl does not tell of the end of a socket that never got a connection. */
    disown_socket(pool, owned->socket);
    owned->port = 0;
    owned->user = NULL;
    owned->next = pool->sockets;
    pool->sockets = owned;
    return owned->socket;
}

static int on_close(void *context, curl_socket_t socket) {
    struct pool *pool = context;
    struct epoll_event none = {0};
    disown_socket(pool, socket);
    /* Closing alone would leave it in the set where a forked child still holds a copy. */
    epoll_ctl(pool->epoll, EPOLL_CTL_DEL, socket, &none);
    return close(socket);
}

static void disown_all(struct pool *pool) {
    while (pool->sockets != NULL) {
        disown_socket(pool, pool->sockets->socket);
    }
}

static int port_of(const struct sockaddr_storage *address) {
    return address->ss_family == AF_INET ? ntohs(((const struct sockaddr_in *)address)->sin_port)
           : address->ss_family == AF_INET6
               ? ntohs(((const struct sockaddr_in6 *)address)->sin6_port)
               : 0;
}

/* Does this port belong to the peer? A connection that was reset has forgotten its peer. */
static bool has_peer(int socket, int port) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getpeername(socket, (struct sockaddr *)&address, &size) != 0) {
        return errno == ENOTCONN;
    }
    return port_of(&address) == port;
}

/* The socket of the connection between these two ports; NULL where it is not to be found. */
static struct owned *find_socket(struct pool *pool, int local_port, int remote_port) {
    for (struct owned *owned = pool->sockets; owned != NULL; owned = owned->next) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        struct sockaddr *any = (struct sockaddr *)&address;
        if (owned->port == 0 && getsockname(owned->socket, any, &size) == 0) {
            owned->port = port_of(&address);
        }
        if (owned->port == local_port && local_port > 0 && has_peer(owned->socket, remote_port)) {
            return owned;
        }
    }
    return NULL;
}

enum waiting { NOTHING_WAITS, BYTES_WAIT, END_WAITS };

static enum waiting look(int socket) {
    char byte;
    ssize_t count = recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return count > 0 ? BYTES_WAIT
           : count == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
               ? END_WAITS
               : NOTHING_WAITS;
}

/* Does a TLS record wait that can hold bytes of an answer? With TLS 1.3 a record does not show what
 * is in it, but a warning or a change of keys shows by its length. */
static bool record_waits(int socket) {
    unsigned char head[5] = {0};
    ssize_t count = recv(socket, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);
    int length = head[3] << 8 | head[4];
    return count == sizeof head && head[0] == 23 && length != 19 && length != 22;
}

/* Decrypted bytes that libcurl has not fetched from its TLS library. Only OpenSSL is asked, for it
 * is the only one whose name for this is known; it is the one that libcurl uses, wherever it lies.
 */
static int (*ssl_pending)(const void *ssl);

static void find_ssl_pending(void) {
    void *libraries = compat_own_library();
    if (libraries != NULL) {
        *(void **)&ssl_pending = dlsym(libraries, "SSL_pending");
        dlclose(libraries);
    }
}

static bool decrypted_waits(CURL *easy) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct curl_tlssessioninfo *session = NULL;
    pthread_once(&once, find_ssl_pending);
    return ssl_pending != NULL &&
           curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &session) == CURLE_OK && session != NULL &&
           session->backend == CURLSSLBACKEND_OPENSSL && session->internals != NULL &&
           ssl_pending(session->internals) > 0;
}

/* The system's counts of bytes that have left on the connection, and that it has brought. */
struct traffic {
    uint64_t sent;
    uint64_t arrived; /* read or not */
    uint64_t waiting; /* bytes that have not left yet */
};

static bool count_traffic(int socket, struct traffic *traffic) {
    struct tcp_info info;
    socklen_t size = sizeof info;
    if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
        size < offsetof(struct tcp_info, tcpi_bytes_sent) + sizeof info.tcpi_bytes_sent) {
        return false;
    }
    traffic->sent = info.tcpi_bytes_sent;
    traffic->arrived = info.tcpi_bytes_received;
    traffic->waiting = info.tcpi_notsent_bytes;
    return true;
}

static void set_cork(int socket, int corked) {
    setsockopt(socket, IPPROTO_TCP, TCP_CORK, &corked, sizeof corked);
}

static void hold(struct transfer *transfer) {
    int now = 1;
    transfer->held = true;
    transfer->held_since = monotonic();
    transfer->pool->held_count++;
    set_cork(transfer->socket, 1);
    /* The peer's system may keep an answer back until it knows that the handshake has arrived. */
    setsockopt(transfer->socket, IPPROTO_TCP, TCP_QUICKACK, &now, sizeof now);
}

/* What has come so far is older than the end of the request, or than all of it. But the system may
 * have let something go by itself, to see whether the peer is still there. */
static void note_arrived(struct transfer *transfer) {
    struct traffic traffic;
    if (!transfer->counted || monotonic() - transfer->held_since >= HOLD_PROVES ||
        !count_traffic(transfer->socket, &traffic)) {
        return;
    }
    if (traffic.sent == transfer->sent_before) {
        transfer->arrived_before = traffic.arrived;
    } else if (!transfer->response.http2 && traffic.waiting > 0) {
        transfer->arrived_held = traffic.arrived;
    }
}

static void let_go(struct transfer *transfer) {
    if (transfer->held) {
        if (transfer->socket >= 0) {
            note_arrived(transfer);
            set_cork(transfer->socket, 0);
        }
        transfer->held = false;
        transfer->pool->held_count--;
    }
}

/* Lets go whose time has come. Gives the seconds until the next one; below 0 where none is held. */
static double let_go_due(struct pool *pool) {
    double next = -1, now = pool->held_count > 0 ? monotonic() : 0;
    struct transfer *transfer = pool->held_count > 0 ? pool->running.first : NULL;
    for (; transfer != NULL; transfer = transfer->next) {
        double left = transfer->held_since + HOLD - now;
        if (transfer->held && left <= 0) {
            let_go(transfer);
        } else if (transfer->held && (next < 0 || left < next)) {
            next = left;
        }
    }
    return next;
}

/* ---- callbacks of libcurl ---- */

static int on_ready(void *context, char *remote_ip, char *local_ip, int remote_port,
                    int local_port) {
    struct transfer *transfer = context;
    long connects = 0;
    (void)remote_ip, (void)local_ip;
    if (transfer->sent) {
        /* libcurl repeats a request by itself where a reused connection died without an answer. The
         * server may have acted on the first copy: whether to repeat is for our caller to decide.
         */
        transfer->resent = true;
        return CURL_PREREQFUNC_ABORT;
    }
    curl_easy_getinfo(transfer->easy, CURLINFO_NUM_CONNECTS, &connects);
    transfer->new_connection = connects > 0;
    struct owned *owned = find_socket(transfer->pool, local_port, remote_port);
    if (owned != NULL) {
        owned->user = transfer;
        transfer->socket = owned->socket;
        /* Whatever waits here cannot be an answer to a request that is still to be sent. Only on a
         * new connection with TLS bytes of the handshake may be left. */
        enum waiting waits = look(transfer->socket);
        if (waits == NOTHING_WAITS && !transfer->new_connection && transfer->request.secure &&
            decrypted_waits(transfer->easy)) {
            waits = BYTES_WAIT;
        }
        transfer->stale = !transfer->new_connection && waits != NOTHING_WAITS;
        transfer->too_early =
            transfer->new_connection && waits == BYTES_WAIT && !transfer->request.secure;
        if (transfer->stale || transfer->too_early) {
            return CURL_PREREQFUNC_ABORT;
        }
        struct traffic traffic;
        /* On a kept connection without TLS there is nothing that the look above did not see. */
        transfer->counted = (transfer->new_connection || transfer->request.secure) &&
                            count_traffic(transfer->socket, &traffic);
        if (transfer->counted) {
            transfer->arrived_before = traffic.arrived;
            transfer->sent_before = traffic.sent;
        }
        if (transfer->new_connection) {
            hold(transfer);
        }
    }
    /* What libcurl said of a stale connection does not concern this one. */
    transfer->good_end = transfer->excess = false;
    transfer->sent = true;
    return CURL_PREREQFUNC_OK;
}

static bool uploaded_less(const struct transfer *transfer) {
    curl_off_t uploaded = 0;
    return curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded) == CURLE_OK &&
           uploaded < (curl_off_t)transfer->request.body_length;
}

/* When was the answer sent whose status line has just been read? */
static void date_answer(struct transfer *transfer, size_t line_length) {
    int unread = 0, unsent = 0;
    struct traffic traffic;
    bool http2 = transfer->response.http2, early = false;
    let_go(transfer);
    if (transfer->counted && ioctl(transfer->socket, FIONREAD, &unread) == 0 &&
        count_traffic(transfer->socket, &traffic)) {
        /* The line itself, or on HTTP/2 the frame that it came in, is among the bytes that have
         * been read since. An end counts as a byte. */
        uint64_t read = traffic.arrived - (uint64_t)unread, least = http2 ? 9 : line_length;
        transfer->unasked = read < transfer->arrived_before + least;
        early = transfer->arrived_held > 0 && read < transfer->arrived_held + least;
    }
    if (!response_interim(transfer->response.status)) {
        /* What the peer's system has not acknowledged, its program cannot have read. On HTTP/2
         * other frames than those of the request may be under way. */
        transfer->early = early || uploaded_less(transfer) ||
                          (!http2 && transfer->socket >= 0 &&
                           ioctl(transfer->socket, SIOCOUTQ, &unsent) == 0 && unsent > 0);
    }
}

/* The answer is complete: do more bytes wait, which belong to no answer? */
static void look_behind(struct transfer *transfer) {
    if (transfer->socket < 0 || transfer->response.http2 ||
        !response_complete(&transfer->response)) {
        return;
    }
    if (transfer->request.secure ? decrypted_waits(transfer->easy) || record_waits(transfer->socket)
                                 : look(transfer->socket) == BYTES_WAIT) {
        transfer->excess = true;
    }
}

static size_t on_header(char *line, size_t size, size_t count, void *context) {
    struct transfer *transfer = context;
    struct response *response = &transfer->response;
    size_t length = size * count;
    bool first = response->place == RESPONSE_STATUS_LINE;
    transfer->head_received += length;
    if (transfer->head_received > transfer->max_head) {
        transfer->too_long = true;
        return 0;
    }
    if (!response_line(response, line, length)) {
        return 0;
    }
    if (first) {
        transfer->head.length = 0;
        date_answer(transfer, length);
        if (transfer->unasked) {
            return 0;
        }
    }
    if (!buffer_add(&transfer->head, line, length)) {
        transfer->no_memory = true;
        return 0;
    }
    look_behind(transfer);
    return length;
}

static bool keep_content(void *context, const char *data, size_t length) {
    struct transfer *transfer = context;
    if (length > transfer->max_body - transfer->body.length) {
        transfer->too_long = true;
    } else if (!buffer_add(&transfer->body, data, length)) {
        transfer->no_memory = true;
    }
    return !transfer->too_long && !transfer->no_memory;
}

static size_t on_body(char *data, size_t size, size_t count, void *context) {
    struct transfer *transfer = context;
    size_t length = size * count;
    transfer->body_received += length;
    if (!response_body(&transfer->response, data, length, keep_content, transfer)) {
        return 0;
    }
    look_behind(transfer);
    return length;
}

static bool begins(const char *text, size_t length, const char *start) {
    size_t size = strlen(start);
    return length >= size && memcmp(text, start, size) == 0;
}

static bool ends(const char *text, size_t length, const char *end) {
    size_t size = strlen(end);
    length -= length > 0 && text[length - 1] == '\n';
    return length >= size && memcmp(text + length - size, end, size) == 0;
}

/* Three things are to be had in no other way: which version of HTTP the request went out with, for
 * the status line of the answer can lie; that libcurl threw bytes away that came behind the answer;
 * and whether an HTTP/2 connection is still good after the answer. */
static int on_debug(CURL *easy, curl_infotype type, char *text, size_t size, void *context) {
    struct transfer *transfer = context;
    (void)easy;
    if (type == CURLINFO_HEADER_OUT) {
        const char *end = memchr(text, '\r', size);
        transfer->response.http2 =
            end != NULL && end - text >= 7 && memcmp(end - 7, " HTTP/2", 7) == 0;
    } else if (type == CURLINFO_TEXT &&
               (begins(text, size, "Excess found") || begins(text, size, "Leftovers after"))) {
        transfer->excess = true;
    } else if (type == CURLINFO_TEXT &&
               (ends(text, size, "left intact") || begins(text, size, "recveived GOAWAY") ||
                begins(text, size, "received GOAWAY"))) {
        transfer->good_end = true;
    }
    return 0;
}

/* ---- names of errors ---- */

static const struct {
    int number;
    const char *name;
} code_names[] = {
    {CURLE_UNSUPPORTED_PROTOCOL, "UNSUPPORTED_PROTOCOL"},
    {CURLE_FAILED_INIT, "FAILED_INIT"},
    {CURLE_URL_MALFORMAT, "URL_MALFORMAT"},
    {CURLE_NOT_BUILT_IN, "NOT_BUILT_IN"},
    {CURLE_COULDNT_RESOLVE_PROXY, "COULDNT_RESOLVE_PROXY"},
    {CURLE_COULDNT_RESOLVE_HOST, "COULDNT_RESOLVE_HOST"},
    {CURLE_COULDNT_CONNECT, "COULDNT_CONNECT"},
    {CURLE_WEIRD_SERVER_REPLY, "WEIRD_SERVER_REPLY"},
    {CURLE_REMOTE_ACCESS_DENIED, "REMOTE_ACCESS_DENIED"},
    {CURLE_HTTP2, "HTTP2"},
    {CURLE_PARTIAL_FILE, "PARTIAL_FILE"},
    {CURLE_HTTP_RETURNED_ERROR, "HTTP_RETURNED_ERROR"},
    {CURLE_WRITE_ERROR, "WRITE_ERROR"},
    {CURLE_UPLOAD_FAILED, "UPLOAD_FAILED"},
    {CURLE_READ_ERROR, "READ_ERROR"},
    {CURLE_OUT_OF_MEMORY, "OUT_OF_MEMORY"},
    {CURLE_OPERATION_TIMEDOUT, "OPERATION_TIMEDOUT"},
    {CURLE_RANGE_ERROR, "RANGE_ERROR"},
    {CURLE_HTTP_POST_ERROR, "HTTP_POST_ERROR"},
    {CURLE_SSL_CONNECT_ERROR, "SSL_CONNECT_ERROR"},
    {CURLE_FUNCTION_NOT_FOUND, "FUNCTION_NOT_FOUND"},
    {CURLE_ABORTED_BY_CALLBACK, "ABORTED_BY_CALLBACK"},
    {CURLE_BAD_FUNCTION_ARGUMENT, "BAD_FUNCTION_ARGUMENT"},
    {CURLE_INTERFACE_FAILED, "INTERFACE_FAILED"},
    {CURLE_TOO_MANY_REDIRECTS, "TOO_MANY_REDIRECTS"},
    {CURLE_UNKNOWN_OPTION, "UNKNOWN_OPTION"},
    {CURLE_GOT_NOTHING, "GOT_NOTHING"},
    {CURLE_SSL_ENGINE_NOTFOUND, "SSL_ENGINE_NOTFOUND"},
    {CURLE_SSL_ENGINE_SETFAILED, "SSL_ENGINE_SETFAILED"},
    {CURLE_SEND_ERROR, "SEND_ERROR"},
    {CURLE_RECV_ERROR, "RECV_ERROR"},
    {CURLE_SSL_CERTPROBLEM, "SSL_CERTPROBLEM"},
    {CURLE_SSL_CIPHER, "SSL_CIPHER"},
    {CURLE_PEER_FAILED_VERIFICATION, "PEER_FAILED_VERIFICATION"},
    {CURLE_BAD_CONTENT_ENCODING, "BAD_CONTENT_ENCODING"},
    {CURLE_FILESIZE_EXCEEDED, "FILESIZE_EXCEEDED"},
    {CURLE_USE_SSL_FAILED, "USE_SSL_FAILED"},
    {CURLE_SEND_FAIL_REWIND, "SEND_FAIL_REWIND"},
    {CURLE_SSL_ENGINE_INITFAILED, "SSL_ENGINE_INITFAILED"},
    {CURLE_LOGIN_DENIED, "LOGIN_DENIED"},
    {CURLE_SSL_CACERT_BADFILE, "SSL_CACERT_BADFILE"},
    {CURLE_SSL_SHUTDOWN_FAILED, "SSL_SHUTDOWN_FAILED"},
    {CURLE_AGAIN, "AGAIN"},
    {CURLE_SSL_CRL_BADFILE, "SSL_CRL_BADFILE"},
    {CURLE_SSL_ISSUER_ERROR, "SSL_ISSUER_ERROR"},
    {CURLE_CHUNK_FAILED, "CHUNK_FAILED"},
    {CURLE_NO_CONNECTION_AVAILABLE, "NO_CONNECTION_AVAILABLE"},
    {CURLE_SSL_PINNEDPUBKEYNOTMATCH, "SSL_PINNEDPUBKEYNOTMATCH"},
    {CURLE_SSL_INVALIDCERTSTATUS, "SSL_INVALIDCERTSTATUS"},
    {CURLE_HTTP2_STREAM, "HTTP2_STREAM"},
    {CURLE_RECURSIVE_API_CALL, "RECURSIVE_API_CALL"},
    {CURLE_AUTH_ERROR, "AUTH_ERROR"},
    {CURLE_HTTP3, "HTTP3"},
    {CURLE_QUIC_CONNECT_ERROR, "QUIC_CONNECT_ERROR"},
    {CURLE_PROXY, "PROXY"},
    {CURLE_SSL_CLIENTCERT, "SSL_CLIENTCERT"},
    {CURLE_UNRECOVERABLE_POLL, "UNRECOVERABLE_POLL"},
    {100, "TOO_LARGE"}, /* since 8.6 */
};

/* The mnemonic; `text` is room for a number that has none. */
static const char *code_name(int number, char *text, size_t size) {
    for (size_t i = 0; i < sizeof code_names / sizeof *code_names; i++) {
        if (code_names[i].number == number) {
            return code_names[i].name;
        }
    }
    snprintf(text, size, "CURLE_%d", number);
    return text;
}

/* ---- the life of a transfer ---- */

static void transfer_release(struct transfer *transfer) {
    if (--transfer->references > 0) {
        return;
    }
    curl_slist_free_all(transfer->request.headers);
    free(transfer->request.method);
    free(transfer->request.url);
    free(transfer->request.body);
    free(transfer->head.data);
    free(transfer->body.data);
    free(transfer);
    atomic_fetch_sub(&core_counts.transfers, 1);
}

static void leave_socket(struct pool *pool, struct transfer *transfer) {
    let_go(transfer);
    for (struct owned *owned = pool->sockets; owned != NULL; owned = owned->next) {
        if (owned->user == transfer) {
            owned->user = NULL;
        }
    }
    transfer->socket = -1;
}

/* Gives up what libcurl holds of a transfer; its connection stays in the multi handle. No handle is
 * used again: what libcurl remembers of one answer must not meet the next. */
static void detach(struct pool *pool, struct transfer *transfer) {
    leave_socket(pool, transfer);
    curl_multi_remove_handle(pool->multi, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    transfer->easy = NULL;
}

/* libcurl quotes the URL of a proxy that it cannot use, password and all. */
static void hide_proxy(char *message, size_t size) {
    char *quote = strchr(message, '\'');
    if (quote != NULL && strstr(message, "nsupported proxy") != NULL) {
        snprintf(quote, size - (size_t)(quote - message), "[hidden]");
    }
}

static void say(struct transfer *transfer, const char *message) {
    snprintf(transfer->message, sizeof transfer->message, "%s", message);
}

/* A refusal that came before the whole request was sent, and was read to its end. */
static bool early_refusal(const struct transfer *transfer) {
    return transfer->early && transfer->response.status >= 400 &&
           response_complete(&transfer->response);
}

/* What an error of libcurl means here. */
static CURLcode judge_error(struct transfer *transfer, CURLcode result) {
    if (transfer->sent && early_refusal(transfer)) {
        /* The rest of the request could not be sent any more, which is no news. */
        return CURLE_OK;
    }
    if (transfer->sent &&
        (result == CURLE_BAD_FUNCTION_ARGUMENT || result == CURLE_UNSUPPORTED_PROTOCOL)) {
        /* What libcurl calls an answer that is not HTTP. The names speak of our mistakes before
         * sending: whoever goes by the name would take it for "never sent". */
        return CURLE_WEIRD_SERVER_REPLY;
    }
    return result;
}

/* Until version 8 libcurl takes it for the end of an answer when its HTTP/2 library gives up a
 * session in which the peer broke the rules. It closes the connection then, which it does otherwise
 * only after the peer has said that it goes away, or has ended the connection. So an empty body
 * without a length needs a better end: any other one shows by its JSON that it is whole. */
static bool session_broke(const struct transfer *transfer) {
    const struct response *response = &transfer->response;
    return response->http2 && !response->has_length && response->received == 0 &&
           !transfer->good_end && curl_version_info(CURLVERSION_NOW)->version_num < 0x080000;
}

/* Can the answer be trusted? Gives CURLE_OK, or what is wrong, and says it. */
static CURLcode judge(struct transfer *transfer, CURLcode result) {
    const struct response *response = &transfer->response;
    if (transfer->resent) {
        say(transfer,
            "the connection was lost before an answer came; the request was not repeated");
        return CURLE_SEND_ERROR;
    }
    if (transfer->too_early || transfer->stale) {
        say(transfer, "the server sent something before it got a request");
        return CURLE_WEIRD_SERVER_REPLY;
    }
    if (transfer->too_long) {
        snprintf(transfer->message, sizeof transfer->message,
                 "the answer is longer than %.0f bytes of headers or %.0f bytes of body",
                 (double)transfer->max_head, (double)transfer->max_body);
        return CURLE_FILESIZE_EXCEEDED;
    }
    if (transfer->no_memory) {
        say(transfer, "not enough memory for the answer");
        return CURLE_OUT_OF_MEMORY;
    }
    if (transfer->unasked) {
        say(transfer, "an answer came before the request was sent");
        return CURLE_WEIRD_SERVER_REPLY;
    }
    if (response->mistake != NULL) {
        say(transfer, response->mistake);
        return CURLE_WEIRD_SERVER_REPLY;
    }
    if (transfer->excess) {
        say(transfer, "more bytes came than the answer announced");
        return CURLE_WEIRD_SERVER_REPLY;
    }
    result = result != CURLE_OK ? judge_error(transfer, result) : result;
    if (result != CURLE_OK) {
        return result;
    }
    if (session_broke(transfer)) {
        say(transfer, "the HTTP/2 session broke before the answer was complete");
        return CURLE_HTTP2;
    }
    if (!response_complete(response)) {
        say(transfer, "the connection ended before the answer was complete");
        return CURLE_PARTIAL_FILE;
    }
    if (transfer->early && response->status < 300) {
        /* A refusal may come early; nobody can have accepted what was not sent. */
        say(transfer, "an answer came before the whole request was sent");
        return CURLE_SEND_ERROR;
    }
    return CURLE_OK;
}

static void describe(struct transfer *transfer, CURLcode result) {
    long version = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_VERSION, &version);
    transfer->version = version == CURL_HTTP_VERSION_1_0   ? 1.0
                        : version == CURL_HTTP_VERSION_1_1 ? 1.1
                        : version == CURL_HTTP_VERSION_2_0 ? 2
                        : version == CURL_HTTP_VERSION_3   ? 3
                                                           : 0;
    transfer->elapsed = monotonic() - transfer->started;
    if (transfer->response.place == RESPONSE_BODY && uploaded_less(transfer)) {
        transfer->early = true;
    }
    result = judge(transfer, result);
    if (result == CURLE_OK) {
        return;
    }
    hide_proxy(transfer->message, sizeof transfer->message);
    if (transfer->message[0] == '\0') {
        say(transfer, curl_easy_strerror(result));
    }
    transfer->code = code_name((int)result, transfer->code_text, sizeof transfer->code_text);
    if (transfer->body.length > ERROR_BODY) {
        transfer->body.length = ERROR_BODY;
    }
}

static void finish(struct pool *pool, struct transfer *transfer, CURLcode result) {
    describe(transfer, result);
    detach(pool, transfer);
    unlink_from(&pool->running, transfer);
    pool->running_count--;
    append(&pool->finished, transfer);
}

/* libcurl tells which sockets it wants watched, so that a look at a thousand waiting transfers
 * costs one system call and not a visit to each. */
static int on_socket(CURL *easy, curl_socket_t socket, int what, void *context, void *known) {
    struct pool *pool = context;
    struct epoll_event event = {0};
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(pool->epoll, EPOLL_CTL_DEL, socket, &event);
        return 0;
    }
    event.data.fd = socket;
    event.events = (what != CURL_POLL_OUT ? EPOLLIN : 0U) | (what != CURL_POLL_IN ? EPOLLOUT : 0U);
    if (epoll_ctl(pool->epoll, known != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, socket, &event) !=
            0 &&
        epoll_ctl(pool->epoll, known != NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, socket, &event) !=
            0) {
        return -1;
    }
    curl_multi_assign(pool->multi, socket, pool);
    return 0;
}

static int on_timer(CURLM *multi, long milliseconds, void *context) {
    struct pool *pool = context;
    (void)multi;
    pool->timer = milliseconds < 0 ? -1 : monotonic() + (double)milliseconds / 1000;
    return 0;
}

/* Does what can be done now. */
static CURLMcode act(struct pool *pool) {
    struct epoll_event events[EVENTS_AT_ONCE];
    int running, count = epoll_wait(pool->epoll, events, EVENTS_AT_ONCE, 0);
    CURLMcode result = CURLM_OK;
    let_go_due(pool);
    for (int i = 0; i < count && result == CURLM_OK; i++) {
        int mask = (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                   (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        result = curl_multi_socket_action(pool->multi, events[i].data.fd, mask, &running);
    }
    if (result == CURLM_OK && pool->timer >= 0 && pool->timer <= monotonic()) {
        pool->timer = -1;
        result = curl_multi_socket_action(pool->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    return result;
}

static bool set_going(struct pool *pool, struct transfer *transfer, struct problem *problem);

/* The kept connection held bytes that nobody asked for, or its end. Nothing was sent: the request
 * goes out on a new connection, in what is left of its time. */
static void start_afresh(struct pool *pool, struct transfer *transfer) {
    struct problem problem = {NULL, ""};
    CURL *former = transfer->easy;
    leave_socket(pool, transfer);
    transfer->stale = false;
    transfer->fresh = true;
    transfer->message[0] = '\0';
    if (set_going(pool, transfer, &problem)) {
        curl_multi_remove_handle(pool->multi, former);
        curl_easy_cleanup(former);
    } else {
        transfer->easy = former;
        say(transfer, problem.message);
        finish(pool, transfer, CURLE_OUT_OF_MEMORY);
    }
}

static void harvest(struct pool *pool) {
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(pool->multi, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE) {
            char *private = NULL;
            CURLcode result = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
            struct transfer *transfer = (struct transfer *)(void *)private;
            if (transfer->stale && !transfer->fresh) {
                start_afresh(pool, transfer);
            } else {
                finish(pool, transfer, result);
            }
        }
    }
}

/* Nothing that was made before a fork works after it: the connections belong to the parent, and to
 * clean up would send on them. Only plain memory of our own is given back. No descriptor is closed:
 * its number may be another file's by now. */
static void forget(struct pool *pool) {
    disown_all(pool);
    struct list *lists[] = {&pool->running, &pool->finished};
    for (int i = 0; i < 2; i++) {
        while (lists[i]->first != NULL) {
            struct transfer *transfer = lists[i]->first;
            unlink_from(lists[i], transfer);
            transfer_release(transfer);
        }
    }
    pool->held_count = 0;
    pool->running_count = 0;
    pool->multi = NULL;
}

static void forget_if_forked(struct pool *pool) {
    if (pool->multi != NULL && pool->pid != getpid()) {
        forget(pool);
    }
}

static struct pool *check_pool(lua_State *L) {
    struct pool *pool = luaL_checkudata(L, 1, TYPE);
    if (!pool->open) {
        luaL_error(L, "this client is closed");
    }
    forget_if_forked(pool);
    return pool;
}

/* ---- checks before a request ---- */

static bool clean_text(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\r' || text[i] == '\n' || text[i] == '\0') {
            return false;
        }
    }
    return true;
}

/* Length of the leading token, in the sense of HTTP. */
static size_t token_length(const char *text) {
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                        "!#$%&'*+-.^_`|~");
}

static void set_code_problem(struct problem *problem, CURLcode result) {
    char text[24];
    const char *name = code_name((int)result, text, sizeof text);
    set_problem(problem, name == text ? "FAILED_INIT" : name, curl_easy_strerror(result));
}

static bool check_header(const char *header, size_t length, int index, struct problem *problem) {
    size_t name = token_length(header);
    const char *mistake = NULL;
    if (!clean_text(header, length)) {
        mistake = "holds a line break or a NUL byte";
    } else if (name == 0 || header[name] != ':') {
        mistake = "is not of the form \"Name: value\"";
    } else if (strspn(header + name + 1, " \t") == length - name - 1) {
        mistake = "has no value";
    }
    if (mistake == NULL) {
        return true;
    }
    problem->code = "BAD_FUNCTION_ARGUMENT";
    /* Never the value: it may be a secret. Text without a colon may be a bare value, too. */
    if (name > 0 && name <= 64 && header[name] == ':') {
        snprintf(problem->message, sizeof problem->message, "the header %.*s %s", (int)name, header,
                 mistake);
    } else {
        snprintf(problem->message, sizeof problem->message, "header number %d %s", index, mistake);
    }
    return false;
}

/* Rounded up: a fraction of a millisecond is still some time. */
static int milliseconds_of(double seconds) {
    if (!(seconds > 0)) {
        return 0;
    }
    if (seconds >= INT_MAX / 1000) {
        return INT_MAX;
    }
    int whole = (int)(seconds * 1000);
    return whole < seconds * 1000 ? whole + 1 : whole;
}

/* ---- the methods of a pool ---- */

/* Every option that is set must be taken: a protection that an old library does not know is none.
 */
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (result == CURLE_OK) {                                                                  \
            result = curl_easy_setopt(easy, (option), (value));                                    \
        }                                                                                          \
    } while (0)

static CURLcode set_method(CURL *easy, const struct request *request) {
    CURLcode result = CURLE_OK;
    bool post = strcmp(request->method, "POST") == 0;
    if (request->body != NULL || post) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_length);
        SET(CURLOPT_POSTFIELDS, request->body != NULL ? request->body : "");
        if (!post) {
            SET(CURLOPT_CUSTOMREQUEST, request->method);
        }
    } else if (strcmp(request->method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    } else {
        SET(CURLOPT_HTTPGET, 1L);
        if (strcmp(request->method, "GET") != 0) {
            SET(CURLOPT_CUSTOMREQUEST, request->method);
        }
    }
    return result;
}

static CURLcode set_protection(CURL *easy, const struct pool *pool, const struct request *request) {
    CURLcode result = CURLE_OK;
    const char *scheme = request->secure ? "https" : "http";
    SET(CURLOPT_PROTOCOLS_STR, scheme);
    SET(CURLOPT_REDIR_PROTOCOLS_STR, scheme);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    if (pool->ca_file != NULL) {
        SET(CURLOPT_CAINFO, pool->ca_file);
        /* Whoever names the authorities means these and no others. Not every TLS library knows a
         * folder of them. */
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (pool->proxy != NULL) {
        SET(CURLOPT_PROXY, pool->proxy);
        SET(CURLOPT_HTTPPROXYTUNNEL, 1L);
        SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    } else if (!request->secure) {
        SET(CURLOPT_PROXY, "");
    } else {
        SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    }
    return result;
}

static CURLcode set_callbacks(CURL *easy, struct pool *pool, struct transfer *transfer) {
    CURLcode result = CURLE_OK;
    SET(CURLOPT_PRIVATE, transfer);
    SET(CURLOPT_ERRORBUFFER, transfer->message);
    /* Sockets outlive the transfer that opened them. */
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
    SET(CURLOPT_OPENSOCKETDATA, pool);
    SET(CURLOPT_CLOSESOCKETFUNCTION, on_close);
    SET(CURLOPT_CLOSESOCKETDATA, pool);
    SET(CURLOPT_PREREQFUNCTION, on_ready);
    SET(CURLOPT_PREREQDATA, transfer);
    SET(CURLOPT_DEBUGFUNCTION, on_debug);
    SET(CURLOPT_DEBUGDATA, transfer);
    SET(CURLOPT_VERBOSE, 1L);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, transfer);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, transfer);
    /* Chunks come to us as they are: libcurl's reading of them is too lenient. */
    SET(CURLOPT_HTTP_TRANSFER_DECODING, 0L);
    return result;
}

static CURLcode set_options(CURL *easy, struct pool *pool, struct transfer *transfer) {
    const struct request *request = &transfer->request;
    CURLcode result = CURLE_OK;
    long timeout = milliseconds_of(request->timeout - (monotonic() - transfer->started));
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_NOPROGRESS, 1L);
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_HTTPHEADER, request->headers);
    /* Not every libcurl is built with HTTP/2; without it this is 1.1 anyway. */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     request->secure ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_PIPEWAIT, 0L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_MAXAGE_CONN, pool->max_age);
    SET(CURLOPT_TIMEOUT_MS, timeout > 0 ? timeout : 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, request->connect_timeout);
    SET(CURLOPT_FRESH_CONNECT, transfer->fresh ? 1L : 0L);
    if (pool->user_agent != NULL) {
        SET(CURLOPT_USERAGENT, pool->user_agent);
    }
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Without it a timeout or a cancel during name resolution waits for the resolver: for seconds,
     * in the middle of someone's event loop. What is left behind is freed by the resolver thread
     * itself. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
    result = result == CURLE_OK ? set_callbacks(easy, pool, transfer) : result;
    result = result == CURLE_OK ? set_protection(easy, pool, request) : result;
    return result == CURLE_OK ? set_method(easy, request) : result;
}

static bool add_header(struct request *request, const char *header) {
    struct curl_slist *longer = curl_slist_append(request->headers, header);
    if (longer != NULL) {
        request->headers = longer;
    }
    return longer != NULL;
}

/* The request's headers: the table at this index, already checked, and what keeps libcurl from
 * adding its own. */
static bool add_headers(lua_State *L, int index, struct request *request) {
    bool good = add_header(request, "Expect:"); /* waiting for "100 Continue" can stall */
    bool typed = false;
    int count = (int)compat_rawlen(L, index);
    for (int i = 1; good && i <= count; i++) {
        lua_rawgeti(L, index, i);
        const char *header = lua_tolstring(L, -1, NULL);
        typed = typed || strncasecmp(header, "Content-Type:", 13) == 0;
        good = add_header(request, header);
        lua_settop(L, -2);
    }
    if (good && request->body != NULL && !typed) {
        good = add_header(request, "Content-Type:");
    }
    return good;
}

#define LOW_DESCRIPTORS 256

/* A nameless pair of sockets within this process, as libcurl makes one to wake itself. */
static bool own_pair(int descriptor) {
    struct sockaddr_un name;
    struct ucred peer;
    socklen_t name_size = sizeof name, peer_size = sizeof peer;
    return getsockname(descriptor, (struct sockaddr *)&name, &name_size) == 0 &&
           name.sun_family == AF_UNIX && name_size == sizeof name.sun_family &&
           getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) == 0 &&
           peer.pid == getpid();
}

/* libcurl 7.88 does not mark the sockets by which it wakes itself: programs that this process
 * starts would inherit them. */
static CURLM *new_multi(void) {
    bool open_before[LOW_DESCRIPTORS];
    for (int i = 0; i < LOW_DESCRIPTORS; i++) {
        open_before[i] = fcntl(i, F_GETFD) >= 0;
    }
    CURLM *multi = curl_multi_init();
    for (int i = 0; i < LOW_DESCRIPTORS; i++) {
        int flags = open_before[i] ? -1 : fcntl(i, F_GETFD);
        if (flags >= 0 && own_pair(i)) {
            fcntl(i, F_SETFD, flags | FD_CLOEXEC);
        }
    }
    return multi;
}

static bool ready(struct pool *pool, struct problem *problem) {
    if (pool->multi == NULL) {
        pool->multi = new_multi();
        if (pool->multi == NULL) {
            set_problem(problem, "OUT_OF_MEMORY", "not enough memory for connections");
            return false;
        }
        pool->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (pool->epoll < 0) {
            curl_multi_cleanup(pool->multi);
            pool->multi = NULL;
            set_problem(problem, "OUT_OF_MEMORY", "too many files are open to watch connections");
            return false;
        }
        pool->pid = getpid();
        pool->timer = -1;
        curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
        curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool);
        curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, on_timer);
        curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool);
        curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, KEPT_CONNECTIONS);
        /* One request at a time on each connection, with HTTP/2 too: a connection that is lost then
         * leaves one request in doubt, and not all that were in flight. */
        curl_multi_setopt(pool->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    }
    return true;
}

static char *copy_of(const char *text, size_t length) {
    char *copy = malloc(length + 1);
    if (copy != NULL) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

/* What the caller gave. The strings are Lua's, on its stack. */
struct arguments {
    const char *method;
    const char *url;
    const char *body; /* NULL: none */
    size_t method_length;
    size_t url_length;
    size_t body_length;
    double timeout;
    long connect_timeout;
    double id; /* 0: none was given */
    bool secure;
};

static bool copy_request(struct request *request, const struct arguments *given) {
    request->method = copy_of(given->method, given->method_length);
    request->url = copy_of(given->url, given->url_length);
    request->body = given->body != NULL ? copy_of(given->body, given->body_length) : NULL;
    request->body_length = given->body_length;
    request->timeout = given->timeout;
    request->connect_timeout = given->connect_timeout;
    request->secure = given->secure;
    return request->method != NULL && request->url != NULL &&
           (given->body == NULL || request->body != NULL);
}

/* Makes a handle for the transfer and hands it to libcurl. Where that fails, `easy` is NULL. */
static bool set_going(struct pool *pool, struct transfer *transfer, struct problem *problem) {
    CURL *easy = curl_easy_init();
    transfer->easy = easy;
    if (easy == NULL) {
        set_problem(problem, "OUT_OF_MEMORY", "not enough memory for a request");
        return false;
    }
    CURLcode result = set_options(easy, pool, transfer);
    if (result != CURLE_OK) {
        set_code_problem(problem, result);
    } else if (curl_multi_add_handle(pool->multi, easy) != CURLM_OK) {
        set_problem(problem, "OUT_OF_MEMORY", "the request cannot be started");
    } else {
        return true;
    }
    curl_easy_cleanup(easy);
    transfer->easy = NULL;
    return false;
}

static struct transfer *new_transfer(struct pool *pool) {
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (transfer != NULL) {
        transfer->pool = pool;
        transfer->references = 1;
        transfer->started = monotonic();
        transfer->max_body = pool->max_body;
        transfer->max_head = pool->max_header;
        transfer->socket = -1;
        atomic_fetch_add(&core_counts.transfers, 1);
    }
    return transfer;
}

/* Raises no Lua error and allocates nothing in Lua, so that nothing of what it acquires can be lost
 * and nobody can close the pool meanwhile. */
static struct transfer *launch(lua_State *L, struct pool *pool, const struct arguments *given,
                               struct problem *problem) {
    struct transfer *transfer = ready(pool, problem) ? new_transfer(pool) : NULL;
    if (transfer == NULL || !copy_request(&transfer->request, given) ||
        !add_headers(L, 4, &transfer->request)) {
        if (problem->code == NULL) {
            set_problem(problem, "OUT_OF_MEMORY", "not enough memory for a request");
        }
    } else {
        transfer->response.head_request = strcmp(given->method, "HEAD") == 0;
        set_going(pool, transfer, problem);
    }
    if (problem->code != NULL) {
        if (transfer != NULL) {
            transfer_release(transfer);
        }
        return NULL;
    }
    transfer->id = given->id > 0 ? (long long)given->id : ++pool->last_id;
    append(&pool->running, transfer);
    pool->running_count++;
    return transfer;
}

static long check_milliseconds(lua_State *L, int index) {
    double seconds = (double)luaL_checknumber(L, index);
    luaL_argcheck(L, seconds > 0, index, "must be a positive number of seconds");
    return milliseconds_of(seconds);
}

/* Takes the arguments. A number among them is converted here, which allocates: whatever must not
 * change any more is looked at only after this. */
static void read_arguments(lua_State *L, struct arguments *given) {
    given->method = luaL_checklstring(L, 2, &given->method_length);
    given->url = luaL_checklstring(L, 3, &given->url_length);
    luaL_checktype(L, 4, LUA_TTABLE);
    if (!lua_isnoneornil(L, 5)) {
        given->body = luaL_checklstring(L, 5, &given->body_length);
    }
    given->timeout = (double)check_milliseconds(L, 6) / 1000;
    given->connect_timeout = check_milliseconds(L, 7);
    given->id = lua_isnoneornil(L, 8) ? 0 : compat_checkwhole(L, 8);
    int count = (int)compat_rawlen(L, 4);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 4, i);
        luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 4, "headers must be strings");
        lua_settop(L, -2);
    }
}

/* Allocates nothing in Lua. */
static bool check_arguments(lua_State *L, const struct pool *pool, struct arguments *given,
                            struct problem *problem) {
    int count = (int)compat_rawlen(L, 4);
    for (int i = 1; i <= count; i++) {
        size_t length = 0;
        lua_rawgeti(L, 4, i);
        const char *header = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &length) : "";
        bool good = check_header(header, length, i, problem);
        lua_settop(L, -2);
        if (!good) {
            return false;
        }
    }
    if (given->method_length == 0 || token_length(given->method) != given->method_length) {
        set_problem(problem, "BAD_FUNCTION_ARGUMENT", "the method is not an HTTP method");
        return false;
    }
    if (!clean_text(given->url, given->url_length)) {
        set_problem(problem, "BAD_FUNCTION_ARGUMENT", "the URL holds a line break or a NUL byte");
        return false;
    }
    struct url_facts facts;
    if (!check_url(given->url, given->url_length, URL_REQUEST, &facts, problem)) {
        return false;
    }
    if (!facts.secure && pool->proxy != NULL && !pool->proxy_is_local) {
        set_problem(problem, "UNSUPPORTED_PROTOCOL",
                    "plain http must not go through a proxy on another machine: use https");
        return false;
    }
    given->secure = facts.secure;
    return true;
}

/* start(method, url, headers, body, timeout, connect_timeout [, id]) -> id | nil, code, message.
 * The id names the transfer in `take` and `cancel`. */
static int pool_start(lua_State *L) {
    struct pool *pool = check_pool(L);
    struct arguments given = {0};
    struct problem problem = {NULL, ""};
    struct transfer *transfer = NULL;
    read_arguments(L, &given);
    if (!pool->open) {
        set_problem(&problem, "ABORTED_BY_CALLBACK", "the client was closed");
    } else if (check_arguments(L, pool, &given, &problem)) {
        struct pipe_guard guard;
        guard_pipe(&guard);
        transfer = launch(L, pool, &given, &problem);
        unguard_pipe(&guard);
    }
    if (transfer == NULL) {
        lua_pushnil(L);
        lua_pushstring(L, problem.code);
        lua_pushstring(L, problem.message);
        return 3;
    }
    lua_pushinteger(L, (lua_Integer)transfer->id);
    return 1;
}

static void close_multi(struct pool *pool) {
    while (pool->running.first != NULL) {
        struct transfer *transfer = pool->running.first;
        unlink_from(&pool->running, transfer);
        detach(pool, transfer);
        transfer_release(transfer);
    }
    pool->running_count = 0;
    curl_multi_cleanup(pool->multi);
    pool->multi = NULL;
    disown_all(pool);
    close(pool->epoll);
}

static int pool_perform(lua_State *L) {
    struct pool *pool = check_pool(L);
    if (pool->multi != NULL && pool->running_count > 0) {
        struct pipe_guard guard;
        guard_pipe(&guard);
        CURLMcode result = act(pool);
        harvest(pool);
        /* Where the multi handle itself fails no transfer will ever end: end them here, or the
         * caller waits for ever. */
        while (result != CURLM_OK && pool->running.first != NULL) {
            finish(pool, pool->running.first,
                   result == CURLM_OUT_OF_MEMORY ? CURLE_OUT_OF_MEMORY : CURLE_RECV_ERROR);
        }
        if (result != CURLM_OK) {
            /* libcurl 7.88 divides by zero when it goes on with what it could not note. */
            close_multi(pool);
        }
        unguard_pipe(&guard);
    }
    lua_pushinteger(L, pool->running_count);
    return 1;
}

static int pool_wait(lua_State *L) {
    struct pool *pool = check_pool(L);
    int milliseconds = milliseconds_of((double)luaL_checknumber(L, 2));
    if (pool->multi != NULL) {
        struct pollfd watched = {.fd = pool->epoll, .events = POLLIN};
        if (pool->timer >= 0) {
            int until_timer = milliseconds_of(pool->timer - monotonic());
            milliseconds = until_timer < milliseconds ? until_timer : milliseconds;
        }
        double held = let_go_due(pool);
        if (held >= 0 && milliseconds_of(held) < milliseconds) {
            milliseconds = milliseconds_of(held);
        }
        poll(&watched, 1, milliseconds);
    } else {
        poll(NULL, 0, milliseconds);
    }
    return 0;
}

static void set_string(lua_State *L, const char *name, const char *text, size_t length) {
    lua_pushlstring(L, text != NULL ? text : "", length);
    lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, double number) {
    lua_pushnumber(L, number);
    lua_setfield(L, -2, name);
}

static void set_integer(lua_State *L, const char *name, long long number) {
    lua_pushinteger(L, (lua_Integer)number);
    lua_setfield(L, -2, name);
}

static void set_boolean(lua_State *L, const char *name, bool value) {
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

/* Keeps a transfer alive while its result is made: that allocates, and a finalizer that runs then
 * may close the pool or take results itself. */
struct holder {
    struct transfer *transfer;
};

static int holder_release(lua_State *L) {
    struct holder *holder = luaL_checkudata(L, 1, HOLDER_TYPE);
    struct transfer *transfer = holder->transfer;
    holder->transfer = NULL;
    if (transfer != NULL) {
        transfer_release(transfer);
    }
    return 0;
}

static void push_result(lua_State *L, const struct transfer *transfer) {
    /* With room for what the caller adds. */
    lua_createtable(L, 0, 16);
    set_integer(L, "id", transfer->id);
    if (transfer->code != NULL) {
        set_string(L, "code", transfer->code, strlen(transfer->code));
        set_string(L, "message", transfer->message, strlen(transfer->message));
    }
    if (transfer->response.status >= 200) {
        set_integer(L, "status", transfer->response.status);
    }
    set_string(L, "headers", transfer->head.data, transfer->head.length);
    set_string(L, "body", transfer->body.data, transfer->body.length);
    set_boolean(L, "sent", transfer->sent);
    set_boolean(L, "early", transfer->early);
    set_boolean(L, "new_connection", transfer->new_connection);
    set_number(L, "elapsed", transfer->elapsed);
    if (transfer->version != 0) {
        set_number(L, "http_version", transfer->version);
    }
    set_integer(L, "received", (long long)(transfer->head_received + transfer->body_received));
}

static int pool_take(lua_State *L) {
    struct pool *pool = check_pool(L);
    lua_settop(L, 1);
    if (pool->finished.first == NULL) {
        lua_pushnil(L);
        return 1;
    }
    struct holder *holder = compat_newobject(L, HOLDER_TYPE, sizeof *holder);
    for (;;) {
        /* The list may be another one by now. */
        struct transfer *transfer = pool->finished.first;
        if (transfer == NULL) {
            lua_pushnil(L);
            return 1;
        }
        transfer->references++;
        holder->transfer = transfer;
        /* Until the table is whole the transfer stays in the list: a memory error of Lua's then
         * loses nothing. */
        push_result(L, transfer);
        holder->transfer = NULL;
        bool ours = transfer->linked || !pool->open;
        if (transfer->linked) {
            unlink_from(&pool->finished, transfer);
            transfer_release(transfer);
        }
        transfer_release(transfer);
        if (ours) {
            return 1;
        }
        lua_settop(L, 2); /* a finalizer took this one */
    }
}

static int pool_cancel(lua_State *L) {
    struct pool *pool = check_pool(L);
    double id = (double)luaL_checknumber(L, 2);
    struct transfer *transfer = pool->running.first;
    while (transfer != NULL && (double)transfer->id != id) {
        transfer = transfer->next;
    }
    if (transfer != NULL) {
        struct pipe_guard guard;
        guard_pipe(&guard);
        unlink_from(&pool->running, transfer);
        pool->running_count--;
        detach(pool, transfer);
        transfer_release(transfer);
        unguard_pipe(&guard);
    }
    lua_pushboolean(L, transfer != NULL);
    return 1;
}

static int pool_running(lua_State *L) {
    lua_pushinteger(L, check_pool(L)->running_count);
    return 1;
}

static void disconnect(struct pool *pool) {
    struct pipe_guard guard;
    guard_pipe(&guard);
    while (pool->finished.first != NULL) {
        struct transfer *transfer = pool->finished.first;
        unlink_from(&pool->finished, transfer);
        transfer_release(transfer);
    }
    if (pool->multi != NULL) {
        close_multi(pool);
    }
    unguard_pipe(&guard);
}

static int pool_release(lua_State *L) {
    struct pool *pool = luaL_checkudata(L, 1, TYPE);
    forget_if_forked(pool);
    disconnect(pool);
    free(pool->ca_file);
    free(pool->proxy);
    free(pool->user_agent);
    pool->ca_file = pool->proxy = pool->user_agent = NULL;
    if (pool->open) {
        pool->open = false;
        atomic_fetch_sub(&core_counts.pools, 1);
    }
    return 0;
}

/* ---- making a pool ---- */

static int wrong_option(lua_State *L, const char *name, const char *mistake) {
    lua_pushfstring(L, "%s %s", name, mistake);
    return luaL_argerror(L, 1, lua_tolstring(L, -1, NULL));
}

static double number_option(lua_State *L, const char *name, double usual, double most) {
    lua_getfield(L, 1, name);
    double number = usual;
    if (!lua_isnil(L, -1)) {
        number = lua_type(L, -1) == LUA_TNUMBER ? (double)lua_tonumber(L, -1) : -1;
        if (!(number >= 1 && (number >= most || number == (double)(long long)number))) {
            wrong_option(L, name, "must be a positive whole number");
        }
    }
    lua_settop(L, -2);
    return number < most ? number : most;
}

static char *text_option(lua_State *L, const char *name) {
    char *copy = NULL;
    lua_getfield(L, 1, name);
    if (!lua_isnil(L, -1)) {
        size_t length = 0;
        const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &length) : NULL;
        if (text == NULL || !clean_text(text, length)) {
            wrong_option(L, name, "must be a string without line breaks and NUL bytes");
            return NULL; /* not reached */
        }
        copy = malloc(length + 1);
        if (copy == NULL) {
            luaL_error(L, "not enough memory");
            return NULL; /* not reached */
        }
        memcpy(copy, text, length + 1);
    }
    lua_settop(L, -2);
    return copy;
}

static bool is_local(const char *proxy) {
    struct url_facts facts;
    struct problem problem = {NULL, ""};
    return proxy != NULL && check_url(proxy, strlen(proxy), URL_PROXY, &facts, &problem) &&
           facts.loopback;
}

static int pool_new(lua_State *L) {
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_createtable(L, 0, 0);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    core_setup(L);
    struct pool *pool = compat_newobject(L, TYPE, sizeof *pool);
    pool->max_body = (size_t)number_option(L, "max_body", DEFAULT_MAX_BODY, (double)(SIZE_MAX / 8));
    pool->max_header =
        (size_t)number_option(L, "max_header", DEFAULT_MAX_HEADER, (double)(SIZE_MAX / 8));
    pool->max_age = (long)number_option(L, "max_age", DEFAULT_MAX_AGE, (double)(INT_MAX / 1000));
    pool->ca_file = text_option(L, "ca_file");
    pool->proxy = text_option(L, "proxy");
    pool->user_agent = text_option(L, "user_agent");
    pool->proxy_is_local = is_local(pool->proxy);
    pool->open = true;
    atomic_fetch_add(&core_counts.pools, 1);
    return 1;
}

void core_open_http(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"start", pool_start}, {"perform", pool_perform}, {"wait", pool_wait},
        {"take", pool_take},   {"cancel", pool_cancel},   {"running", pool_running},
        {NULL, NULL},
    };
    static const luaL_Reg no_methods[] = {{NULL, NULL}};
    static const luaL_Reg functions[] = {{"pool", pool_new}, {NULL, NULL}};
    compat_newtype(L, TYPE, methods, pool_release);
    compat_newtype(L, HOLDER_TYPE, no_methods, holder_release);
    compat_setfuncs(L, functions);
}
