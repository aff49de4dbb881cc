/* What libcurl calls while a transfer runs. These callbacks touch only our own memory, never Lua's.
 */
#include "pool.h"

#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>

/* What waits on the connection cannot be a response to a request that is still to be sent. Only on
 * a new connection with TLS bytes of the handshake may be left. */
static bool nothing_waits(struct transfer *transfer) {
    bool new = transfer->new_connection, secure = transfer->request.secure;
    enum waiting waits = what_waits(transfer->socket);
    if (waits == NOTHING_WAITS && !new &&secure && tls_bytes_wait(transfer->easy)) {
        waits = BYTES_WAIT;
    }
    transfer->stale = !new &&waits != NOTHING_WAITS;
    bool too_early = new && !secure &&waits == BYTES_WAIT;
    return (!transfer->stale && !too_early) ||
           refuse_response(transfer, CURLE_WEIRD_SERVER_REPLY, "bytes_before_request");
}

static bool prepare_connection(struct transfer *transfer, struct pool_socket *used) {
    struct tcp_info traffic;
    used->user = transfer;
    transfer->socket = used->socket;
    if (!nothing_waits(transfer)) {
        return false;
    }
    /* On a kept connection without TLS nothing_waits has seen all that there is. */
    transfer->counted = (transfer->new_connection || transfer->request.secure) &&
                        count_traffic(transfer->socket, &traffic);
    if (transfer->counted) {
        transfer->arrived_before = traffic.tcpi_bytes_received;
        transfer->sent_before = traffic.tcpi_bytes_sent;
    }
    if (transfer->new_connection) {
        hold_request(transfer);
    }
    return true;
}

int on_connected(void *context, char *remote_ip, char *local_ip, int remote_port, int local_port) {
    struct transfer *transfer = context;
    long connects = 0;
    (void)remote_ip, (void)local_ip;
    if (transfer->sent) {
        /* libcurl repeats a request by itself where a kept connection ended without a response. But
         * the server may have acted on the first copy, so our caller decides whether to repeat. */
        refuse_response(transfer, CURLE_SEND_ERROR, "request_not_repeated");
        return CURL_PREREQFUNC_ABORT;
    }
    curl_easy_getinfo(transfer->easy, CURLINFO_NUM_CONNECTS, &connects);
    transfer->new_connection = connects > 0;
    struct pool_socket *used = find_socket(transfer->pool, local_port, remote_port);
    if (used != NULL && !prepare_connection(transfer, used)) {
        return CURL_PREREQFUNC_ABORT;
    }
    /* What libcurl has told so far was about a stale connection. */
    transfer->kept = transfer->excess = false;
    transfer->sent = true;
    return CURL_PREREQFUNC_OK;
}

bool uploaded_less(const struct transfer *transfer) {
    curl_off_t uploaded = 0;
    return curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded) == CURLE_OK &&
           uploaded < (curl_off_t)transfer->request.body_length;
}

/* What the peer's system has not acknowledged, its program cannot have read. On HTTP/2 this tells
 * nothing: other frames than those of the request may be under way. */
static bool request_under_way(const struct transfer *transfer) {
    int unsent = 0;
    return !transfer->response.http2 && transfer->socket >= 0 &&
           ioctl(transfer->socket, SIOCOUTQ, &unsent) == 0 && unsent > 0;
}

#define FRAME_HEADER 9 /* bytes at the start of each frame of HTTP/2 */

