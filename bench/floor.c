/* The floor: floor FILE posts bodies that were prepared beforehand, one a line, and does nothing
 * else. Four requests in flight, as the peers have. HEYMARKET_TOKEN is a token signed before. */
#define _GNU_SOURCE
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONCURRENCY = 4 };

struct request {
    CURL *easy;
    char *body;
    size_t capacity;
    char answer[16];
    size_t received;
};

static size_t receive(char *data, size_t size, size_t count, void *context) {
    struct request *request = context;
    size_t length = size * count;
    if (length > sizeof request->answer - request->received) {
        return 0;
    }
    memcpy(request->answer + request->received, data, length);
    request->received += length;
    return length;
}

static void fail(const char *message) {
    fprintf(stderr, "floor: %s\n", message);
    exit(1);
}

/* False at the end of the file. */
static int start(CURLM *multi, struct request *request, FILE *file) {
    ssize_t length = getline(&request->body, &request->capacity, file);
    if (length <= 0) {
        return 0;
    }
    request->received = 0;
    curl_easy_setopt(request->easy, CURLOPT_POSTFIELDS, request->body);
    curl_easy_setopt(request->easy, CURLOPT_POSTFIELDSIZE, (long)length - 1);
    if (curl_multi_add_handle(multi, request->easy) != CURLM_OK) {
        fail("cannot add a request");
    }
    return 1;
}

static void check(struct request *request, CURLcode code) {
    long status = 0;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK) {
        fail(curl_easy_strerror(code));
    }
    if (status != 200 || request->received != 4 || memcmp(request->answer, "\"ok\"", 4) != 0) {
        fail("not all were created");
    }
}

int main(int argc, char **argv) {
    const char *base = getenv("HEYMARKET_BASE_URL");
    const char *token = getenv("HEYMARKET_TOKEN");
    FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (!base || !token || !file) {
        fail("usage: HEYMARKET_BASE_URL=... HEYMARKET_TOKEN=... floor FILE");
    }
    char url[256];
    char bearer[1024];
    snprintf(url, sizeof url, "%s/v1/batch/contacts", base);
    snprintf(bearer, sizeof bearer, "Authorization: Bearer %s", token);

    curl_global_init(CURL_GLOBAL_DEFAULT);
    CURLM *multi = curl_multi_init();
    struct curl_slist *headers = curl_slist_append(NULL, bearer);
    headers = curl_slist_append(headers, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Expect:");

    struct request requests[CONCURRENCY] = {0};
    int running = 0;
    for (int i = 0; i < CONCURRENCY; i++) {
        requests[i].easy = curl_easy_init();
        curl_easy_setopt(requests[i].easy, CURLOPT_URL, url);
        curl_easy_setopt(requests[i].easy, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(requests[i].easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(requests[i].easy, CURLOPT_WRITEFUNCTION, receive);
        curl_easy_setopt(requests[i].easy, CURLOPT_WRITEDATA, &requests[i]);
        curl_easy_setopt(requests[i].easy, CURLOPT_PRIVATE, &requests[i]);
        running += start(multi, &requests[i], file);
    }
    while (running > 0) {
        int active, left;
        if (curl_multi_perform(multi, &active) != CURLM_OK) {
            fail("curl_multi_perform failed");
        }
        CURLMsg *message;
        while ((message = curl_multi_info_read(multi, &left))) {
            struct request *request;
            CURLcode code = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
            check(request, code);
            curl_multi_remove_handle(multi, request->easy);
            running += start(multi, request, file) - 1;
        }
        if (running > 0 && curl_multi_poll(multi, NULL, 0, 1000, NULL) != CURLM_OK) {
            fail("curl_multi_poll failed");
        }
    }

    for (int i = 0; i < CONCURRENCY; i++) {
        curl_easy_cleanup(requests[i].easy);
        free(requests[i].body);
    }
    curl_multi_cleanup(multi);
    curl_slist_free_all(headers);
    curl_global_cleanup();
    fclose(file);
    return 0;
}
