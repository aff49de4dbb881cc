/* A pool: HTTP transfers that never block. Lua sees a transfer when it is started and when its
 * result is taken. */
#include "pool.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define TYPE "heymarket.pool"

#define DEFAULT_MAX_BODY (8.0 * 1024 * 1024)
#define DEFAULT_MAX_HEADER (256.0 * 1024)
#define DEFAULT_MAX_AGE 50.0 /* s that a connection may be idle */
#define MAX_BYTES ((double)(SIZE_MAX / 8))

struct pool *check_pool(lua_State *L) {
    struct pool *pool = luaL_checkudata(L, 1, TYPE);
    if (!pool->open) {
        luaL_error(L, "this client is closed");
    }
    forget_if_forked(pool);
    return pool;
}

/* perform() -> number of transfers that run */
static int pool_perform(lua_State *L) {
    struct pool *pool = check_pool(L);
    if (pool->multi != NULL && pool->running.count > 0) {
        struct sigpipe guard;
        sigpipe_block(&guard);
        poll_once(pool);
        sigpipe_restore(&guard);
    }
    lua_pushinteger(L, pool->running.count);
    return 1;
}

/* wait(seconds): blocks until something can be done, or for so long. */
static int pool_wait(lua_State *L) {
    struct pool *pool = check_pool(L);
    wait_for_events(pool, milliseconds_of((double)luaL_checknumber(L, 2)));
    return 0;
}

/* cancel(id) -> whether that transfer was running */
static int pool_cancel(lua_State *L) {
    struct pool *pool = check_pool(L);
    double id = (double)luaL_checknumber(L, 2);
    struct transfer *transfer = pool->running.first;
    while (transfer != NULL && (double)transfer->id != id) {
        transfer = transfer->next;
    }
    if (transfer != NULL) {
        struct sigpipe guard;
        sigpipe_block(&guard);
        drop_transfer(transfer);
        sigpipe_restore(&guard);
    }
    lua_pushboolean(L, transfer != NULL);
    return 1;
}

static int pool_running(lua_State *L) {
    lua_pushinteger(L, check_pool(L)->running.count);
    return 1;
}

static void disconnect(struct pool *pool) {
    struct sigpipe guard;
    sigpipe_block(&guard);
    list_release(&pool->finished);
    if (pool->multi != NULL) {
        close_multi(pool);
    }
    sigpipe_restore(&guard);
}

static int pool_release(lua_State *L) {
    struct pool *pool = luaL_checkudata(L, 1, TYPE);
    forget_if_forked(pool);
    leave_thread(pool);
    disconnect(pool);
    settings_release(pool->settings);
    pool->settings = NULL;
    if (pool->open) {
        pool->open = false;
        atomic_fetch_sub(&core_counts[POOLS], 1);
    }
    return 0;
}

static void wrong_option(lua_State *L, const char *name, const char *rule) {
    lua_pushfstring(L, "%s %s", name, rule);
    luaL_argerror(L, 1, lua_tostring(L, -1));
}

static double number_option(lua_State *L, const char *name, double default_number, double max) {
    lua_getfield(L, 1, name);
    double number = default_number;
    if (!lua_isnil(L, -1)) {
        number = lua_type(L, -1) == LUA_TNUMBER ? (double)lua_tonumber(L, -1) : -1;
        if (!(number >= 1 && (number >= max || number == (double)(long long)number))) {
            wrong_option(L, name, "must be a positive whole number");
        }
    }
    lua_pop(L, 1);
    return number < max ? number : max;
}

/* A copy of the text; NULL where there is none. */
static char *text_option(lua_State *L, const char *name) {
    char *copy = NULL;
    lua_getfield(L, 1, name);
    if (!lua_isnil(L, -1)) {
        size_t length = 0;
        const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &length) : NULL;
        if (text == NULL || !is_one_line(text, length)) {
            wrong_option(L, name, "must be a string without line breaks and NUL bytes");
        }
        copy = text != NULL ? strdup(text) : NULL;
        if (copy == NULL) {
            luaL_error(L, "not enough memory");
        }
    }
    lua_pop(L, 1);
    return copy;
}

static bool is_local(const char *proxy) {
    struct url_facts facts;
    struct problem problem = {0};
    return proxy != NULL && check_url(proxy, strlen(proxy), URL_PROXY, &facts, &problem) &&
           facts.loopback;
}

static struct settings *new_settings(lua_State *L) {
    struct settings *settings = calloc(1, sizeof *settings);
    if (settings == NULL) {
        luaL_error(L, "not enough memory");
        return NULL;
    }
    settings->references = 1;
    return settings;
}

/* pool{max_body, max_header, max_age, ca_file, proxy, user_agent} */
int core_pool(lua_State *L) {
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    core_setup(L);
    struct pool *pool = compat_newobject(L, TYPE, sizeof *pool);
    struct settings *settings = pool->settings = new_settings(L);
    settings->max_body = (size_t)number_option(L, "max_body", DEFAULT_MAX_BODY, MAX_BYTES);
    settings->max_header = (size_t)number_option(L, "max_header", DEFAULT_MAX_HEADER, MAX_BYTES);
    settings->max_age =
        (long)number_option(L, "max_age", DEFAULT_MAX_AGE, (double)(INT_MAX / 1000));
    settings->ca_file = text_option(L, "ca_file");
    settings->proxy = text_option(L, "proxy");
    settings->user_agent = text_option(L, "user_agent");
    settings->proxy_is_local = is_local(settings->proxy);
    pool->open = true;
    atomic_fetch_add(&core_counts[POOLS], 1);
    return 1;
}

void core_prepare_pool(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"start", pool_start}, {"perform", pool_perform}, {"wait", pool_wait},
        {"take", pool_take},   {"cancel", pool_cancel},   {"running", pool_running},
        {NULL, NULL},
    };
    compat_newtype(L, TYPE, methods, pool_release);
    open_result_type(L);
    open_inbox_type(L);
}