/* Called with the status line: was the response sent before the request, or before its end? */
static void compare_times(struct transfer *transfer, size_t line_length) {
    int unread = 0;
    struct tcp_info traffic;
    bool early = false;
    release_request(transfer);
    if (transfer->counted && ioctl(transfer->socket, FIONREAD, &unread) == 0 &&
        count_traffic(transfer->socket, &traffic)) {
        /* The line, or on HTTP/2 the frame that it came in, is among the bytes that have been read
         * since. The end of a connection counts as a byte. */
        uint64_t read = traffic.tcpi_bytes_received - (uint64_t)unread;
        uint64_t least = transfer->response.http2 ? FRAME_HEADER : line_length;
        if (read < transfer->arrived_before + least) {
            refuse_response(transfer, CURLE_WEIRD_SERVER_REPLY, "response_before_request");
        }
        early = transfer->arrived_held > 0 && read < transfer->arrived_held + least;
    }
    if (!response_interim(transfer->response.status)) {
        transfer->early = early || uploaded_less(transfer) || request_under_way(transfer);
    }
}

/* Do bytes wait behind a complete response? They belong to no response. */
static void look_behind(struct transfer *transfer) {
    if (transfer->socket >= 0 && !transfer->response.http2 &&
        response_complete(&transfer->response) &&
        (transfer->request.secure
             ? tls_bytes_wait(transfer->easy) || tls_record_waits(transfer->socket)
             : what_waits(transfer->socket) == BYTES_WAIT)) {
        transfer->excess = true;
    }
}

static bool keep_bytes(struct transfer *transfer, struct buffer *buffer, const char *bytes,
                       size_t length) {
    return buffer_add(buffer, bytes, length) ||
           refuse_response(transfer, CURLE_OUT_OF_MEMORY, "out_of_memory");
}

static bool take_header(struct transfer *transfer, const char *line, size_t length) {
    bool first = transfer->response.place == RESPONSE_STATUS_LINE;
    transfer->head_received += length;
    if (transfer->head_received > transfer->settings->max_header) {
        return refuse_response(transfer, CURLE_FILESIZE_EXCEEDED, "response_too_long");
    } else if (!response_line(&transfer->response, line, length)) {
        return false;
    }
    if (first) {
        transfer->head.length = 0;
        compare_times(transfer, length);
    }
    return transfer->problem == NULL && keep_bytes(transfer, &transfer->head, line, length);
}

size_t on_header(char *line, size_t size, size_t count, void *context) {
    struct transfer *transfer = context;
    if (!take_header(transfer, line, size * count)) {
        return 0;
    }
    look_behind(transfer);
    return size * count;
}

static bool keep_content(void *context, const char *data, size_t length) {
    struct transfer *transfer = context;
    if (length > transfer->settings->max_body - transfer->body.length) {
        return refuse_response(transfer, CURLE_FILESIZE_EXCEEDED, "response_too_long");
    }
    return keep_bytes(transfer, &transfer->body, data, length);
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

static bool starts_with(const char *text, size_t length, const char *start) {
    size_t size = strlen(start);
    return length >= size && memcmp(text, start, size) == 0;
}

static bool ends_with(const char *text, size_t length, const char *end) {
    size_t size = strlen(end);
    return length >= size && memcmp(text + length - size, end, size) == 0;
}

/* libcurl tells three things only here: with which version of HTTP the request was sent (the status
 * line of the response need not be true), that it threw bytes away that came behind the response,
 * and whether an HTTP/2 connection is kept after the response. */
int on_debug(CURL *easy, curl_infotype type, char *text, size_t size, void *context) {
    struct transfer *transfer = context;
    (void)easy;
    if (type == CURLINFO_HEADER_OUT) {
        const char *end = memchr(text, '\r', size);
        transfer->response.http2 = end != NULL && ends_with(text, (size_t)(end - text), " HTTP/2");
    } else if (type == CURLINFO_TEXT) {
        transfer->excess = transfer->excess || starts_with(text, size, "Excess found") ||
                           starts_with(text, size, "Leftovers after");
        transfer->kept = transfer->kept || ends_with(text, size, "left intact\n") ||
                         ends_with(text, size, "left intact") ||
                         starts_with(text, size, "recveived GOAWAY") ||
                         starts_with(text, size, "received GOAWAY");
    }
    return 0;
}
