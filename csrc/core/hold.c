/* Holding back the end of a request on a new connection. */
#include "pool.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* On a new connection the system holds the end of the request back for so long (s): an answer that
 * comes meanwhile is an answer to nothing. It holds nothing back beyond 0.2 s: what comes later
 * than HOLD_PROVES proves nothing. */
#define HOLD 0.02
#define HOLD_PROVES 0.1

static void set_cork(int socket, int corked) {
    setsockopt(socket, IPPROTO_TCP, TCP_CORK, &corked, sizeof corked);
}

void hold(struct transfer *transfer) {
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

void let_go(struct transfer *transfer) {
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
double let_go_due(struct pool *pool) {
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
