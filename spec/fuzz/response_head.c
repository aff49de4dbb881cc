/* libFuzzer: the bytes of a response, as a server may send them.
 *
 * The first byte of the input says how they come; the others are a head and a body. Whatever they
 * are, a response that is believed has the properties that are demanded here, each looked up in the
 * bytes anew; it makes no difference in which pieces a body comes; and a good response made around
 * the same bytes is believed. */
#include "../../csrc/core/response_head.h"
#include "demand.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a reader was given and what it made of it. */
struct reading {
    struct response response;
    const char *final; /* where the head of the last response begins */
    const char *body;
    const char *end;
    char *content;
    size_t length;
};

static bool keep(void *context, const char *data, size_t length) {
    struct reading *reading = context;
    memcpy(reading->content + reading->length, data, length);
    reading->length += length;
    return true;
}

/* Feeds the head by lines, then the body in pieces of `step` bytes, or in one. Each piece is a copy
 * that is just as large, so that a look beyond it is found. */
static void feed(struct reading *reading, const char *data, size_t size, size_t step) {
    const char *end = data + size;
    bool good = true;
    reading->end = end;
    reading->body = NULL;
    reading->length = 0;
    reading->content = malloc(size + 1);
    demand(reading->content != NULL, "there is memory");
    while (good && data < end) {
        bool head = reading->response.place != RESPONSE_BODY;
        const char *stop = head ? memchr(data, '\n', (size_t)(end - data)) : NULL;
        size_t piece = (size_t)(end - data);
        if (head) {
            if (stop == NULL) {
                break; /* libcurl keeps back a line that has no end */
            }
            piece = (size_t)(stop - data) + 1;
            if (reading->response.place == RESPONSE_STATUS_LINE) {
                reading->final = data;
            }
        } else {
            reading->body = reading->body != NULL ? reading->body : data;
            piece = step > 0 && step < piece ? step : piece;
        }
        char *copy = malloc(piece);
        demand(copy != NULL, "there is memory");
        memcpy(copy, data, piece);
        good = head ? response_line(&reading->response, copy, piece)
                    : response_body(&reading->response, copy, piece, keep, reading);
        free(copy);
        data += piece;
    }
    if (reading->body == NULL) {
        reading->body = data;
    }
    demand(good == (reading->response.problem == NULL), "a mistake is said at once");
}

/* How many header lines of that name the head has, and the value of the last one without blanks
 * around it. */
static int find_field(const struct reading *reading, const char *name, const char **value,
                      size_t *length) {
    int count = 0;
    const char *line =
        (const char *)memchr(reading->final, '\n', (size_t)(reading->body - reading->final)) + 1;
    while (line < reading->body) {
        const char *stop = memchr(line, '\r', (size_t)(reading->body - line));
        const char *colon = memchr(line, ':', (size_t)(stop - line));
        if (colon != NULL && (size_t)(colon - line) == strlen(name) &&
            strncasecmp(line, name, strlen(name)) == 0) {
            const char *first = colon + 1, *last = stop;
            for (; first < last && strchr(" \t", *first) != NULL; first++) {
            }
            for (; last > first && strchr(" \t", last[-1]) != NULL; last--) {
            }
            *value = first;
            *length = (size_t)(last - first);
            count++;
        }
        line = stop + 2;
    }
    return count;
}

/* Takes a chunked body apart, strictly, and compares its content. */
static void check_chunks(const struct reading *reading) {
    const char *at = reading->body, *end = reading->end;
    size_t seen = 0;
    for (;;) {
        const char *stop = memchr(at, '\r', (size_t)(end - at));
        demand(stop != NULL && stop > at, "a chunk says its size");
        size_t chunk = 0;
        const char *extension = memchr(at, ';', (size_t)(stop - at));
        const char *size_end = extension != NULL ? extension : stop;
        for (const char *c = size_end; c < stop; c++) {
            unsigned char byte = (unsigned char)*c;
            demand((byte >= ' ' || byte == '\t') && byte != 0x7F, "an extension is text");
        }
        demand(size_end > at, "a chunk says its size");
        for (; at < size_end; at++) {
            const char *digits = "0123456789abcdef";
            const char *digit =
                *at != '\0' ? strchr(digits, *at >= 'A' && *at <= 'F' ? *at + 32 : *at) : NULL;
            demand(digit != NULL, "a size is hexadecimal");
            chunk = chunk * 16 + (size_t)(digit - digits);
        }
        at = stop;
        demand(end - at >= 2 && at[1] == '\n', "a size ends with CRLF");
        at += 2;
        if (chunk == 0) {
            break;
        }
        demand((size_t)(end - at) >= chunk && reading->length - seen >= chunk &&
                   memcmp(at, reading->content + seen, chunk) == 0,
               "the content of a chunk is what came");
        at += chunk;
        seen += chunk;
        demand(end - at >= 2 && memcmp(at, "\r\n", 2) == 0, "a chunk is as long as it says");
        at += 2;
    }
    demand(seen == reading->length, "the content is that of the chunks");
    demand(end - at == 2 && memcmp(at, "\r\n", 2) == 0, "nothing follows the last chunk");
}

