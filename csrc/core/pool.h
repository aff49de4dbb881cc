/* A pool, its transfers and their parts. Only libcurl and this folder touch them. */
#ifndef HEYMARKET_POOL_H
#define HEYMARKET_POOL_H

#include "core.h"
#include "request.h"
#include "response_head.h"

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#define TYPE "heymarket.pool"
#define HOLDER_TYPE "heymarket.result"

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

enum waiting { NOTHING_WAITS, BYTES_WAIT, END_WAITS };

/* The system's counts of bytes that have left on the connection, and that it has brought. */
struct traffic {
    uint64_t sent;
    uint64_t arrived; /* read or not */
    uint64_t waiting; /* bytes that have not left yet */
};

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

/* ---- sigpipe.c ---- */

HIDDEN void guard_pipe(struct pipe_guard *guard);

HIDDEN void unguard_pipe(const struct pipe_guard *guard);

/* ---- sockets.c ---- */

HIDDEN curl_socket_t on_open(void *context, curlsocktype purpose, struct curl_sockaddr *address);

HIDDEN int on_close(void *context, curl_socket_t socket);

HIDDEN void disown_all(struct pool *pool);

/* The socket of the connection between these two ports; NULL where it is not to be found. */
HIDDEN struct owned *find_socket(struct pool *pool, int local_port, int remote_port);

HIDDEN enum waiting look(int socket);

/* Does a TLS record wait that can hold bytes of an answer? With TLS 1.3 a record does not show what
 * is in it, but a warning or a change of keys shows by its length. */
HIDDEN bool record_waits(int socket);

HIDDEN bool decrypted_waits(CURL *easy);

HIDDEN bool count_traffic(int socket, struct traffic *traffic);

/* ---- hold.c ---- */

HIDDEN void hold(struct transfer *transfer);

HIDDEN void let_go(struct transfer *transfer);

/* Lets go whose time has come. Gives the seconds until the next one; below 0 where none is held. */
HIDDEN double let_go_due(struct pool *pool);

/* ---- callbacks.c ---- */

HIDDEN int on_ready(void *context, char *remote_ip, char *local_ip, int remote_port,
                    int local_port);

HIDDEN bool uploaded_less(const struct transfer *transfer);

HIDDEN size_t on_header(char *line, size_t size, size_t count, void *context);

HIDDEN size_t on_body(char *data, size_t size, size_t count, void *context);

/* Three things are to be had in no other way: which version of HTTP the request went out with, for
 * the status line of the answer can lie; that libcurl threw bytes away that came behind the answer;
 * and whether an HTTP/2 connection is still good after the answer. */
HIDDEN int on_debug(CURL *easy, curl_infotype type, char *text, size_t size, void *context);

/* ---- curl_names.c ---- */

/* The mnemonic; `text` is room for a number that has none. */
HIDDEN const char *code_name(int number, char *text, size_t size);

HIDDEN void set_code_problem(struct problem *problem, CURLcode result);

/* ---- verdict.c ---- */

HIDDEN void say(struct transfer *transfer, const char *message);

HIDDEN void describe(struct transfer *transfer, CURLcode result);

/* ---- transfer.c ---- */

HIDDEN double monotonic(void);

/* Rounded up: a fraction of a millisecond is still some time. */
HIDDEN int milliseconds_of(double seconds);

HIDDEN void append(struct list *list, struct transfer *transfer);

HIDDEN void unlink_from(struct list *list, struct transfer *transfer);

HIDDEN bool buffer_add(struct buffer *buffer, const char *data, size_t length);

HIDDEN void transfer_release(struct transfer *transfer);

HIDDEN void leave_socket(struct pool *pool, struct transfer *transfer);

/* Gives up what libcurl holds of a transfer; its connection stays in the multi handle. No handle is
 * used again: what libcurl remembers of one answer must not meet the next. */
HIDDEN void detach(struct pool *pool, struct transfer *transfer);

HIDDEN void finish(struct pool *pool, struct transfer *transfer, CURLcode result);

HIDDEN bool copy_request(struct request *request, const struct arguments *given);

/* Makes a handle for the transfer and hands it to libcurl. Where that fails, `easy` is NULL. */
HIDDEN bool set_going(struct pool *pool, struct transfer *transfer, struct problem *problem);

HIDDEN struct transfer *new_transfer(struct pool *pool);

/* ---- easy_options.c ---- */

HIDDEN CURLcode set_options(CURL *easy, struct pool *pool, struct transfer *transfer);

/* ---- multi.c ---- */

/* Does what can be done now. */
HIDDEN CURLMcode act(struct pool *pool);

HIDDEN void harvest(struct pool *pool);

HIDDEN void forget_if_forked(struct pool *pool);

HIDDEN bool ready(struct pool *pool, struct problem *problem);

HIDDEN void close_multi(struct pool *pool);

/* ---- pool_start.c ---- */

/* start(method, url, headers, body, timeout, connect_timeout [, id]) -> id | nil, code, message.
 * The id names the transfer in `take` and `cancel`. */
HIDDEN int pool_start(lua_State *L);

/* ---- result.c ---- */

HIDDEN int holder_release(lua_State *L);

HIDDEN int pool_take(lua_State *L);

/* ---- pool.c ---- */

HIDDEN struct pool *check_pool(lua_State *L);

#endif
