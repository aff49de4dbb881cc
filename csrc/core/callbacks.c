/* What libcurl calls while a transfer runs. */
#include "pool.h"

#include <linux/sockios.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

int on_ready(void *context, char *remote_ip, char *local_ip, int remote_port, int local_port) {
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

bool uploaded_less(const struct transfer *transfer) {
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

size_t on_header(char *line, size_t size, size_t count, void *context) {
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

size_t on_body(char *data, size_t size, size_t count, void *context) {
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
int on_debug(CURL *easy, curl_infotype type, char *text, size_t size, void *context) {
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
