/* A pool, its transfers, and what the files of this folder do with them. */
#ifndef HEYMARKET_POOL_H
#define HEYMARKET_POOL_H

#include "../buffer.h"
#include "core.h"
#include "request.h"
#include "response_head.h"

#include <linux/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

/* What is to be sent, in memory of our own: libcurl reads the body from here, and a request that
 * found its connection stale is started once more. */
struct request {
    const char *method;
    const char *url;
    const char *body; /* NULL: none */
    size_t body_length;
    struct curl_slist *headers;
    double timeout;       /* s, from the start on */
    long connect_timeout; /* ms */
    bool secure;
};

/* What a pool was made with. The thread reads it while the pool may be closed already. */
struct settings {
    atomic_int references; /* the pool's, and one of each transfer */
    atomic_bool closed;    /* the pool is closed */
    size_t max_body;
    size_t max_header;
    long max_age;
    char *ca_file;
    char *proxy;
    bool proxy_is_local; /* on this machine */
    char *user_agent;
};

struct transfer {
    struct transfer *next;
    struct transfer *previous;
    struct pool *pool; /* whose multi handle runs it: the pool that it was started with, or the
                          thread's */
    struct settings *settings;
    struct inbox *inbox; /* where its result goes; NULL: into `finished` of its pool */
    CURL *easy;          /* NULL once finished */
    struct request request;
    long long id;
    int references; /* the list it is in, and a `take` that is reading it */
    bool linked;
    double started;
    struct response response;
    struct buffer head; /* of the final response */
    struct buffer body;
    size_t head_received; /* of all responses, interim ones included */
    size_t body_received;
    int socket;              /* of its connection; -1 where it is not known */
    bool counted;            /* is `arrived_before` known? */
    uint64_t arrived_before; /* bytes that the connection had brought before the request was sent */
    bool held;               /* the end of the request is held back */
    double held_since;
    uint64_t sent_before;  /* bytes that had left on the connection when the holding began */
    uint64_t arrived_held; /* bytes that it had brought before the end was released; 0: not known */
    bool fresh;  /* a connection of its own was asked for, because the kept one was stale */
    bool stale;  /* bytes or an end waited on the kept connection; nothing was sent */
    bool sent;   /* the request was about to be written on a ready connection */
    bool early;  /* the response was sent before the whole request had arrived */
    bool excess; /* more bytes came than the response announced */
    bool kept;   /* the connection is kept after the response, or the peer has said that it
                    goes away */
    bool new_connection;
    double version;
    double elapsed;
    const char *code;    /* libcurl's name of the error; NULL: there is a response */
    const char *problem; /* our code of what is wrong; NULL: `message` has libcurl's words */
    CURLcode refusal;    /* the error of libcurl that stands for `problem` */
    char code_text[24];
    char message[CURL_ERROR_SIZE];
};

struct inbox;

struct list {
    struct transfer *first;
    struct transfer *last;
    int count;
};

/* A socket of the pool. libcurl tells a callback only the ports of its connection. */
struct pool_socket {
    struct pool_socket *next;
    int socket;
    int port;              /* the local one; 0 before it is known */
    struct transfer *user; /* the transfer that uses it; NULL: none */
};

/* What runs transfers: a pool that Lua made, or that of the thread. */
struct pool {
    bool open;
    struct settings *settings; /* NULL: the thread's pool */
    struct thread *thread;     /* runs its transfers; NULL: none of them yet */
    CURLM *multi;              /* made by the first start in this process */
    pid_t pid;                 /* of the process that made it */
    int wake;                  /* the thread's pool: a descriptor that ends its waiting; else 0 */
    struct pollfd *watched;    /* what libcurl waits for on which sockets */
    size_t watched_count;
    size_t watched_room;
    size_t watched_turn; /* where the next look at them begins */
    double timer;        /* monotonic seconds at which libcurl wants to be called; below 0: never */
    long long last_id;
    struct list running;
    struct list finished;
    struct pool_socket *sockets;
    int held_count; /* running transfers that are held */
};

/* ---- sigpipe.c: no write to a closed connection ends the process ---- */

struct sigpipe {
    bool guarded;
    bool pending; /* was it before? */
    sigset_t former_mask;
};

HIDDEN void sigpipe_block(struct sigpipe *guard);
HIDDEN void sigpipe_restore(const struct sigpipe *guard);

/* ---- sockets.c ---- */

enum waiting { NOTHING_WAITS, BYTES_WAIT, END_WAITS };

/* Callbacks of libcurl. */
HIDDEN curl_socket_t on_open_socket(void *context, curlsocktype purpose,
                                    struct curl_sockaddr *address);
HIDDEN int on_close_socket(void *context, curl_socket_t socket);

/* Forgets them without closing. */
HIDDEN void forget_sockets(struct pool *pool);

/* The socket of the connection between these two ports; NULL where it is not to be found. */
HIDDEN struct pool_socket *find_socket(struct pool *pool, int local_port, int remote_port);

HIDDEN enum waiting what_waits(int socket);

/* Does a TLS record wait that can hold bytes of a response? */
HIDDEN bool tls_record_waits(int socket);

/* Are there decrypted bytes that libcurl has not fetched from its TLS library? */
HIDDEN bool tls_bytes_wait(CURL *easy);

/* What the system has counted. False where it does not count all of it. */
HIDDEN bool count_traffic(int socket, struct tcp_info *info);

/* ---- hold.c: the end of a request on a new connection is held back ---- */

