/* The multi handle of a pool, and the loop around it. */
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* If this were fewer than are in use at once, every response would close a connection. */
#define KEPT_CONNECTIONS 256L
#define EVENTS_AT_ONCE 32 /* so that poll_once stays short with many busy connections */
#define LOW_DESCRIPTORS 256

/* libcurl tells which sockets it wants watched. So poll_once costs one system call, however many
 * transfers wait. */
static int on_socket(CURL *easy, curl_socket_t socket, int what, void *context, void *known) {
    struct pool *pool = context;
    struct epoll_event event = {.data.fd = socket};
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(pool->epoll, EPOLL_CTL_DEL, socket, &event);
        return 0;
    }
    event.events = (what != CURL_POLL_OUT ? EPOLLIN : 0U) | (what != CURL_POLL_IN ? EPOLLOUT : 0U);
    int likely = known != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    int other = known != NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(pool->epoll, likely, socket, &event) != 0 &&
        epoll_ctl(pool->epoll, other, socket, &event) != 0) {
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

/* libcurl 7.88 does not mark the sockets by which it wakes itself. Without this, programs that this
 * process starts would inherit them. */
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

bool open_multi(struct pool *pool, struct problem *problem) {
    if (pool->multi != NULL) {
        return true;
    }
    CURLM *multi = new_multi();
    if (multi == NULL) {
        return fail(problem, "OUT_OF_MEMORY", "out_of_memory");
    }
    pool->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (pool->epoll < 0) {
        curl_multi_cleanup(multi);
        return fail(problem, "OUT_OF_MEMORY", "too_many_files");
    }
    pool->multi = multi;
    pool->pid = getpid();
    pool->timer = -1;
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, pool);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, pool);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, KEPT_CONNECTIONS);
    /* One request at a time on each connection, with HTTP/2 too: a connection that is lost then
     * leaves one request in doubt, and not all that were in flight. */
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    return true;
}

void close_multi(struct pool *pool) {
    while (pool->running.first != NULL) {
        drop_transfer(pool->running.first);
    }
    curl_multi_cleanup(pool->multi);
    pool->multi = NULL;
    forget_sockets(pool);
    close(pool->epoll);
}

/* The kept connection held bytes that nobody asked for, or its end. Nothing was sent: the request
 * goes out on a new connection, in what is left of its time. */
static void start_afresh(struct transfer *transfer) {
    struct problem problem = {0};
    CURL *former = transfer->easy;
    leave_socket(transfer);
    transfer->stale = false;
    transfer->problem = NULL;
    transfer->fresh = true;
    transfer->message[0] = '\0';
    if (start_transfer(transfer, &problem)) {
        curl_multi_remove_handle(transfer->pool->multi, former);
        curl_easy_cleanup(former);
    } else {
        transfer->easy = former;
        refuse_response(transfer, CURLE_OUT_OF_MEMORY, "out_of_memory");
        finish_transfer(transfer, CURLE_OUT_OF_MEMORY);
    }
}

static void collect_finished(struct pool *pool) {
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(pool->multi, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE) {
            char *private = NULL;
            CURLcode result = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
            struct transfer *transfer = (struct transfer *)(void *)private;
            if (transfer->stale && !transfer->fresh) {
                start_afresh(transfer);
            } else {
                finish_transfer(transfer, result);
            }
        }
    }
}

static CURLMcode move_bytes(struct pool *pool) {
    struct epoll_event events[EVENTS_AT_ONCE];
    int running, count = epoll_wait(pool->epoll, events, EVENTS_AT_ONCE, 0);
    CURLMcode result = CURLM_OK;
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

void poll_once(struct pool *pool) {
    release_due(pool);
    CURLMcode result = move_bytes(pool);
    collect_finished(pool);
    if (result != CURLM_OK) {
        /* Where the multi handle itself fails, no transfer would ever end. And libcurl 7.88 divides
         * by zero when it goes on after such a failure. */
        CURLcode reason = result == CURLM_OUT_OF_MEMORY ? CURLE_OUT_OF_MEMORY : CURLE_RECV_ERROR;
        while (pool->running.first != NULL) {
            finish_transfer(pool->running.first, reason);
        }
        close_multi(pool);
    }
}

/* The connections belong to the parent, and libcurl's own cleaning up would send on them. So only
 * plain memory of our own is freed. No descriptor is closed: its number may be another file's by
 * now. */
void forget_if_forked(struct pool *pool) {
    if (pool->multi != NULL && pool->pid != getpid()) {
        forget_sockets(pool);
        list_release(&pool->running);
        list_release(&pool->finished);
        pool->held_count = 0;
        pool->multi = NULL;
    }
}
