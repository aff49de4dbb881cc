/* The life of a transfer. */
#include "pool.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Rounded up: a fraction of a millisecond is still some time. */
int milliseconds_of(double seconds) {
    if (!(seconds > 0)) {
        return 0;
    }
    if (seconds >= INT_MAX / 1000) {
        return INT_MAX;
    }
    int whole = (int)(seconds * 1000);
    return whole < seconds * 1000 ? whole + 1 : whole;
}

void append(struct list *list, struct transfer *transfer) {
    transfer->linked = true;
    transfer->next = NULL;
    transfer->previous = list->last;
    *(list->last != NULL ? &list->last->next : &list->first) = transfer;
    list->last = transfer;
}

void unlink_from(struct list *list, struct transfer *transfer) {
    *(transfer->previous != NULL ? &transfer->previous->next : &list->first) = transfer->next;
    *(transfer->next != NULL ? &transfer->next->previous : &list->last) = transfer->previous;
    transfer->next = transfer->previous = NULL;
    transfer->linked = false;
}

bool buffer_add(struct buffer *buffer, const char *data, size_t length) {
    if (length > buffer->capacity - buffer->length) {
        if (length > SIZE_MAX / 4 || buffer->length > SIZE_MAX / 4) {
            return false;
        }
        size_t capacity = buffer->capacity < 2048 ? 2048 : buffer->capacity * 2;
        if (capacity < buffer->length + length) {
            capacity = buffer->length + length;
        }
        char *grown = realloc(buffer->data, capacity);
        if (grown == NULL) {
            return false;
        }
        buffer->data = grown;
        buffer->capacity = capacity;
    }
    memcpy(buffer->data + buffer->length, data, length);
    buffer->length += length;
    return true;
}

void transfer_release(struct transfer *transfer) {
    if (--transfer->references > 0) {
        return;
    }
    curl_slist_free_all(transfer->request.headers);
    free(transfer->request.method);
    free(transfer->request.url);
    free(transfer->request.body);
    free(transfer->head.data);
    free(transfer->body.data);
    free(transfer);
    atomic_fetch_sub(&core_counts.transfers, 1);
}

void leave_socket(struct pool *pool, struct transfer *transfer) {
    let_go(transfer);
    for (struct owned *owned = pool->sockets; owned != NULL; owned = owned->next) {
        if (owned->user == transfer) {
            owned->user = NULL;
        }
    }
    transfer->socket = -1;
}

/* Gives up what libcurl holds of a transfer; its connection stays in the multi handle. No handle is
 * used again: what libcurl remembers of one answer must not meet the next. */
void detach(struct pool *pool, struct transfer *transfer) {
    leave_socket(pool, transfer);
    curl_multi_remove_handle(pool->multi, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    transfer->easy = NULL;
}

void finish(struct pool *pool, struct transfer *transfer, CURLcode result) {
    describe(transfer, result);
    detach(pool, transfer);
    unlink_from(&pool->running, transfer);
    pool->running_count--;
    append(&pool->finished, transfer);
}

static char *copy_of(const char *text, size_t length) {
    char *copy = malloc(length + 1);
    if (copy != NULL) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

bool copy_request(struct request *request, const struct arguments *given) {
    request->method = copy_of(given->method, given->method_length);
    request->url = copy_of(given->url, given->url_length);
    request->body = given->body != NULL ? copy_of(given->body, given->body_length) : NULL;
    request->body_length = given->body_length;
    request->timeout = given->timeout;
    request->connect_timeout = given->connect_timeout;
    request->secure = given->secure;
    return request->method != NULL && request->url != NULL &&
           (given->body == NULL || request->body != NULL);
}

/* Makes a handle for the transfer and hands it to libcurl. Where that fails, `easy` is NULL. */
bool set_going(struct pool *pool, struct transfer *transfer, struct problem *problem) {
    CURL *easy = curl_easy_init();
    transfer->easy = easy;
    if (easy == NULL) {
        set_problem(problem, "OUT_OF_MEMORY", "not enough memory for a request");
        return false;
    }
    CURLcode result = set_options(easy, pool, transfer);
    if (result != CURLE_OK) {
        set_code_problem(problem, result);
    } else if (curl_multi_add_handle(pool->multi, easy) != CURLM_OK) {
        set_problem(problem, "OUT_OF_MEMORY", "the request cannot be started");
    } else {
        return true;
    }
    curl_easy_cleanup(easy);
    transfer->easy = NULL;
    return false;
}

struct transfer *new_transfer(struct pool *pool) {
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (transfer != NULL) {
        transfer->pool = pool;
        transfer->references = 1;
        transfer->started = monotonic();
        transfer->max_body = pool->max_body;
        transfer->max_head = pool->max_header;
        transfer->socket = -1;
        atomic_fetch_add(&core_counts.transfers, 1);
    }
    return transfer;
}
