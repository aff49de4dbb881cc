/* See response.h. The grammar is that of RFC 9110 and RFC 9112 without what they keep for the sake
 * of old servers: no folded lines, no line end other than CRLF, one way to say a length. */
#include "response_head.h"

#include <string.h>
#include <strings.h>

#define MOST_LENGTH_DIGITS 15
#define MOST_EXTENSIONS 4096
#define TOKEN                                                                                      \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"                               \
    "!#$%&'*+-.^_`|~"

static bool wrong(struct response *response, const char *mistake) {
    if (response->mistake == NULL) {
        response->mistake = mistake;
    }
    return false;
}

static bool digit(char c) {
    return c >= '0' && c <= '9';
}

bool response_interim(int status) {
    return status >= 100 && status < 200 && status != 101;
}

/* Tab, blank, visible characters, and bytes beyond ASCII. */
static bool text_byte(char c) {
    unsigned char byte = (unsigned char)c;
    return (byte >= 0x20 || byte == '\t') && byte != 0x7F;
}

static bool field_text(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (!text_byte(text[i])) {
            return false;
        }
    }
    return true;
}

static bool status_line(struct response *response, const char *line, size_t length) {
    /* libcurl writes the status of an HTTP/2 response as text. On HTTP/1 the same text would be a
     * lie of the server's. */
    size_t digits = response->http2 ? 7 : 9;
    const char *start = response->http2 ? "HTTP/2 " : "HTTP/1.";
    if (length < digits + 4 || memcmp(line, start, 7) != 0 ||
        (!response->http2 && ((line[7] != '0' && line[7] != '1') || line[8] != ' ')) ||
        !digit(line[digits]) || !digit(line[digits + 1]) || !digit(line[digits + 2]) ||
        line[digits + 3] != ' ' || !field_text(line, length)) {
        return wrong(response, "the status line of the answer is malformed");
    }
    int status = 0;
    for (size_t i = digits; i < digits + 3; i++) {
        status = status * 10 + (line[i] - '0');
    }
    if (!response_interim(status) && (status < 200 || status > 599)) {
        return wrong(response, "the answer has a status that no answer to this request can have");
    }
    response->version = response->http2 ? 20 : line[7] == '1' ? 11 : 10;
    response->status = status;
    response->has_length = response->chunked = false;
    response->place = RESPONSE_FIELDS;
    return true;
}

static bool content_length(struct response *response, const char *value, size_t length) {
    if (response->has_length) {
        return wrong(response, "the answer has two Content-Length headers");
    }
    response->length = 0;
    for (size_t i = 0; i < length; i++) {
        if (!digit(value[i]) || i >= MOST_LENGTH_DIGITS) {
            return wrong(response, "the Content-Length of the answer is malformed");
        }
        response->length = response->length * 10 + (uint64_t)(value[i] - '0');
    }
    if (length == 0) {
        return wrong(response, "the Content-Length of the answer is empty");
    }
    response->has_length = true;
    return true;
}

static bool transfer_encoding(struct response *response, const char *value, size_t length) {
    if (response->chunked) {
        return wrong(response, "the answer has two Transfer-Encoding headers");
    }
    if (response->version != 11 || length != 7 || strncasecmp(value, "chunked", 7) != 0) {
        return wrong(response, "the answer has a Transfer-Encoding that was not asked for");
    }
    response->chunked = true;
    return true;
}

static bool field(struct response *response, const char *line, size_t length) {
    size_t name = 0;
    while (name < length && line[name] != '\0' && strchr(TOKEN, line[name]) != NULL) {
        name++;
    }
    if (name == 0 || name == length || line[name] != ':' || !field_text(line, length)) {
        return wrong(response, "the answer has a malformed header line");
    }
    const char *value = line + name + 1, *end = line + length;
    while (value < end && (*value == ' ' || *value == '\t')) {
        value++;
    }
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    size_t size = (size_t)(end - value);
    if (name == 14 && strncasecmp(line, "Content-Length", name) == 0) {
        return content_length(response, value, size);
    }
    if (name == 17 && strncasecmp(line, "Transfer-Encoding", name) == 0) {
        return transfer_encoding(response, value, size);
    }
    if (name == 16 && strncasecmp(line, "Content-Encoding", name) == 0 &&
        !(size == 8 && strncasecmp(value, "identity", size) == 0)) {
        return wrong(response, "the answer has a Content-Encoding that was not asked for");
    }
    return true;
}

