/* pool:take: a finished transfer becomes a Lua table. */
#include "pool.h"

#include <string.h>

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

/* Keeps a transfer alive while its result is made: that allocates, and a finalizer that runs then
 * may close the pool or take results itself. */
struct holder {
    struct transfer *transfer;
};

int holder_release(lua_State *L) {
    struct holder *holder = luaL_checkudata(L, 1, HOLDER_TYPE);
    struct transfer *transfer = holder->transfer;
    holder->transfer = NULL;
    if (transfer != NULL) {
        transfer_release(transfer);
    }
    return 0;
}

static void push_result(lua_State *L, const struct transfer *transfer) {
    /* With room for what the caller adds. */
    lua_createtable(L, 0, 16);
    set_integer(L, "id", transfer->id);
    if (transfer->code != NULL) {
        set_string(L, "code", transfer->code, strlen(transfer->code));
        set_string(L, "message", transfer->message, strlen(transfer->message));
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

int pool_take(lua_State *L) {
    struct pool *pool = check_pool(L);
    lua_settop(L, 1);
    if (pool->finished.first == NULL) {
        lua_pushnil(L);
        return 1;
    }
    struct holder *holder = compat_newobject(L, HOLDER_TYPE, sizeof *holder);
    for (;;) {
        /* The list may be another one by now. */
        struct transfer *transfer = pool->finished.first;
        if (transfer == NULL) {
            lua_pushnil(L);
            return 1;
        }
        transfer->references++;
        holder->transfer = transfer;
        /* Until the table is whole the transfer stays in the list: a memory error of Lua's then
         * loses nothing. */
        push_result(L, transfer);
        holder->transfer = NULL;
        bool ours = transfer->linked || !pool->open;
        if (transfer->linked) {
            unlink_from(&pool->finished, transfer);
            transfer_release(transfer);
        }
        transfer_release(transfer);
        if (ours) {
            return 1;
        }
        lua_settop(L, 2); /* a finalizer took this one */
    }
}
