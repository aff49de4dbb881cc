/* The options of libcurl's handle for one transfer. */
#include "pool.h"

#include <string.h>

/* Where an old libcurl does not know an option, the transfer fails: it would lack a protection.
 * After the first failure nothing is set any more. */
#define SET(option, value)                                                                         \
    (*result = *result == CURLE_OK ? curl_easy_setopt(easy, (option), (value)) : *result)

static void set_method(CURL *easy, const struct request *request, CURLcode *result) {
    if (request->body != NULL || strcmp(request->method, "POST") == 0) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_length);
        SET(CURLOPT_POSTFIELDS, request->body != NULL ? request->body : "");
    } else if (strcmp(request->method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    } else {
        SET(CURLOPT_HTTPGET, 1L);
    }
    SET(CURLOPT_CUSTOMREQUEST, request->method);
}

static void set_proxy(CURL *easy, const struct settings *settings, bool secure, CURLcode *result) {
    if (settings->proxy != NULL) {
        SET(CURLOPT_PROXY, settings->proxy);
        SET(CURLOPT_HTTPPROXYTUNNEL, 1L);
    } else if (!secure) {
        SET(CURLOPT_PROXY, ""); /* nor one of the environment */
    }
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

static void set_protection(CURL *easy, const struct settings *settings, bool secure,
                           CURLcode *result) {
    const char *scheme = secure ? "https" : "http";
    SET(CURLOPT_PROTOCOLS_STR, scheme);
    SET(CURLOPT_REDIR_PROTOCOLS_STR, scheme);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    if (settings->ca_file != NULL) {
        SET(CURLOPT_CAINFO, settings->ca_file);
        /* These authorities and no others. Not every TLS library knows a folder of them, so this
         * may fail. */
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
}

static void set_callbacks(CURL *easy, struct transfer *transfer, CURLcode *result) {
    SET(CURLOPT_PRIVATE, transfer);
    SET(CURLOPT_ERRORBUFFER, transfer->message);
    /* The pool, since sockets outlive the transfer that opened them. */
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    SET(CURLOPT_OPENSOCKETDATA, transfer->pool);
    SET(CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, transfer->pool);
    SET(CURLOPT_PREREQFUNCTION, on_connected);
    SET(CURLOPT_PREREQDATA, transfer);
    SET(CURLOPT_DEBUGFUNCTION, on_debug);
    SET(CURLOPT_DEBUGDATA, transfer);
    SET(CURLOPT_VERBOSE, 1L);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, transfer);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, transfer);
    /* Chunks come to us as they are, since libcurl accepts malformed ones. */
    SET(CURLOPT_HTTP_TRANSFER_DECODING, 0L);
}

static void set_connection(CURL *easy, const struct transfer *transfer, CURLcode *result) {
    const struct request *request = &transfer->request;
    long timeout = milliseconds_of(request->timeout - (monotonic() - transfer->started));
    /* Not every libcurl is built with HTTP/2; without it this is 1.1 anyway. */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     request->secure ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_PIPEWAIT, 0L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_MAXAGE_CONN, transfer->settings->max_age);
    SET(CURLOPT_TIMEOUT_MS, timeout > 0 ? timeout : 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, request->connect_timeout);
    SET(CURLOPT_FRESH_CONNECT, transfer->fresh ? 1L : 0L);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Without it a timeout or a cancel during name resolution blocks for seconds, until the
     * resolver's thread has ended. With it that thread frees what is left. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
}

CURLcode set_options(struct transfer *transfer, CURL *easy) {
    const struct request *request = &transfer->request;
    const struct settings *settings = transfer->settings;
    CURLcode first_failure = CURLE_OK, *result = &first_failure;
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_NOPROGRESS, 1L);
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_HTTPHEADER, request->headers);
    if (settings->user_agent != NULL) {
        SET(CURLOPT_USERAGENT, settings->user_agent);
    }
    set_connection(easy, transfer, result);
    set_callbacks(easy, transfer, result);
    set_protection(easy, settings, request->secure, result);
    set_proxy(easy, settings, request->secure, result);
    set_method(easy, request, result);
    return first_failure;
}
