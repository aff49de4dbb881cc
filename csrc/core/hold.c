/* Holding back the end of a request on a new connection.
 *
 * A response that comes while the end of the request has not left yet is not a response to it. The
 * socket is corked for HOLD seconds, so that such a response shows. The system itself holds nothing
 * back for longer than 0.2 s: a response that comes after HOLD_PROVES seconds is no proof, because
 * the system may have sent the end by then. */
#include "pool.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define HOLD 0.02
#define HOLD_PROVES 0.1

static void set_cork(int socket, int corked) {
    setsockopt(socket, IPPROTO_TCP, TCP_CORK, &corked, sizeof corked);
}

void hold_request(struct transfer *transfer) {
    int now = 1;
    transfer->held = true;
    transfer->held_since = monotonic();
    transfer->pool->held_count++;
    set_cork(transfer->socket, 1);
    /* The peer's system may keep a response back until it knows that the handshake has arrived. */
    setsockopt(transfer->socket, IPPROTO_TCP, TCP_QUICKACK, &now, sizeof now);
}

/* What has arrived so far came before the end of the request was sent, or before any of it. But the
 * system may have sent something by itself, to see whether the peer is still there. */
static void note_arrived(struct transfer *transfer) {
    struct tcp_info traffic;
    if (!transfer->counted || monotonic() - transfer->held_since >= HOLD_PROVES ||
        !count_traffic(transfer->socket, &traffic)) {
        return;
    }
    if (traffic.tcpi_bytes_sent == transfer->sent_before) {
        transfer->arrived_before = traffic.tcpi_bytes_received;
    } else if (!transfer->response.http2 && traffic.tcpi_notsent_bytes > 0) {
        transfer->arrived_held = traffic.tcpi_bytes_received;
    }
}

void release_request(struct transfer *transfer) {
    if (transfer->held) {
        if (transfer->socket >= 0) {
            note_arrived(transfer);
            set_cork(transfer->socket, 0);
        }
        transfer->held = false;
        transfer->pool->held_count--;
    }
}

double release_due(struct pool *pool) {
    double next = -1, now = pool->held_count > 0 ? monotonic() : 0;
    struct transfer *transfer = pool->held_count > 0 ? pool->running.first : NULL;
    for (; transfer != NULL; transfer = transfer->next) {
        double left = transfer->held_since + HOLD - now;
        if (transfer->held && left <= 0) {
            release_request(transfer);
        } else if (transfer->held && (next < 0 || left < next)) {
            next = left;
        }
    }
    return next;
}
