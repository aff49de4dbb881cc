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

/* Pushes the result of the first transfer of a list. False where a finalizer took it meanwhile. The
 * transfer stays in the list until the table is whole, so a memory error of Lua's loses nothing. */
static bool take_first(lua_State *L, struct list *list, const bool *open, struct holder *holder) {
    struct transfer *transfer = list->first;
    transfer->references++;
    holder->transfer = transfer;
    push_result(L, transfer);
    holder->transfer = NULL;
    bool ours = transfer->linked || !*open;
    if (transfer->linked) {
        list_remove(list, transfer);
        transfer_release(transfer);
    }
    transfer_release(transfer);
    return ours;
}

int push_first_result(lua_State *L, struct list *list, const bool *open) {
    lua_settop(L, 1);
    if (list->first != NULL) {
        struct holder *holder = compat_newobject(L, TYPE, sizeof *holder);
        /* Each time the list may be another one. */
        while (list->first != NULL) {
            lua_settop(L, 2);
            if (take_first(L, list, open, holder)) {
                return 1;
            }
        }
    }
    lua_pushnil(L);
    return 1;
}

int pool_take(lua_State *L) {
    struct pool *pool = check_pool(L);
    return push_first_result(L, &pool->finished, &pool->open);
}

void open_result_type(lua_State *L) {
    compat_newtype(L, TYPE, NULL, holder_release);
}