HIDDEN void hold_request(struct transfer *transfer);
HIDDEN void release_request(struct transfer *transfer);

/* Releases the requests whose time has come. Gives the seconds until the next one; below 0 where
 * none is held. */
HIDDEN double release_due(struct pool *pool);

/* ---- callbacks.c: what libcurl calls while a transfer runs ---- */

HIDDEN int on_connected(void *context, char *remote_ip, char *local_ip, int remote_port,
                        int local_port);
HIDDEN size_t on_header(char *line, size_t size, size_t count, void *context);
HIDDEN size_t on_body(char *data, size_t size, size_t count, void *context);
HIDDEN int on_debug(CURL *easy, curl_infotype type, char *text, size_t size, void *context);

/* Has libcurl written less than the whole body of the request? */
HIDDEN bool uploaded_less(const struct transfer *transfer);

/* ---- curl_names.c ---- */

/* libcurl's name of an error; `text` is room for a number that has none. */
HIDDEN const char *curl_name(int number, char *text, size_t size);

/* ---- verdict.c ---- */

/* Notes that there is no response that can be trusted, and why. The first reason counts. Gives
 * false. */
HIDDEN bool refuse_response(struct transfer *transfer, CURLcode refusal, const char *problem);

/* Decides whether the response of a transfer that has ended can be trusted, and notes it. */
HIDDEN void judge_transfer(struct transfer *transfer, CURLcode result);

/* ---- transfer.c ---- */

/* Seconds since some moment in the past; they never go back. */
#define monotonic() compat_seconds(CLOCK_MONOTONIC)

/* Rounded up: a fraction of a millisecond is still some time. */
HIDDEN int milliseconds_of(double seconds);

HIDDEN void list_append(struct list *list, struct transfer *transfer);
HIDDEN void list_remove(struct list *list, struct transfer *transfer);
HIDDEN void list_release(struct list *list);

HIDDEN void settings_release(struct settings *settings);

HIDDEN struct transfer *new_transfer(struct pool *pool, struct settings *settings);
HIDDEN void transfer_release(struct transfer *transfer);

/* Makes libcurl's handle for the transfer and starts it. Where that fails, `easy` is NULL. */
HIDDEN bool start_transfer(struct transfer *transfer, struct problem *problem);

/* From then on nothing that happens on the connection concerns the transfer. */
HIDDEN void leave_socket(struct transfer *transfer);

/* Frees libcurl's handle; its connection stays in the multi handle. No handle is used again: what
 * libcurl remembers of one response must not meet the next. */
HIDDEN void detach_transfer(struct transfer *transfer);

HIDDEN void finish_transfer(struct transfer *transfer, CURLcode result);

/* Takes a transfer that has not ended out of the pool. */
HIDDEN void drop_transfer(struct transfer *transfer);

/* ---- easy_options.c ---- */

HIDDEN CURLcode set_options(struct transfer *transfer, CURL *easy);

/* ---- multi.c: the multi handle of a pool, and the loop around it ---- */

HIDDEN bool open_multi(struct pool *pool, struct problem *problem);
HIDDEN void close_multi(struct pool *pool);

/* Does what can be done without waiting. */
HIDDEN void poll_once(struct pool *pool);

/* Waits until something can be done, or for so long; below 0: however long that takes. */
HIDDEN void wait_for_events(struct pool *pool, int milliseconds);

/* After fork the child must not touch the parent's connections: it drops them without closing. */
HIDDEN void forget_if_forked(struct pool *pool);

/* ---- inbox.c: where the results of the thread arrive ---- */

/* Takes a finished transfer, which then belongs to the inbox. */
HIDDEN void inbox_put(struct transfer *transfer);

/* The result of the transfer will go to the inbox, and will not any more. */
HIDDEN void inbox_expect(struct inbox *inbox, struct transfer *transfer);
HIDDEN void inbox_forget(struct transfer *transfer);

/* In a forked child: what the parent's thread has is none of the child's transfers. */
HIDDEN void inbox_forget_all(void);

/* The inbox at an index; NULL where there is nothing. Raises an error where it is closed, or
 * something else. Asked again it allocates nothing. */
HIDDEN struct inbox *check_inbox(lua_State *L, int index);

/* ---- thread.c: the thread that runs the transfers of all pools whose results go to inboxes ----
 */

/* Makes sure that the thread runs and that the pool counts among its users. */
HIDDEN bool use_thread(struct pool *pool, struct problem *problem);

/* Hands a transfer over to the thread. */
HIDDEN void thread_start(struct thread *thread, struct transfer *transfer);

/* The pool is closed: its transfers end. With its last user the thread ends. */
HIDDEN void leave_thread(struct pool *pool);

/* After fork the thread is the parent's. */
HIDDEN bool thread_is_ours(const struct thread *thread);

/* ---- the methods of a pool: pool_start.c, result.c, pool.c ---- */

HIDDEN int pool_start(lua_State *L);
HIDDEN int pool_take(lua_State *L);
HIDDEN void open_result_type(lua_State *L);
HIDDEN void open_inbox_type(lua_State *L);

/* Pushes the result of the first transfer of a list, or nil where there is none. `open` tells
 * whether the owner of the list was closed meanwhile. */
HIDDEN int push_first_result(lua_State *L, struct list *list, const bool *open);

/* The pool at index 1; raises an error where it is closed. */
HIDDEN struct pool *check_pool(lua_State *L);

#endif
