/* An inbox: where the results of requests arrive that the thread runs. A descriptor tells when. */
#include "pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define TYPE "heymarket.inbox"

/* What the thread sees of it. It lives until the last transfer that was started for it has ended.
 */
struct inbox {
    pid_t pid;
    pthread_mutex_t lock; /* guards what follows */
    int references;       /* the Lua object's, and one of each transfer */
    struct list finished;
    bool closed;
    int bell; /* is written to when `finished` was empty; -1: nobody listens */
    bool is_socket;
};

/* What Lua has of it. */
struct inbox_object {
    bool open;
    struct inbox *inbox;
    struct list taken;          /* out of `finished`; no other thread touches it */
    int listener;               /* waits for the reader to connect; 0: none does */
    struct sockaddr_un address; /* of the listener */
    char folder[sizeof "/var/tmp/heymarket-XXXXXX"];
};

static atomic_int expected; /* transfers of this process whose results go to inboxes */

static void release(struct inbox *inbox) {
    pthread_mutex_lock(&inbox->lock);
    int left = --inbox->references;
    pthread_mutex_unlock(&inbox->lock);
    if (left == 0) {
        pthread_mutex_destroy(&inbox->lock);
        free(inbox);
    }
}

void inbox_expect(struct inbox *inbox, struct transfer *transfer) {
    pthread_mutex_lock(&inbox->lock);
    inbox->references++;
    pthread_mutex_unlock(&inbox->lock);
    atomic_fetch_add(&expected, 1);
    transfer->inbox = inbox;
}

void inbox_forget(struct transfer *transfer) {
    if (transfer->inbox != NULL) {
        release(transfer->inbox);
        atomic_fetch_sub(&expected, 1);
    }
}

void inbox_forget_all(void) {
    atomic_fetch_sub(&core_counts[TRANSFERS], atomic_exchange(&expected, 0));
}

static struct inbox *new_inbox(void) {
    struct inbox *inbox = calloc(1, sizeof *inbox);
    if (inbox != NULL) {
        inbox->references = 1;
        inbox->pid = getpid();
        inbox->bell = -1;
        pthread_mutex_init(&inbox->lock, NULL);
    }
    return inbox;
}

