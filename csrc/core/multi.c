/* The multi handle of a pool, and the loop around it. */
#include "pool.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* If this were fewer than are in use at once, every response would close a connection. */
#define KEPT_CONNECTIONS 256L
#define EVENTS_AT_ONCE 32 /* so that poll_once stays short with many busy connections */
#define LOW_DESCRIPTORS 256

static struct pollfd *find_watched(const struct pool *pool, int socket) {
    for (size_t i = 0; i < pool->watched_count; i++) {
        if (pool->watched[i].fd == socket) {
            return &pool->watched[i];
        }
    }
    return NULL;
}

/* A place for one more socket; NULL where memory has run out. */
static struct pollfd *add_watched(struct pool *pool, int socket) {
    if (pool->watched_count == pool->watched_room) {
        size_t room = pool->watched_room > 0 ? pool->watched_room * 2 : 8;
        struct pollfd *larger = realloc(pool->watched, room * sizeof *larger);
        if (larger == NULL) {
            return NULL;
        }
        pool->watched = larger;
        pool->watched_room = room;
    }
    struct pollfd *added = &pool->watched[pool->watched_count++];
    added->fd = socket;
    return added;
}

static void forget_watched(struct pool *pool) {
    free(pool->watched);
    pool->watched = NULL;
    pool->watched_count = pool->watched_room = pool->watched_turn = 0;
}

/* libcurl tells which sockets it wants watched. So poll_once costs one system call, however many
 * transfers wait. */
static int on_socket(CURL *easy, curl_socket_t socket, int what, void *context, void *known) {
    struct pool *pool = context;
    struct pollfd *watched = find_watched(pool, socket);
    (void)easy;
    (void)known;
    if (what == CURL_POLL_REMOVE) {
        if (watched != NULL) {
            *watched = pool->watched[--pool->watched_count];
        }
        return 0;
    }
    if (watched == NULL) {
        watched = add_watched(pool, socket);
    }
    if (watched == NULL) {
        return -1;
    }
    watched->events =
        (short)((what != CURL_POLL_OUT ? POLLIN : 0) | (what != CURL_POLL_IN ? POLLOUT : 0));
    watched->revents = 0;
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

/* Where this fails, the thread would not learn of new requests. */
static bool watch_wake(struct pool *pool, struct problem *problem) {
    struct pollfd *watched = add_watched(pool, pool->wake);
    if (watched == NULL) {
        close_multi(pool);
        return fail(problem, "OUT_OF_MEMORY", "out_of_memory");
    }
    watched->events = POLLIN;
    watched->revents = 0;
    return true;
}

bool open_multi(struct pool *pool, struct problem *problem) {
    if (pool->multi != NULL) {
        return true;
    }
    CURLM *multi = new_multi();
    if (multi == NULL) {
        return fail(problem, "OUT_OF_MEMORY", "out_of_memory");
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
    return pool->wake <= 0 || watch_wake(pool, problem);
}

void close_multi(struct pool *pool) {
    while (pool->running.first != NULL) {
        drop_transfer(pool->running.first);
    }
    curl_multi_cleanup(pool->multi);
    pool->multi = NULL;
    forget_sockets(pool);
    forget_watched(pool);
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

/* Copies up to `room` of the sockets that are ready; each call begins behind where the last one
 * ended, so that each has its turn. libcurl changes the list itself while it works. */
static size_t take_ready(struct pool *pool, struct pollfd *ready, size_t room) {
    size_t taken = 0, count = pool->watched_count;
    if (poll(pool->watched, (nfds_t)count, 0) <= 0) {
        return 0;
    }
    for (size_t looked = 0; looked < count && taken < room; looked++) {
        pool->watched_turn = (pool->watched_turn + 1) % count;
        if (pool->watched[pool->watched_turn].revents != 0) {
            ready[taken++] = pool->watched[pool->watched_turn];
        }
    }
    return taken;
}

static CURLMcode move_bytes(struct pool *pool) {
    struct pollfd ready[EVENTS_AT_ONCE];
    size_t count = take_ready(pool, ready, EVENTS_AT_ONCE);
    int running;
    CURLMcode result = CURLM_OK;
    for (size_t i = 0; i < count && result == CURLM_OK; i++) {
        int mask = (ready[i].revents & POLLIN ? CURL_CSELECT_IN : 0) |
                   (ready[i].revents & POLLOUT ? CURL_CSELECT_OUT : 0) |
                   (ready[i].revents & (POLLERR | POLLHUP | POLLNVAL) ? CURL_CSELECT_ERR : 0);
        /* `wake` has ended the waiting, and is for the thread. */
        if (ready[i].fd != pool->wake) {
            result = curl_multi_socket_action(pool->multi, ready[i].fd, mask, &running);
        }
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

static int lesser(int milliseconds, double seconds) {
    int other = milliseconds_of(seconds);
    return milliseconds < 0 || other < milliseconds ? other : milliseconds;
}

void wait_for_events(struct pool *pool, int milliseconds) {
    struct pollfd wake = {.fd = pool->wake > 0 ? pool->wake : -1, .events = POLLIN};
    if (pool->multi == NULL) {
        poll(&wake, 1, milliseconds);
        return;
    }
    double held = release_due(pool);
    if (pool->timer >= 0) {
        milliseconds = lesser(milliseconds, pool->timer - monotonic());
    }
    if (held >= 0) {
        milliseconds = lesser(milliseconds, held);
    }
    poll(pool->watched, (nfds_t)pool->watched_count, milliseconds);
}

/* The connections belong to the parent, and libcurl's own cleaning up would send on them. So only
 * plain memory of our own is freed. No descriptor is closed: its number may be another file's by
 * now. */
void forget_if_forked(struct pool *pool) {
    if (pool->thread != NULL && !thread_is_ours(pool->thread)) {
        pool->thread = NULL;
    }
    if (pool->multi != NULL && pool->pid != getpid()) {
        forget_sockets(pool);
        forget_watched(pool);
        list_release(&pool->running);
        list_release(&pool->finished);
        pool->held_count = 0;
        pool->multi = NULL;
    }
}
