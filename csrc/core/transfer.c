/* The life of a transfer. */
#include "pool.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void list_append(struct list *list, struct transfer *transfer) {
    transfer->linked = true;
    transfer->next = NULL;
    transfer->previous = list->last;
    *(list->last != NULL ? &list->last->next : &list->first) = transfer;
    list->last = transfer;
    list->count++;
}

void list_remove(struct list *list, struct transfer *transfer) {
    *(transfer->previous != NULL ? &transfer->previous->next : &list->first) = transfer->next;
    *(transfer->next != NULL ? &transfer->next->previous : &list->last) = transfer->previous;
    transfer->next = transfer->previous = NULL;
    transfer->linked = false;
    list->count--;
}

void list_release(struct list *list) {
    while (list->first != NULL) {
        struct transfer *transfer = list->first;
        list_remove(list, transfer);
        transfer_release(transfer);
    }
}

void settings_release(struct settings *settings) {
    if (settings != NULL && atomic_fetch_sub(&settings->references, 1) == 1) {
        free(settings->ca_file);
        free(settings->proxy);
        free(settings->user_agent);
        free(settings);
    }
}

struct transfer *new_transfer(struct pool *pool, struct settings *settings) {
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (transfer != NULL) {
        transfer->pool = pool;
        transfer->settings = settings;
        atomic_fetch_add(&settings->references, 1);
        transfer->references = 1;
        transfer->started = monotonic();
        transfer->socket = -1;
        atomic_fetch_add(&core_counts[TRANSFERS], 1);
    }
    return transfer;
}

void transfer_release(struct transfer *transfer) {
    if (--transfer->references > 0) {
        return;
    }
    curl_slist_free_all(transfer->request.headers);
    free((void *)transfer->request.method);
    free((void *)transfer->request.url);
    free((void *)transfer->request.body);
    free(transfer->head.data);
    free(transfer->body.data);
    settings_release(transfer->settings);
    inbox_forget(transfer);
    free(transfer);
    atomic_fetch_sub(&core_counts[TRANSFERS], 1);
}

bool start_transfer(struct transfer *transfer, struct problem *problem) {
    transfer->easy = curl_easy_init();
    CURLcode result =
        transfer->easy != NULL ? set_options(transfer, transfer->easy) : CURLE_OUT_OF_MEMORY;
    if (result == CURLE_OK &&
        curl_multi_add_handle(transfer->pool->multi, transfer->easy) == CURLM_OK) {
        return true;
    }
    curl_easy_cleanup(transfer->easy);
    transfer->easy = NULL;
    if (result == CURLE_OK || result == CURLE_OUT_OF_MEMORY) {
        return fail(problem, "OUT_OF_MEMORY", "out_of_memory");
    }
    char text[24];
    const char *name = curl_name((int)result, text, sizeof text);
    snprintf(problem->detail, sizeof problem->detail, "%s", curl_easy_strerror(result));
    return fail(problem, name != text ? name : "FAILED_INIT", NULL);
}

void leave_socket(struct transfer *transfer) {
    release_request(transfer);
    for (struct pool_socket *each = transfer->pool->sockets; each != NULL; each = each->next) {
        if (each->user == transfer) {
            each->user = NULL;
        }
    }
    transfer->socket = -1;
}

void detach_transfer(struct transfer *transfer) {
    leave_socket(transfer);
    curl_multi_remove_handle(transfer->pool->multi, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    transfer->easy = NULL;
}

void finish_transfer(struct transfer *transfer, CURLcode result) {
    struct pool *pool = transfer->pool;
    judge_transfer(transfer, result);
    detach_transfer(transfer);
    list_remove(&pool->running, transfer);
    list_append(&pool->finished, transfer);
}

void drop_transfer(struct transfer *transfer) {
    list_remove(&transfer->pool->running, transfer);
    detach_transfer(transfer);
    transfer_release(transfer);
}