/* A full descriptor has been written to already. Where the other end is gone, nobody listens. */
static void ring(const struct inbox *inbox) {
    ssize_t written = 0;
    if (inbox->is_socket) {
        written = send(inbox->bell, "!", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    } else if (inbox->bell >= 0) {
        written = eventfd_write(inbox->bell, 1);
    }
    (void)written;
}

void inbox_put(struct transfer *transfer) {
    struct inbox *inbox = transfer->inbox;
    pthread_mutex_lock(&inbox->lock);
    bool unwanted = inbox->closed || atomic_load(&transfer->settings->closed);
    if (!unwanted) {
        bool was_empty = inbox->finished.first == NULL;
        list_append(&inbox->finished, transfer);
        if (was_empty) {
            ring(inbox);
        }
    }
    pthread_mutex_unlock(&inbox->lock);
    if (unwanted) {
        transfer_release(transfer);
    }
}

static void set_bell(struct inbox *inbox, int bell, bool is_socket) {
    pthread_mutex_lock(&inbox->lock);
    int former = inbox->bell;
    inbox->bell = bell;
    inbox->is_socket = is_socket;
    if (bell >= 0 && inbox->finished.first != NULL) {
        ring(inbox);
    }
    pthread_mutex_unlock(&inbox->lock);
    if (former >= 0) {
        close(former);
    }
}

static struct list take_finished(struct inbox *inbox) {
    pthread_mutex_lock(&inbox->lock);
    struct list finished = inbox->finished;
    inbox->finished = (struct list){0};
    pthread_mutex_unlock(&inbox->lock);
    return finished;
}

/* After fork the child must not touch the parent's inbox: the thread may hold its lock, and the
 * descriptors are the parent's. The child drops it without closing, and has a new one. */
static void renew_if_forked(lua_State *L, struct inbox_object *object) {
    if (object->inbox == NULL || object->inbox->pid != getpid()) {
        object->taken = (struct list){0};
        object->listener = 0;
        object->inbox = new_inbox();
        if (object->inbox == NULL) {
            luaL_error(L, "not enough memory");
        }
    }
}

static struct inbox_object *check_object(lua_State *L, int index) {
    struct inbox_object *object = luaL_checkudata(L, index, TYPE);
    if (!object->open) {
        luaL_error(L, "this inbox is closed");
    }
    renew_if_forked(L, object);
    return object;
}

struct inbox *check_inbox(lua_State *L, int index) {
    return lua_isnoneornil(L, index) ? NULL : check_object(L, index)->inbox;
}

/* take() -> the next result, or nil */
static int inbox_take(lua_State *L) {
    struct inbox_object *object = check_object(L, 1);
    if (object->taken.first == NULL) {
        object->taken = take_finished(object->inbox);
    }
    return push_first_result(L, &object->taken, &object->open);
}

/* descriptor() -> a number that can be waited for: it is readable when results are there. Or nil
 * where there is none left. */
static int inbox_descriptor(lua_State *L) {
    struct inbox *inbox = check_object(L, 1)->inbox;
    if (inbox->bell < 0 || inbox->is_socket) {
        int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (bell < 0) {
            return 0;
        }
        set_bell(inbox, bell, false);
    }
    lua_pushinteger(L, inbox->bell);
    return 1;
}

/* clear(): the descriptor is not readable until more results come. To be called before `take`. */
static int inbox_clear(lua_State *L) {
    struct inbox *inbox = check_object(L, 1)->inbox;
    eventfd_t count;
    if (inbox->bell >= 0 && !inbox->is_socket) {
        eventfd_read(inbox->bell, &count);
    }
    return 0;
}

/* ring(): the descriptor is readable, as if a result had come. */
static int inbox_ring(lua_State *L) {
    ring(check_object(L, 1)->inbox);
    return 0;
}

static void stop_listening(struct inbox_object *object) {
    if (object->listener > 0) {
        close(object->listener);
        unlink(object->address.sun_path);
        rmdir(object->folder);
        object->listener = 0;
    }
}

/* Only this user can enter the folder, so nobody else can connect. */
static bool listen_in(struct inbox_object *object, const char *parent) {
    snprintf(object->folder, sizeof object->folder, "%s/heymarket-XXXXXX", parent);
    if (mkdtemp(object->folder) == NULL) {
        return false;
    }
    object->address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(object->address.sun_path, sizeof object->address.sun_path, "%s/inbox", object->folder);
    object->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (object->listener > 0 &&
        bind(object->listener, (struct sockaddr *)&object->address, sizeof object->address) == 0 &&
        listen(object->listener, 1) == 0) {
        return true;
    }
    stop_listening(object);
    rmdir(object->folder);
    return false;
}

/* listen() -> the path of a unix socket for the one who reads what rings. Or nil where no folder
 * can be written. `accept` must follow. */
static int inbox_listen(lua_State *L) {
    static const char *const parents[] = {"/tmp", "/var/tmp", "/dev/shm", "/run"};
    struct inbox_object *object = check_object(L, 1);
    stop_listening(object);
    for (size_t i = 0; i < sizeof parents / sizeof *parents; i++) {
        if (listen_in(object, parents[i])) {
            lua_pushstring(L, object->address.sun_path);
            return 1;
        }
    }
    return 0;
}

/* accept() -> whether somebody has connected. In any case nothing is left of the path. */
static int inbox_accept(lua_State *L) {
    struct inbox_object *object = check_object(L, 1);
    int bell = object->listener > 0
                   ? accept4(object->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)
                   : -1;
    stop_listening(object);
    if (bell >= 0) {
        set_bell(object->inbox, bell, true);
    }
    lua_pushboolean(L, bell >= 0);
    return 1;
}

/* The transfers that the thread still runs for it end as ever, and their results are dropped. */
static void close_inbox(struct inbox_object *object) {
    struct inbox *inbox = object->inbox;
    stop_listening(object);
    set_bell(inbox, -1, false);
    pthread_mutex_lock(&inbox->lock);
    inbox->closed = true;
    pthread_mutex_unlock(&inbox->lock);
    struct list finished = take_finished(inbox);
    list_release(&finished);
    list_release(&object->taken);
    release(inbox);
}

static int inbox_close(lua_State *L) {
    struct inbox_object *object = luaL_checkudata(L, 1, TYPE);
    object->open = false;
    if (object->inbox != NULL && object->inbox->pid == getpid()) {
        close_inbox(object);
    }
    object->inbox = NULL;
    return 0;
}

/* inbox() */
int core_inbox(lua_State *L) {
    core_setup(L);
    struct inbox_object *object = compat_newobject(L, TYPE, sizeof *object);
    object->open = true;
    renew_if_forked(L, object);
    return 1;
}

void open_inbox_type(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"take", inbox_take}, {"descriptor", inbox_descriptor}, {"clear", inbox_clear},
        {"ring", inbox_ring}, {"listen", inbox_listen},         {"accept", inbox_accept},
        {NULL, NULL},
    };
    compat_newtype(L, TYPE, methods, inbox_close);
}
