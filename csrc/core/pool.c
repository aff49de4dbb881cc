/* HTTP transfers that never block: a pool is one curl multi handle. Callbacks of libcurl touch only
 * our own memory, never Lua's; Lua sees a transfer when it is started and again when it is taken.
 */
#include "pool.h"

#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define DEFAULT_MAX_BODY (8.0 * 1024 * 1024)
#define DEFAULT_MAX_HEADER (256.0 * 1024)
#define DEFAULT_MAX_AGE 50.0

struct pool *check_pool(lua_State *L) {
    struct pool *pool = luaL_checkudata(L, 1, TYPE);
    if (!pool->open) {
        luaL_error(L, "this client is closed");
    }
    forget_if_forked(pool);
    return pool;
}

static int pool_perform(lua_State *L) {
    struct pool *pool = check_pool(L);
    if (pool->multi != NULL && pool->running_count > 0) {
        struct pipe_guard guard;
        guard_pipe(&guard);
        CURLMcode result = act(pool);
        harvest(pool);
        /* Where the multi handle itself fails no transfer will ever end: end them here, or the
         * caller waits for ever. */
        while (result != CURLM_OK && pool->running.first != NULL) {
            finish(pool, pool->running.first,
                   result == CURLM_OUT_OF_MEMORY ? CURLE_OUT_OF_MEMORY : CURLE_RECV_ERROR);
        }
        if (result != CURLM_OK) {
            /* libcurl 7.88 divides by zero when it goes on with what it could not note. */
            close_multi(pool);
        }
        unguard_pipe(&guard);
    }
    lua_pushinteger(L, pool->running_count);
    return 1;
}

static int pool_wait(lua_State *L) {
    struct pool *pool = check_pool(L);
    int milliseconds = milliseconds_of((double)luaL_checknumber(L, 2));
    if (pool->multi != NULL) {
        struct pollfd watched = {.fd = pool->epoll, .events = POLLIN};
        if (pool->timer >= 0) {
            int until_timer = milliseconds_of(pool->timer - monotonic());
            milliseconds = until_timer < milliseconds ? until_timer : milliseconds;
        }
        double held = let_go_due(pool);
        if (held >= 0 && milliseconds_of(held) < milliseconds) {
            milliseconds = milliseconds_of(held);
        }
        poll(&watched, 1, milliseconds);
    } else {
        poll(NULL, 0, milliseconds);
    }
    return 0;
}

static int pool_cancel(lua_State *L) {
    struct pool *pool = check_pool(L);
    double id = (double)luaL_checknumber(L, 2);
    struct transfer *transfer = pool->running.first;
    while (transfer != NULL && (double)transfer->id != id) {
        transfer = transfer->next;
    }
    if (transfer != NULL) {
        struct pipe_guard guard;
        guard_pipe(&guard);
        unlink_from(&pool->running, transfer);
        pool->running_count--;
        detach(pool, transfer);
        transfer_release(transfer);
        unguard_pipe(&guard);
    }
    lua_pushboolean(L, transfer != NULL);
    return 1;
}

static int pool_running(lua_State *L) {
    lua_pushinteger(L, check_pool(L)->running_count);
    return 1;
}

static void disconnect(struct pool *pool) {
    struct pipe_guard guard;
    guard_pipe(&guard);
    while (pool->finished.first != NULL) {
        struct transfer *transfer = pool->finished.first;
        unlink_from(&pool->finished, transfer);
        transfer_release(transfer);
    }
    if (pool->multi != NULL) {
        close_multi(pool);
    }
    unguard_pipe(&guard);
}

static int pool_release(lua_State *L) {
    struct pool *pool = luaL_checkudata(L, 1, TYPE);
    forget_if_forked(pool);
    disconnect(pool);
    free(pool->ca_file);
    free(pool->proxy);
    free(pool->user_agent);
    pool->ca_file = pool->proxy = pool->user_agent = NULL;
    if (pool->open) {
        pool->open = false;
        atomic_fetch_sub(&core_counts.pools, 1);
    }
    return 0;
}

static int wrong_option(lua_State *L, const char *name, const char *mistake) {
    lua_pushfstring(L, "%s %s", name, mistake);
    return luaL_argerror(L, 1, lua_tolstring(L, -1, NULL));
}

static double number_option(lua_State *L, const char *name, double usual, double most) {
    lua_getfield(L, 1, name);
    double number = usual;
    if (!lua_isnil(L, -1)) {
        number = lua_type(L, -1) == LUA_TNUMBER ? (double)lua_tonumber(L, -1) : -1;
        if (!(number >= 1 && (number >= most || number == (double)(long long)number))) {
            wrong_option(L, name, "must be a positive whole number");
        }
    }
    lua_settop(L, -2);
    return number < most ? number : most;
}

static char *text_option(lua_State *L, const char *name) {
    char *copy = NULL;
    lua_getfield(L, 1, name);
    if (!lua_isnil(L, -1)) {
        size_t length = 0;
        const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &length) : NULL;
        if (text == NULL || !clean_text(text, length)) {
            wrong_option(L, name, "must be a string without line breaks and NUL bytes");
            return NULL; /* not reached */
        }
        copy = malloc(length + 1);
        if (copy == NULL) {
            luaL_error(L, "not enough memory");
            return NULL; /* not reached */
        }
        memcpy(copy, text, length + 1);
    }
    lua_settop(L, -2);
    return copy;
}

static bool is_local(const char *proxy) {
    struct url_facts facts;
    struct problem problem = {NULL, ""};
    return proxy != NULL && check_url(proxy, strlen(proxy), URL_PROXY, &facts, &problem) &&
           facts.loopback;
}

static int pool_new(lua_State *L) {
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_createtable(L, 0, 0);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    core_setup(L);
    struct pool *pool = compat_newobject(L, TYPE, sizeof *pool);
    pool->max_body = (size_t)number_option(L, "max_body", DEFAULT_MAX_BODY, (double)(SIZE_MAX / 8));
    pool->max_header =
        (size_t)number_option(L, "max_header", DEFAULT_MAX_HEADER, (double)(SIZE_MAX / 8));
    pool->max_age = (long)number_option(L, "max_age", DEFAULT_MAX_AGE, (double)(INT_MAX / 1000));
    pool->ca_file = text_option(L, "ca_file");
    pool->proxy = text_option(L, "proxy");
    pool->user_agent = text_option(L, "user_agent");
    pool->proxy_is_local = is_local(pool->proxy);
    pool->open = true;
    atomic_fetch_add(&core_counts.pools, 1);
    return 1;
}

void core_open_http(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"start", pool_start}, {"perform", pool_perform}, {"wait", pool_wait},
        {"take", pool_take},   {"cancel", pool_cancel},   {"running", pool_running},
        {NULL, NULL},
    };
    static const luaL_Reg no_methods[] = {{NULL, NULL}};
    static const luaL_Reg functions[] = {{"pool", pool_new}, {NULL, NULL}};
    compat_newtype(L, TYPE, methods, pool_release);
    compat_newtype(L, HOLDER_TYPE, no_methods, holder_release);
    compat_setfuncs(L, functions);
}
