/* See response_head.h. The grammar is that of RFC 9110 and RFC 9112 without what they keep for old
 * servers: no folded lines, no line end other than CRLF, one way to say a length. */
#include "response_head.h"

#include <string.h>
#include <strings.h>

#define MAX_LENGTH_DIGITS 15
#define MAX_EXTENSIONS 4096
#define TOKEN                                                                                      \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"                               \
    "!#$%&'*+-.^_`|~"

static bool wrong(struct response *response, const char *problem) {
    if (response->problem == NULL) {
        response->problem = problem;
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

/* libcurl writes the status of an HTTP/2 response as "HTTP/2 200 ". On HTTP/1 the same text would
 * not be true. */
static bool status_line_ok(const struct response *response, const char *line, size_t length) {
    const char *start = response->http2 ? "HTTP/2 " : "HTTP/1.";
    size_t digits = response->http2 ? sizeof "HTTP/2 " - 1 : sizeof "HTTP/1.1 " - 1;
    return length >= digits + sizeof "200 " - 1 && memcmp(line, start, strlen(start)) == 0 &&
           (response->http2 || ((line[7] == '0' || line[7] == '1') && line[8] == ' ')) &&
           digit(line[digits]) && digit(line[digits + 1]) && digit(line[digits + 2]) &&
           line[digits + 3] == ' ' && field_text(line, length);
}

static bool status_line(struct response *response, const char *line, size_t length) {
    if (!status_line_ok(response, line, length)) {
        return wrong(response, "status_line_malformed");
    }
    const char *digits = line + (response->http2 ? sizeof "HTTP/2 " : sizeof "HTTP/1.1 ") - 1;
    int status = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
    if (!response_interim(status) && (status < 200 || status > 599)) {
        return wrong(response, "status_impossible");
    }
    response->http11 = !response->http2 && line[7] == '1';
    response->status = status;
    response->has_length = response->chunked = false;
    response->place = RESPONSE_FIELDS;
    return true;
}

static bool content_length(struct response *response, const char *value, size_t length) {
    if (response->has_length) {
        return wrong(response, "length_twice");
    }
    response->length = 0;
    for (size_t i = 0; i < length; i++) {
        if (!digit(value[i]) || i >= MAX_LENGTH_DIGITS) {
            return wrong(response, "length_malformed");
        }
        response->length = response->length * 10 + (uint64_t)(value[i] - '0');
    }
    response->has_length = true;
    return length > 0 || wrong(response, "length_malformed");
}

/* Do these bytes spell that word, in whichever case? */
static bool is_word(const char *bytes, size_t length, const char *word) {
    return length == strlen(word) && strncasecmp(bytes, word, length) == 0;
}

static bool transfer_encoding(struct response *response, const char *value, size_t length) {
    if (response->chunked) {
        return wrong(response, "transfer_encoding_twice");
    } else if (!response->http11 || !is_word(value, length, "chunked")) {
        return wrong(response, "transfer_encoding_unasked");
    }
    response->chunked = true;
    return true;
}

static bool judge_field(struct response *response, const char *name, size_t name_length,
                        const char *value, size_t length) {
    if (is_word(name, name_length, "Content-Length")) {
        return content_length(response, value, length);
    } else if (is_word(name, name_length, "Transfer-Encoding")) {
        return transfer_encoding(response, value, length);
    }
    return !is_word(name, name_length, "Content-Encoding") || is_word(value, length, "identity") ||
           wrong(response, "content_encoding_unasked");
}

static bool field(struct response *response, const char *line, size_t length) {
    size_t name = 0;
    while (name < length && line[name] != '\0' && strchr(TOKEN, line[name]) != NULL) {
        name++;
    }
    if (name == 0 || name == length || line[name] != ':' || !field_text(line, length)) {
        return wrong(response, "header_malformed");
    }
    const char *value = line + name + 1, *end = line + length;
    while (value < end && (*value == ' ' || *value == '\t')) {
        value++;
    }
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    return judge_field(response, line, name, value, (size_t)(end - value));
}

/* The rules that need the whole head. */
static bool head_end(struct response *response) {
    bool framed = response->has_length || response->chunked;
    if (response->has_length && response->chunked) {
        return wrong(response, "length_and_transfer_encoding");
    } else if (response_interim(response->status)) {
        response->place = RESPONSE_STATUS_LINE;
        return !framed || wrong(response, "interim_response_with_body");
    }
    response->place = RESPONSE_BODY;
    if (response->status == 204 && (response->chunked || response->length > 0) && framed) {
        return wrong(response, "bodiless_response_with_body");
    } else if (response->head_request || response->status == 204 || response->status == 304) {
        response->has_length = true;
        response->chunked = false;
        response->length = 0;
    } else if (!framed && !response->http2) {
        return wrong(response, "length_missing");
    }
    response->chunk = CHUNK_SIZE;
    response->chunk_digits = 0;
    response->chunk_left = 0;
    return true;
}

bool response_line(struct response *response, const char *line, size_t length) {
    if (response->problem != NULL) {
        return false;
    } else if (response->place == RESPONSE_BODY) {
        return wrong(response, "trailers");
    } else if (length < 2 || line[length - 2] != '\r' || line[length - 1] != '\n') {
        return wrong(response, "line_end_malformed");
    }
    length -= 2;
    if (response->place == RESPONSE_STATUS_LINE) {
        return status_line(response, line, length);
    }
    return length > 0 ? field(response, line, length) : head_end(response);
}

static bool chunk_size(struct response *response, char c) {
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *found = memchr(digits, c, sizeof digits - 1);
    if (found != NULL && response->chunk_digits < MAX_LENGTH_DIGITS) {
        response->chunk_left = response->chunk_left * 16 + (uint64_t)(found - digits) % 16;
        response->chunk_digits++;
        return true;
    }
    if ((c != '\r' && c != ';') || response->chunk_digits == 0) {
        return wrong(response, "chunk_size_malformed");
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
    return (text_byte(c) && response->extensions <= MAX_EXTENSIONS) ||
           wrong(response, "chunk_extension_malformed");
}

/* One byte of the framing of chunks. */
static bool chunk_byte(struct response *response, char c) {
    static const struct {
        char expected;
        enum response_chunk next;
        const char *problem;
    } steps[] = {
        [CHUNK_SIZE_LF] = {'\n', CHUNK_DATA, "chunk_size_malformed"},
        [CHUNK_DATA_CR] = {'\r', CHUNK_DATA_LF, "chunk_too_long"},
        [CHUNK_DATA_LF] = {'\n', CHUNK_SIZE, "chunk_too_long"},
        [CHUNK_END_CR] = {'\r', CHUNK_END_LF, "trailers"},
        [CHUNK_END_LF] = {'\n', CHUNK_OVER, "last_chunk_malformed"},
    };
    enum response_chunk place = response->chunk;
    if (place == CHUNK_SIZE) {
        return chunk_size(response, c);
    } else if (place == CHUNK_EXTENSION) {
        return chunk_extension(response, c);
    } else if (place == CHUNK_OVER) {
        return wrong(response, "bytes_after_response");
    } else if (c != steps[place].expected) {
        return wrong(response, steps[place].problem);
    }
    bool is_last = place == CHUNK_SIZE_LF && response->chunk_left == 0;
    response->chunk = is_last ? CHUNK_END_CR : steps[place].next;
    response->chunk_digits = 0;
    return true;
}

static bool chunked_body(struct response *response, const char *data, size_t length,
                         response_sink *sink, void *context) {
    for (size_t step; length > 0; data += step, length -= step) {
        step = 1;
        if (response->chunk != CHUNK_DATA) {
            if (!chunk_byte(response, *data)) {
                return false;
            }
            continue;
        }
        step = response->chunk_left < length ? (size_t)response->chunk_left : length;
        response->chunk_left -= step;
        response->chunk = response->chunk_left == 0 ? CHUNK_DATA_CR : CHUNK_DATA;
        response->received += step;
        if (!sink(context, data, step)) {
            return false;
        }
    }
    return true;
}

bool response_body(struct response *response, const char *data, size_t length, response_sink *sink,
                   void *context) {
    if (response->problem != NULL) {
        return false;
    } else if (response->place != RESPONSE_BODY) {
        return wrong(response, "body_before_head");
    } else if (response->chunked) {
        return chunked_body(response, data, length, sink, context);
    } else if (response->has_length && length > response->length - response->received) {
        return wrong(response, "bytes_after_response");
    }
    response->received += length;
    return sink(context, data, length);
}

bool response_complete(const struct response *response) {
    if (response->problem != NULL || response->place != RESPONSE_BODY) {
        return false;
    }
    return response->chunked      ? response->chunk == CHUNK_OVER
           : response->has_length ? response->received == response->length
                                  : response->http2;
}
