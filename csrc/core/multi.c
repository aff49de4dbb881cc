/* The curl multi handle of a pool, and the loop around it. */
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Were this fewer than are in use at once, every answer would close a connection. */
#define KEPT_CONNECTIONS 256L
#define EVENTS_AT_ONCE 32 /* so that one look at many busy connections stays short */

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
CURLMcode act(struct pool *pool) {
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

void harvest(struct pool *pool) {
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

void forget_if_forked(struct pool *pool) {
    if (pool->multi != NULL && pool->pid != getpid()) {
        forget(pool);
    }
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

bool ready(struct pool *pool, struct problem *problem) {
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

void close_multi(struct pool *pool) {
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
