/* Whether the response of a transfer can be trusted. */
#include "pool.h"

#include <stdio.h>
#include <string.h>

#define ERROR_BODY 2048 /* bytes of the body that are kept beside an error */

/* libcurl quotes the URL of a proxy that it cannot use, with the password in it. */
static void hide_proxy(char *message, size_t size) {
    char *quote = strchr(message, '\'');
    if (quote != NULL && strstr(message, "nsupported proxy") != NULL) {
        snprintf(quote, size - (size_t)(quote - message), "[hidden]");
    }
}

bool refuse_response(struct transfer *transfer, CURLcode refusal, const char *problem) {
    if (transfer->problem == NULL) {
        transfer->problem = problem;
        transfer->refusal = refusal;
    }
    return false;
}

/* A refusal that came before the whole request was sent, and was read to its end. */
static bool early_refusal(const struct transfer *transfer) {
    return transfer->early && transfer->response.status >= 400 &&
           response_complete(&transfer->response);
}

/* libcurl before version 8 treats a broken HTTP/2 session, in which the peer broke the rules, as
 * the end of the response. libcurl closes the connection then. Otherwise it does so only after the
 * peer has said that it goes away, or has ended the connection. So an empty body without a length
 * is trusted only where the connection is kept. A body that is not empty shows by its JSON that it
 * is whole. */
static bool session_broke(const struct transfer *transfer) {
    const struct response *response = &transfer->response;
    return response->http2 && !response->has_length && response->received == 0 && !transfer->kept &&
           curl_version_info(CURLVERSION_NOW)->version_num < 0x080000;
}

/* What an error of libcurl means for a request that was sent. */
static CURLcode judge_error(const struct transfer *transfer, CURLcode result) {
    if (early_refusal(transfer)) {
        return CURLE_OK; /* the server did not want the rest of the request */
    } else if (result == CURLE_BAD_FUNCTION_ARGUMENT || result == CURLE_UNSUPPORTED_PROTOCOL) {
        /* libcurl's errors for a response that is not HTTP. Before sending, the same codes mean a
         * mistake of ours; a reader would conclude that nothing was sent. So it gets this name. */
        return CURLE_WEIRD_SERVER_REPLY;
    }
    return result;
}

/* Is the response whole, where libcurl has found nothing wrong? */
static void judge_end(struct transfer *transfer) {
    if (session_broke(transfer)) {
        refuse_response(transfer, CURLE_HTTP2, "http2_session_broke");
    } else if (!response_complete(&transfer->response)) {
        refuse_response(transfer, CURLE_PARTIAL_FILE, "response_incomplete");
    } else if (transfer->early && transfer->response.status < 300) {
        /* A refusal may come early; but nobody can have accepted what was not sent. */
        refuse_response(transfer, CURLE_SEND_ERROR, "response_before_request_end");
    }
}

static double http_version(CURL *easy) {
    long version = 0;
    curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
    return version == CURL_HTTP_VERSION_1_0   ? 1.0
           : version == CURL_HTTP_VERSION_1_1 ? 1.1
           : version == CURL_HTTP_VERSION_2_0 ? 2
           : version == CURL_HTTP_VERSION_3   ? 3
                                              : 0;
}

/* Leaves the words in `message`, or a code of ours in `problem`. */
static void note_error(struct transfer *transfer, CURLcode result) {
    if (transfer->problem != NULL) {
        transfer->message[0] = '\0';
    } else if (transfer->message[0] == '\0') {
        snprintf(transfer->message, sizeof transfer->message, "%s", curl_easy_strerror(result));
    }
    hide_proxy(transfer->message, sizeof transfer->message);
    transfer->code = curl_name((int)result, transfer->code_text, sizeof transfer->code_text);
    if (transfer->body.length > ERROR_BODY) {
        transfer->body.length = ERROR_BODY;
    }
}

void judge_transfer(struct transfer *transfer, CURLcode result) {
    transfer->version = http_version(transfer->easy);
    transfer->elapsed = monotonic() - transfer->started;
    if (transfer->response.place == RESPONSE_BODY && uploaded_less(transfer)) {
        transfer->early = true;
    }
    /* What we have seen ourselves counts, whatever libcurl says. */
    if (transfer->response.problem != NULL) {
        refuse_response(transfer, CURLE_WEIRD_SERVER_REPLY, transfer->response.problem);
    } else if (transfer->excess) {
        refuse_response(transfer, CURLE_WEIRD_SERVER_REPLY, "bytes_after_response");
    }
    if (transfer->problem == NULL && result != CURLE_OK && transfer->sent) {
        result = judge_error(transfer, result);
    }
    if (transfer->problem == NULL && result == CURLE_OK) {
        judge_end(transfer);
    }
    result = transfer->problem != NULL ? transfer->refusal : result;
    if (result != CURLE_OK) {
        note_error(transfer, result);
    }
}
