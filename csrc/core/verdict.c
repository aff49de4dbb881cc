/* Whether the answer of a transfer can be trusted. */
#include "pool.h"

#include <stdio.h>
#include <string.h>

#define ERROR_BODY 2048 /* how much of a body is worth keeping beside an error */

/* libcurl quotes the URL of a proxy that it cannot use, password and all. */
static void hide_proxy(char *message, size_t size) {
    char *quote = strchr(message, '\'');
    if (quote != NULL && strstr(message, "nsupported proxy") != NULL) {
        snprintf(quote, size - (size_t)(quote - message), "[hidden]");
    }
}

void say(struct transfer *transfer, const char *message) {
    snprintf(transfer->message, sizeof transfer->message, "%s", message);
}

/* A refusal that came before the whole request was sent, and was read to its end. */
static bool early_refusal(const struct transfer *transfer) {
    return transfer->early && transfer->response.status >= 400 &&
           response_complete(&transfer->response);
}

/* What an error of libcurl means here. */
static CURLcode judge_error(struct transfer *transfer, CURLcode result) {
    if (transfer->sent && early_refusal(transfer)) {
        /* The rest of the request could not be sent any more, which is no news. */
        return CURLE_OK;
    }
    if (transfer->sent &&
        (result == CURLE_BAD_FUNCTION_ARGUMENT || result == CURLE_UNSUPPORTED_PROTOCOL)) {
        /* What libcurl calls an answer that is not HTTP. The names speak of our mistakes before
         * sending: whoever goes by the name would take it for "never sent". */
        return CURLE_WEIRD_SERVER_REPLY;
    }
    return result;
}

/* Until version 8 libcurl takes it for the end of an answer when its HTTP/2 library gives up a
 * session in which the peer broke the rules. It closes the connection then, which it does otherwise
 * only after the peer has said that it goes away, or has ended the connection. So an empty body
 * without a length needs a better end: any other one shows by its JSON that it is whole. */
static bool session_broke(const struct transfer *transfer) {
    const struct response *response = &transfer->response;
    return response->http2 && !response->has_length && response->received == 0 &&
           !transfer->good_end && curl_version_info(CURLVERSION_NOW)->version_num < 0x080000;
}

/* Can the answer be trusted? Gives CURLE_OK, or what is wrong, and says it. */
static CURLcode judge(struct transfer *transfer, CURLcode result) {
    const struct response *response = &transfer->response;
    if (transfer->resent) {
        say(transfer,
            "the connection was lost before an answer came; the request was not repeated");
        return CURLE_SEND_ERROR;
    }
    if (transfer->too_early || transfer->stale) {
        say(transfer, "the server sent something before it got a request");
        return CURLE_WEIRD_SERVER_REPLY;
    }
    if (transfer->too_long) {
        snprintf(transfer->message, sizeof transfer->message,
                 "the answer is longer than %.0f bytes of headers or %.0f bytes of body",
                 (double)transfer->max_head, (double)transfer->max_body);
        return CURLE_FILESIZE_EXCEEDED;
    }
    if (transfer->no_memory) {
        say(transfer, "not enough memory for the answer");
        return CURLE_OUT_OF_MEMORY;
    }
    if (transfer->unasked) {
        say(transfer, "an answer came before the request was sent");
        return CURLE_WEIRD_SERVER_REPLY;
    }
    if (response->mistake != NULL) {
        say(transfer, response->mistake);
        return CURLE_WEIRD_SERVER_REPLY;
    }
    if (transfer->excess) {
        say(transfer, "more bytes came than the answer announced");
        return CURLE_WEIRD_SERVER_REPLY;
    }
    result = result != CURLE_OK ? judge_error(transfer, result) : result;
    if (result != CURLE_OK) {
        return result;
    }
    if (session_broke(transfer)) {
        say(transfer, "the HTTP/2 session broke before the answer was complete");
        return CURLE_HTTP2;
    }
    if (!response_complete(response)) {
        say(transfer, "the connection ended before the answer was complete");
        return CURLE_PARTIAL_FILE;
    }
    if (transfer->early && response->status < 300) {
        /* A refusal may come early; nobody can have accepted what was not sent. */
        say(transfer, "an answer came before the whole request was sent");
        return CURLE_SEND_ERROR;
    }
    return CURLE_OK;
}

void describe(struct transfer *transfer, CURLcode result) {
    long version = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_VERSION, &version);
    transfer->version = version == CURL_HTTP_VERSION_1_0   ? 1.0
                        : version == CURL_HTTP_VERSION_1_1 ? 1.1
                        : version == CURL_HTTP_VERSION_2_0 ? 2
                        : version == CURL_HTTP_VERSION_3   ? 3
                                                           : 0;
    transfer->elapsed = monotonic() - transfer->started;
    if (transfer->response.place == RESPONSE_BODY && uploaded_less(transfer)) {
        transfer->early = true;
    }
    result = judge(transfer, result);
    if (result == CURLE_OK) {
        return;
    }
    hide_proxy(transfer->message, sizeof transfer->message);
    if (transfer->message[0] == '\0') {
        say(transfer, curl_easy_strerror(result));
    }
    transfer->code = code_name((int)result, transfer->code_text, sizeof transfer->code_text);
    if (transfer->body.length > ERROR_BODY) {
        transfer->body.length = ERROR_BODY;
    }
}
