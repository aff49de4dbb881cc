/* One HTTP response, read strictly from its header lines and the bytes of its body. What a careful
 * server would not send is a mistake, and a response with a mistake is not trusted. This needs
 * neither libcurl nor Lua. */
#ifndef HEYMARKET_RESPONSE_HEAD_H
#define HEYMARKET_RESPONSE_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESPONSE_HIDDEN __attribute__((visibility("hidden")))

enum response_place {
    RESPONSE_STATUS_LINE, /* is expected next */
    RESPONSE_FIELDS,
    RESPONSE_BODY, /* the head of the final response is complete */
};

enum response_chunk {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_END_CR,
    CHUNK_END_LF,
    CHUNK_OVER,
};

/* Zeroed it is ready for the first line. */
struct response {
    bool http2;        /* the request went over HTTP/2; set by the owner before the first line */
    bool head_request; /* the request was HEAD; set by the owner */

    enum response_place place;
    int status; /* of the response whose head is being read or was read last; 0 before the first */
    bool http11;
    bool has_length;
    bool chunked;
    uint64_t length;
    uint64_t received; /* bytes of content */
    enum response_chunk chunk;
    int chunk_digits;
    size_t extensions; /* bytes of all extensions of chunks */
    uint64_t chunk_left;
    const char *problem; /* code of the first mistake; NULL: none so far */
};

/* Takes one header line with its line end. False: there is a mistake. */
RESPONSE_HIDDEN bool response_line(struct response *response, const char *line, size_t length);

/* Takes bytes of the body as they came, with the framing of chunks, and hands their content to
 * `sink`. False: there is a mistake, or `sink` returned false. */
typedef bool response_sink(void *context, const char *data, size_t length);
RESPONSE_HIDDEN bool response_body(struct response *response, const char *data, size_t length,
                                   response_sink *sink, void *context);

/* Has all that was announced come? On HTTP/2 without a length only the end of the stream tells. */
RESPONSE_HIDDEN bool response_complete(const struct response *response);

/* Is this the status of an interim response, which another one follows? */
RESPONSE_HIDDEN bool response_interim(int status);

#endif
