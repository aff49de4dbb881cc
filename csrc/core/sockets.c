/* The sockets of a pool, and what the system knows of them. */
#include "pool.h"

#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of a TLS record: its type, and the lengths of two kinds of message in TLS 1.3. */
enum { APPLICATION_DATA = 23, ALERT_LENGTH = 19, KEY_UPDATE_LENGTH = 22 };

static void forget_socket(struct pool *pool, int socket) {
    struct pool_socket **place = &pool->sockets;
    while (*place != NULL && (*place)->socket != socket) {
        place = &(*place)->next;
    }
    struct pool_socket *found = *place;
    if (found != NULL) {
        *place = found->next;
        if (found->user != NULL) {
            found->user->socket = -1;
        }
        free(found);
    }
}

void forget_sockets(struct pool *pool) {
    while (pool->sockets != NULL) {
        forget_socket(pool, pool->sockets->socket);
    }
}

curl_socket_t on_open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
    struct pool *pool = context;
    struct pool_socket *made = calloc(1, sizeof *made);
    (void)purpose;
    if (made == NULL) {
        return CURL_SOCKET_BAD;
    }
    /* A program that this process starts must not inherit the connection. */
    made->socket = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (made->socket < 0) {
        free(made);
        return CURL_SOCKET_BAD;
    }
    /* libcurl does not tell when it closes a socket that never got a connection. */
    forget_socket(pool, made->socket);
    made->next = pool->sockets;
    pool->sockets = made;
    return made->socket;
}

int on_close_socket(void *context, curl_socket_t socket) {
    forget_socket(context, socket);
    return close(socket);
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

struct pool_socket *find_socket(struct pool *pool, int local_port, int remote_port) {
    struct pool_socket *each = local_port > 0 ? pool->sockets : NULL;
    for (; each != NULL; each = each->next) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        if (each->port == 0 && getsockname(each->socket, (struct sockaddr *)&address, &size) == 0) {
            each->port = port_of(&address);
        }
        if (each->port == local_port && has_peer(each->socket, remote_port)) {
            break;
        }
    }
    return each;
}

enum waiting what_waits(int socket) {
    char byte;
    ssize_t count = recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return count > 0 ? BYTES_WAIT
           : count == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
               ? END_WAITS
               : NOTHING_WAITS;
}

/* With TLS 1.3 a record does not show what is in it, but an alert and a change of keys have lengths
 * of their own. */
bool tls_record_waits(int socket) {
    unsigned char head[5] = {0};
    ssize_t count = recv(socket, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);
    int length = head[3] << 8 | head[4];
    return count == sizeof head && head[0] == APPLICATION_DATA && length != ALERT_LENGTH &&
           length != KEY_UPDATE_LENGTH;
}

/* Only OpenSSL is asked: the name of its function is known, and this finds the library that libcurl
 * uses. */
static int (*ssl_pending)(const void *ssl);

static void find_ssl_pending(void) {
    void *libraries = compat_pin();
    if (libraries != NULL) {
        *(void **)&ssl_pending = dlsym(libraries, "SSL_pending");
    }
}

bool tls_bytes_wait(CURL *easy) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct curl_tlssessioninfo *session = NULL;
    pthread_once(&once, find_ssl_pending);
    return ssl_pending != NULL &&
           curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &session) == CURLE_OK && session != NULL &&
           session->backend == CURLSSLBACKEND_OPENSSL && session->internals != NULL &&
           ssl_pending(session->internals) > 0;
}

bool count_traffic(int socket, struct tcp_info *info) {
    socklen_t size = sizeof *info;
    return getsockopt(socket, IPPROTO_TCP, TCP_INFO, info, &size) == 0 &&
           size >= offsetof(struct tcp_info, tcpi_bytes_sent) + sizeof info->tcpi_bytes_sent;
}