/* The rules that need the whole head. */
static bool head_end(struct response *response) {
    bool framed = response->has_length || response->chunked;
    if (response->has_length && response->chunked) {
        return wrong(response, "the answer has both a Content-Length and a Transfer-Encoding");
    }
    if (response_interim(response->status)) {
        response->place = RESPONSE_STATUS_LINE;
        return !framed || wrong(response, "an interim answer announces a body");
    }
    response->place = RESPONSE_BODY;
    if (response->status == 204 && (response->chunked || response->length > 0) && framed) {
        return wrong(response, "an answer that has no body announces one");
    }
    if (response->head_request || response->status == 204 || response->status == 304) {
        response->has_length = true;
        response->chunked = false;
        response->length = 0;
    } else if (!framed && !response->http2) {
        return wrong(response, "the answer does not say where its body ends");
    }
    response->chunk = CHUNK_SIZE;
    response->chunk_digits = 0;
    response->chunk_left = 0;
    return true;
}

bool response_line(struct response *response, const char *line, size_t length) {
    if (response->mistake != NULL) {
        return false;
    }
    if (response->place == RESPONSE_BODY) {
        return wrong(response, "the answer has trailers after its body");
    }
    if (length < 2 || line[length - 2] != '\r' || line[length - 1] != '\n') {
        return wrong(response, "a header line of the answer does not end with CRLF");
    }
    length -= 2;
    if (response->place == RESPONSE_STATUS_LINE) {
        return status_line(response, line, length);
    }
    return length > 0 ? field(response, line, length) : head_end(response);
}

static int hex_value(char c) {
    if (digit(c)) {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool chunk_size(struct response *response, char c) {
    int value = hex_value(c);
    if (value >= 0 && response->chunk_digits < MOST_LENGTH_DIGITS) {
        response->chunk_left = response->chunk_left * 16 + (uint64_t)value;
        response->chunk_digits++;
        return true;
    }
    if ((c != '\r' && c != ';') || response->chunk_digits == 0) {
        return wrong(response, "a chunk of the answer has a malformed size");
    }
    response->chunk = c == ';' ? CHUNK_EXTENSION : CHUNK_SIZE_LF;
    return true;
}

/* Behind a size and a semicolon may stand what concerns nobody (RFC 9112 7.1.1). */
static bool chunk_extension(struct response *response, char c) {
    if (c == '\r') {
        response->chunk = CHUNK_SIZE_LF;
        return true;
    }
    response->extensions++;
    return (text_byte(c) && response->extensions <= MOST_EXTENSIONS) ||
           wrong(response, "a chunk of the answer has a malformed extension");
}

/* One byte of the framing of chunks. */
static bool chunk_byte(struct response *response, char c) {
    switch (response->chunk) {
    case CHUNK_SIZE:
        return chunk_size(response, c);
    case CHUNK_EXTENSION:
        return chunk_extension(response, c);
    case CHUNK_SIZE_LF:
        response->chunk = response->chunk_left > 0 ? CHUNK_DATA : CHUNK_END_CR;
        return c == '\n' || wrong(response, "a chunk of the answer has a malformed size");
    case CHUNK_DATA_CR:
        response->chunk = CHUNK_DATA_LF;
        return c == '\r' || wrong(response, "a chunk of the answer is longer than it says");
    case CHUNK_DATA_LF:
        response->chunk = CHUNK_SIZE;
        response->chunk_digits = 0;
        response->chunk_left = 0;
        return c == '\n' || wrong(response, "a chunk of the answer is longer than it says");
    case CHUNK_END_CR:
        response->chunk = CHUNK_END_LF;
        return c == '\r' || wrong(response, "the answer has trailers after its body");
    case CHUNK_END_LF:
        response->chunk = CHUNK_OVER;
        return c == '\n' || wrong(response, "the end of the answer is malformed");
    default:
        return wrong(response, "more bytes came than the answer announced");
    }
}

static bool content(struct response *response, const char *data, size_t length, response_sink *sink,
                    void *context) {
    response->received += length;
    return sink(context, data, length);
}

bool response_body(struct response *response, const char *data, size_t length, response_sink *sink,
                   void *context) {
    if (response->mistake != NULL) {
        return false;
    }
    if (response->place != RESPONSE_BODY) {
        return wrong(response, "a body came before the head of the answer was complete");
    }
    if (!response->chunked) {
        if (response->has_length && length > response->length - response->received) {
            return wrong(response, "more bytes came than the answer announced");
        }
        return content(response, data, length, sink, context);
    }
    while (length > 0) {
        size_t step = 1;
        if (response->chunk == CHUNK_DATA) {
            step = response->chunk_left < length ? (size_t)response->chunk_left : length;
            response->chunk_left -= step;
            if (response->chunk_left == 0) {
                response->chunk = CHUNK_DATA_CR;
            }
            if (!content(response, data, step, sink, context)) {
                return false;
            }
        } else if (!chunk_byte(response, *data)) {
            return false;
        }
        data += step;
        length -= step;
    }
    return true;
}

bool response_complete(const struct response *response) {
    if (response->mistake != NULL || response->place != RESPONSE_BODY) {
        return false;
    }
    return response->chunked      ? response->chunk == CHUNK_OVER
           : response->has_length ? response->received == response->length
                                  : response->http2;
}
