/* The thread that runs the transfers of all pools whose results go to inboxes.
 *
 * There is one in a process, whatever number of Lua states and pools there is. It touches no Lua.
 * It begins with the first such transfer and ends with the last pool that started one, or when the
 * process exits: before OpenSSL's own handler, which takes away what libcurl uses. */
#include "pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct thread {
    pthread_t id;
    pid_t pid;
    struct pool pool;     /* only the thread touches it, except for `wake` */
    int users;            /* pools; `one_thread.lock` guards it */
    pthread_mutex_t lock; /* guards what follows */
    struct list arriving;
    bool pools_closed; /* some were, so transfers of theirs may run */
    bool ending;
};

/* The lock is held while the thread is made and while it is ended. */
static struct {
    pthread_mutex_t lock;
    struct thread *thread;
    bool exiting; /* the process ends: no thread begins any more */
} one_thread = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool thread_is_ours(const struct thread *thread) {
    return thread->pid == getpid();
}

static void wake(const struct thread *thread) {
    eventfd_write(thread->pool.wake, 1);
}

/* ---- what the thread does ---- */

static void refuse(struct transfer *transfer, const struct problem *problem) {
    struct pool *pool = transfer->pool;
    transfer->code = problem->curl;
    transfer->problem = problem->code;
    snprintf(transfer->message, sizeof transfer->message, "%s", problem->detail);
    list_append(&pool->finished, transfer);
}

static void start(struct pool *pool, struct transfer *transfer) {
    struct problem problem = {0};
    if (open_multi(pool, &problem) && start_transfer(transfer, &problem)) {
        list_append(&pool->running, transfer);
    } else {
        refuse(transfer, &problem);
    }
}

static void drop_those_of_closed_pools(struct pool *pool) {
    struct transfer *next, *transfer = pool->running.first;
    for (; transfer != NULL; transfer = next) {
        next = transfer->next;
        if (atomic_load(&transfer->settings->closed)) {
            drop_transfer(transfer);
        }
    }
}

/* Does what others have asked for. False where the thread is to end. */
static bool take_orders(struct thread *thread) {
    eventfd_t count;
    eventfd_read(thread->pool.wake, &count); /* first: what is asked from now on wakes again */
    pthread_mutex_lock(&thread->lock);
    struct list arriving = thread->arriving;
    bool pools_closed = thread->pools_closed, ending = thread->ending;
    thread->arriving = (struct list){0};
    thread->pools_closed = false;
    pthread_mutex_unlock(&thread->lock);
    while (arriving.first != NULL) {
        struct transfer *transfer = arriving.first;
        list_remove(&arriving, transfer);
        if (ending) {
            transfer_release(transfer);
        } else {
            start(&thread->pool, transfer);
        }
    }
    if (pools_closed) {
        drop_those_of_closed_pools(&thread->pool);
    }
    return !ending;
}

static void deliver(struct pool *pool) {
    while (pool->finished.first != NULL) {
        struct transfer *transfer = pool->finished.first;
        list_remove(&pool->finished, transfer);
        inbox_put(transfer);
    }
}

static void *run(void *context) {
    struct thread *thread = context;
    struct pool *pool = &thread->pool;
    while (take_orders(thread)) {
        if (pool->multi != NULL) {
            poll_once(pool);
        }
        deliver(pool);
        wait_for_events(pool, -1);
    }
    if (pool->multi != NULL) {
        close_multi(pool);
    }
    return NULL;
}

/* ---- what others do with it ---- */

void thread_start(struct thread *thread, struct transfer *transfer) {
    transfer->pool = &thread->pool;
    pthread_mutex_lock(&thread->lock);
    bool was_empty = thread->arriving.first == NULL;
    list_append(&thread->arriving, transfer);
    pthread_mutex_unlock(&thread->lock);
    if (was_empty) {
        wake(thread);
    }
}

/* No signal of the program is handled in the thread. */
static bool create(struct thread *thread) {
    sigset_t all, former;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    int failed = pthread_create(&thread->id, NULL, run, thread);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    if (failed == 0) {
        pthread_setname_np(thread->id, "heymarket");
    }
    return failed == 0;
}

static void discard(struct thread *thread) {
    close(thread->pool.wake);
    pthread_mutex_destroy(&thread->lock);
    free(thread);
}

/* The multi handle is made here, since making one looks at the descriptors of the process. */
static struct thread *new_thread(struct problem *problem) {
    struct thread *thread = calloc(1, sizeof *thread);
    if (thread == NULL) {
        fail(problem, "OUT_OF_MEMORY", "out_of_memory");
        return NULL;
    }
    thread->pid = getpid();
    thread->pool.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&thread->lock, NULL);
    if (thread->pool.wake < 0) {
        fail(problem, "OUT_OF_MEMORY", "too_many_files");
    } else if (open_multi(&thread->pool, problem)) {
        if (create(thread)) {
            return thread;
        }
        close_multi(&thread->pool);
        fail(problem, "OUT_OF_MEMORY", "no_thread");
    }
    discard(thread);
    return NULL;
}

bool use_thread(struct pool *pool, struct problem *problem) {
    if (pool->thread != NULL) {
        return true;
    }
    pthread_mutex_lock(&one_thread.lock);
    if (one_thread.exiting) {
        fail(problem, "OUT_OF_MEMORY", "no_thread");
    } else if (one_thread.thread == NULL) {
        one_thread.thread = new_thread(problem);
    }
    if (one_thread.thread != NULL) {
        one_thread.thread->users++;
        pool->thread = one_thread.thread;
    }
    pthread_mutex_unlock(&one_thread.lock);
    return pool->thread != NULL;
}

static void end(struct thread *thread) {
    pthread_mutex_lock(&thread->lock);
    thread->ending = true;
    pthread_mutex_unlock(&thread->lock);
    wake(thread);
    pthread_join(thread->id, NULL);
}

void leave_thread(struct pool *pool) {
    struct thread *thread = pool->thread;
    pool->thread = NULL;
    if (thread == NULL) {
        return;
    }
    atomic_store(&pool->settings->closed, true);
    pthread_mutex_lock(&one_thread.lock);
    if (thread == one_thread.thread && --thread->users == 0) {
        one_thread.thread = NULL;
        end(thread);
        discard(thread);
    } else if (thread == one_thread.thread) {
        pthread_mutex_lock(&thread->lock);
        thread->pools_closed = true;
        pthread_mutex_unlock(&thread->lock);
        wake(thread);
    }
    pthread_mutex_unlock(&one_thread.lock);
}

/* The thread's memory is kept: some Lua state may still refer to it. */
static void end_at_exit(void) {
    pthread_mutex_lock(&one_thread.lock);
    struct thread *thread = one_thread.thread;
    one_thread.thread = NULL;
    one_thread.exiting = true;
    if (thread != NULL) {
        end(thread);
    }
    pthread_mutex_unlock(&one_thread.lock);
}

/* The child has no thread. The lock may have been held by another one of the parent's. */
static void forget_in_child(void) {
    pthread_mutex_init(&one_thread.lock, NULL);
    one_thread.thread = NULL;
    inbox_forget_all();
}

bool prepare_thread(void) {
    return atexit(end_at_exit) == 0 && pthread_atfork(NULL, NULL, forget_in_child) == 0;
}
