/* The options of libcurl's easy handles. */
#include "pool.h"

#include <linux/tcp.h>
#include <string.h>

/* Every option that is set must be taken: a protection that an old library does not know is none.
 */
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (result == CURLE_OK) {                                                                  \
            result = curl_easy_setopt(easy, (option), (value));                                    \
        }                                                                                          \
    } while (0)

static CURLcode set_method(CURL *easy, const struct request *request) {
    CURLcode result = CURLE_OK;
    bool post = strcmp(request->method, "POST") == 0;
    if (request->body != NULL || post) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_length);
        SET(CURLOPT_POSTFIELDS, request->body != NULL ? request->body : "");
        if (!post) {
            SET(CURLOPT_CUSTOMREQUEST, request->method);
        }
    } else if (strcmp(request->method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    } else {
        SET(CURLOPT_HTTPGET, 1L);
        if (strcmp(request->method, "GET") != 0) {
            SET(CURLOPT_CUSTOMREQUEST, request->method);
        }
    }
    return result;
}

static CURLcode set_protection(CURL *easy, const struct pool *pool, const struct request *request) {
    CURLcode result = CURLE_OK;
    const char *scheme = request->secure ? "https" : "http";
    SET(CURLOPT_PROTOCOLS_STR, scheme);
    SET(CURLOPT_REDIR_PROTOCOLS_STR, scheme);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    if (pool->ca_file != NULL) {
        SET(CURLOPT_CAINFO, pool->ca_file);
        /* Whoever names the authorities means these and no others. Not every TLS library knows a
         * folder of them. */
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (pool->proxy != NULL) {
        SET(CURLOPT_PROXY, pool->proxy);
        SET(CURLOPT_HTTPPROXYTUNNEL, 1L);
        SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    } else if (!request->secure) {
        SET(CURLOPT_PROXY, "");
    } else {
        SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    }
    return result;
}

static CURLcode set_callbacks(CURL *easy, struct pool *pool, struct transfer *transfer) {
    CURLcode result = CURLE_OK;
    SET(CURLOPT_PRIVATE, transfer);
    SET(CURLOPT_ERRORBUFFER, transfer->message);
    /* Sockets outlive the transfer that opened them. */
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
    SET(CURLOPT_OPENSOCKETDATA, pool);
    SET(CURLOPT_CLOSESOCKETFUNCTION, on_close);
    SET(CURLOPT_CLOSESOCKETDATA, pool);
    SET(CURLOPT_PREREQFUNCTION, on_ready);
    SET(CURLOPT_PREREQDATA, transfer);
    SET(CURLOPT_DEBUGFUNCTION, on_debug);
    SET(CURLOPT_DEBUGDATA, transfer);
    SET(CURLOPT_VERBOSE, 1L);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, transfer);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, transfer);
    /* Chunks come to us as they are: libcurl's reading of them is too lenient. */
    SET(CURLOPT_HTTP_TRANSFER_DECODING, 0L);
    return result;
}

CURLcode set_options(CURL *easy, struct pool *pool, struct transfer *transfer) {
    const struct request *request = &transfer->request;
    CURLcode result = CURLE_OK;
    long timeout = milliseconds_of(request->timeout - (monotonic() - transfer->started));
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_NOPROGRESS, 1L);
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_HTTPHEADER, request->headers);
    /* Not every libcurl is built with HTTP/2; without it this is 1.1 anyway. */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     request->secure ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_PIPEWAIT, 0L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_MAXAGE_CONN, pool->max_age);
    SET(CURLOPT_TIMEOUT_MS, timeout > 0 ? timeout : 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, request->connect_timeout);
    SET(CURLOPT_FRESH_CONNECT, transfer->fresh ? 1L : 0L);
    if (pool->user_agent != NULL) {
        SET(CURLOPT_USERAGENT, pool->user_agent);
    }
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Without it a timeout or a cancel during name resolution waits for the resolver: for seconds,
     * in the middle of someone's event loop. What is left behind is freed by the resolver thread
     * itself. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
    result = result == CURLE_OK ? set_callbacks(easy, pool, transfer) : result;
    result = result == CURLE_OK ? set_protection(easy, pool, request) : result;
    return result == CURLE_OK ? set_method(easy, request) : result;
}