static void check_head(const struct reading *reading) {
    for (const char *c = reading->final; c < reading->body; c++) {
        unsigned char byte = (unsigned char)*c;
        bool line_end =
            (*c == '\r' && c[1] == '\n') || (*c == '\n' && c > reading->final && c[-1] == '\r');
        demand(line_end || *c == '\t' || (byte >= 0x20 && byte != 0x7F),
               "a head has no control characters");
        demand(*c != '\n' || c + 1 == reading->body || strchr(" \t", c[1]) == NULL,
               "no line of a head is folded");
    }
    const char *start = reading->response.http2 ? "HTTP/2 " : "HTTP/1.";
    demand(memcmp(reading->final, start, 7) == 0, "a head begins with its version");
    demand(reading->response.status >= 200 && reading->response.status <= 599,
           "a final status is from 200 to 599");
    char status[5];
    snprintf(status, sizeof status, "%d ", reading->response.status);
    demand(memcmp(reading->final + (reading->response.http2 ? 7 : 9), status, 4) == 0,
           "the status is the line's");
}

static void check_body(const struct reading *reading) {
    const char *value = NULL, *coding = NULL;
    size_t length = 0, coding_length = 0;
    int lengths = find_field(reading, "content-length", &value, &length);
    int codings = find_field(reading, "transfer-encoding", &coding, &coding_length);
    bool http2 = reading->response.http2;
    bool bodiless = reading->response.head_request || reading->response.status == 204 ||
                    reading->response.status == 304;
    if (bodiless) {
        demand(reading->length == 0 && reading->body == reading->end,
               "where there is no body, none came");
        return;
    }
    demand(lengths + codings == 1 || (http2 && lengths + codings == 0),
           "there is one way to know the length");
    if (codings > 0) {
        demand(!http2 && coding_length == 7 && strncasecmp(coding, "chunked", 7) == 0,
               "the coding is chunked");
        check_chunks(reading);
        return;
    }
    size_t have = (size_t)(reading->end - reading->body);
    demand(reading->length == have && memcmp(reading->content, reading->body, have) == 0,
           "the content is the body");
    if (lengths > 0) {
        size_t announced = 0;
        demand(length > 0 && length <= 15, "a length has 1 to 15 digits");
        for (size_t i = 0; i < length; i++) {
            demand(value[i] >= '0' && value[i] <= '9', "a length is of digits");
            announced = announced * 10 + (size_t)(value[i] - '0');
        }
        demand(announced == have, "the body is as long as announced");
    }
}

static void begin(struct reading *reading, uint8_t flags) {
    memset(reading, 0, sizeof *reading);
    reading->response.http2 = flags & 1;
    reading->response.head_request = (flags & 2) != 0;
}

/* The bytes as they are. */
static void check_as_it_is(uint8_t flags, const char *data, size_t size) {
    struct reading whole, pieces;
    begin(&whole, flags);
    begin(&pieces, flags);
    feed(&whole, data, size, 0);
    feed(&pieces, data, size, (size_t)(flags >> 2) + 1);
    bool complete = response_complete(&whole.response);
    demand(complete == response_complete(&pieces.response), "pieces change nothing");
    if (complete) {
        demand(whole.length == pieces.length &&
                   memcmp(whole.content, pieces.content, whole.length) == 0,
               "pieces do not change the content");
        check_head(&whole);
        check_body(&whole);
    }
    free(whole.content);
    free(pieces.content);
}

/* The same bytes as the body of a good response, and of one that is cut or has more. */
static void check_good(uint8_t flags, const char *data, size_t size) {
    size_t room = 200 + 8 * size, length;
    char *text = malloc(room);
    demand(text != NULL, "there is memory");
    if (flags & 1) {
        length =
            (size_t)snprintf(text, room, "HTTP/2 200 \r\ncontent-type: application/json\r\n\r\n");
        memcpy(text + length, data, size);
        length += size;
    } else if (flags & 4) {
        length =
            (size_t)snprintf(text, room, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        size_t step = (size_t)(flags >> 3) + 1;
        for (size_t at = 0; at < size; at += step) {
            step = step < size - at ? step : size - at;
            length += (size_t)snprintf(text + length, room - length, "%zx\r\n", step);
            memcpy(text + length, data + at, step);
            memcpy(text + length + step, "\r\n", 2);
            length += step + 2;
        }
        length += (size_t)snprintf(text + length, room - length, "0\r\n\r\n");
    } else {
        length =
            (size_t)snprintf(text, room,
                             "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"
                             "Content-Length: %zu\r\n\r\n",
                             size);
        memcpy(text + length, data, size);
        length += size;
    }
    struct reading reading;
    begin(&reading, flags & 1);
    feed(&reading, text, length, flags >> 4);
    demand(response_complete(&reading.response), "a good response is believed");
    demand(reading.length == size && memcmp(reading.content, data, size) == 0,
           "its content is what was sent");
    demand(!response_line(&reading.response, "X: y\r\n", 6) &&
               !response_complete(&reading.response),
           "a response with a trailer is not believed");
    free(reading.content);
    if ((flags & 1) == 0) {
        begin(&reading, 0);
        feed(&reading, text, length - 1, flags >> 4);
        demand(!response_complete(&reading.response), "a response that is cut is not believed");
        free(reading.content);
        memcpy(text + length, "x", 1);
        begin(&reading, 0);
        feed(&reading, text, length + 1, flags >> 4);
        demand(!response_complete(&reading.response),
               "a response with more than it announced is not believed");
        free(reading.content);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0) {
        check_as_it_is(data[0], (const char *)data + 1, size - 1);
        check_good(data[0], (const char *)data + 1, size - 1);
    }
    return 0;
}
