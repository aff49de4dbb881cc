/* The sockets of a pool, and what the system knows of them. */
#include "pool.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

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

curl_socket_t on_open(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
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

int on_close(void *context, curl_socket_t socket) {
    struct pool *pool = context;
    struct epoll_event none = {0};
    disown_socket(pool, socket);
    /* Closing alone would leave it in the set where a forked child still holds a copy. */
    epoll_ctl(pool->epoll, EPOLL_CTL_DEL, socket, &none);
    return close(socket);
}

void disown_all(struct pool *pool) {
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
struct owned *find_socket(struct pool *pool, int local_port, int remote_port) {
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

enum waiting look(int socket) {
    char byte;
    ssize_t count = recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return count > 0 ? BYTES_WAIT
           : count == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
               ? END_WAITS
               : NOTHING_WAITS;
}

/* Does a TLS record wait that can hold bytes of an answer? With TLS 1.3 a record does not show what
 * is in it, but a warning or a change of keys shows by its length. */
bool record_waits(int socket) {
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

bool decrypted_waits(CURL *easy) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct curl_tlssessioninfo *session = NULL;
    pthread_once(&once, find_ssl_pending);
    return ssl_pending != NULL &&
           curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &session) == CURLE_OK && session != NULL &&
           session->backend == CURLSSLBACKEND_OPENSSL && session->internals != NULL &&
           ssl_pending(session->internals) > 0;
}

bool count_traffic(int socket, struct traffic *traffic) {
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
