/* pool:take: a finished transfer becomes a Lua table. */
#include "pool.h"

#include <string.h>

#define TYPE "heymarket.result"

static void set_string(lua_State *L, const char *name, const char *text, size_t length) {
    lua_pushlstring(L, text != NULL ? text : "", length);
    lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, double number) {
    lua_pushnumber(L, number);
    lua_setfield(L, -2, name);
}

static void set_integer(lua_State *L, const char *name, long long number) {
    lua_pushinteger(L, (lua_Integer)number);
    lua_setfield(L, -2, name);
}

static void set_boolean(lua_State *L, const char *name, bool value) {
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

static void push_result(lua_State *L, const struct transfer *transfer) {
    lua_createtable(L, 0, 16); /* with room for what the caller adds */
    set_integer(L, "id", transfer->id);
    if (transfer->code != NULL) {
        const char *words = transfer->problem != NULL ? transfer->problem : transfer->message;
        set_string(L, "code", transfer->code, strlen(transfer->code));
        set_string(L, transfer->problem != NULL ? "problem" : "message", words, strlen(words));
    }
    if (transfer->response.status >= 200) {
        set_integer(L, "status", transfer->response.status);
    }
    set_string(L, "headers", transfer->head.data, transfer->head.length);
    set_string(L, "body", transfer->body.data, transfer->body.length);
    set_boolean(L, "sent", transfer->sent);
    set_boolean(L, "early", transfer->early);
    set_boolean(L, "new_connection", transfer->new_connection);
    set_number(L, "elapsed", transfer->elapsed);
    if (transfer->version != 0) {
        set_number(L, "http_version", transfer->version);
    }
    set_integer(L, "received", (long long)(transfer->head_received + transfer->body_received));
}

/* Keeps a transfer alive while its result is made. Making it allocates, and a finalizer that runs
 * then may close the pool or take results itself. */
struct holder {
    struct transfer *transfer;
};

static int holder_release(lua_State *L) {
    struct holder *holder = luaL_checkudata(L, 1, TYPE);
    struct transfer *transfer = holder->transfer;
    holder->transfer = NULL;
    if (transfer != NULL) {
        transfer_release(transfer);
    }
    return 0;
}

/* Pushes the result of the first finished transfer. False where a finalizer took it meanwhile. The
 * transfer stays in the list until the table is whole, so a memory error of Lua's loses nothing. */
static bool take_first(lua_State *L, struct pool *pool, struct holder *holder) {
    struct transfer *transfer = pool->finished.first;
    transfer->references++;
    holder->transfer = transfer;
    push_result(L, transfer);
    holder->transfer = NULL;
    bool ours = transfer->linked || !pool->open;
    if (transfer->linked) {
        list_remove(&pool->finished, transfer);
        transfer_release(transfer);
    }
    transfer_release(transfer);
    return ours;
}

int pool_take(lua_State *L) {
    struct pool *pool = check_pool(L);
    lua_settop(L, 1);
    if (pool->finished.first != NULL) {
        struct holder *holder = compat_newobject(L, TYPE, sizeof *holder);
        /* Each time the list may be another one. */
        while (pool->finished.first != NULL) {
            lua_settop(L, 2);
            if (take_first(L, pool, holder)) {
                return 1;
            }
        }
    }
    lua_pushnil(L);
    return 1;
}

void open_result_type(lua_State *L) {
    compat_newtype(L, TYPE, NULL, holder_release);
}
