/* pool:start: the arguments are checked and copied, and a transfer begins. */
#include "pool.h"

#include <string.h>
#include <strings.h>

static bool add_header(struct request *request, const char *header) {
    struct curl_slist *longer = curl_slist_append(request->headers, header);
    if (longer != NULL) {
        request->headers = longer;
    }
    return longer != NULL;
}

/* The request's headers: the table at this index, already checked, and what keeps libcurl from
 * adding its own. */
static bool add_headers(lua_State *L, int index, struct request *request) {
    bool good = add_header(request, "Expect:"); /* waiting for "100 Continue" can stall */
    bool typed = false;
    int count = (int)compat_rawlen(L, index);
    for (int i = 1; good && i <= count; i++) {
        lua_rawgeti(L, index, i);
        const char *header = lua_tolstring(L, -1, NULL);
        typed = typed || strncasecmp(header, "Content-Type:", 13) == 0;
        good = add_header(request, header);
        lua_settop(L, -2);
    }
    if (good && request->body != NULL && !typed) {
        good = add_header(request, "Content-Type:");
    }
    return good;
}

static long check_milliseconds(lua_State *L, int index) {
    double seconds = (double)luaL_checknumber(L, index);
    luaL_argcheck(L, seconds > 0, index, "must be a positive number of seconds");
    return milliseconds_of(seconds);
}

/* Takes the arguments. A number among them is converted here, which allocates: whatever must not
 * change any more is looked at only after this. */
static void read_arguments(lua_State *L, struct arguments *given) {
    given->method = luaL_checklstring(L, 2, &given->method_length);
    given->url = luaL_checklstring(L, 3, &given->url_length);
    luaL_checktype(L, 4, LUA_TTABLE);
    if (!lua_isnoneornil(L, 5)) {
        given->body = luaL_checklstring(L, 5, &given->body_length);
    }
    given->timeout = (double)check_milliseconds(L, 6) / 1000;
    given->connect_timeout = check_milliseconds(L, 7);
    given->id = lua_isnoneornil(L, 8) ? 0 : compat_checkwhole(L, 8);
    int count = (int)compat_rawlen(L, 4);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 4, i);
        luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 4, "headers must be strings");
        lua_settop(L, -2);
    }
}

/* Allocates nothing in Lua. */
static bool check_arguments(lua_State *L, const struct pool *pool, struct arguments *given,
                            struct problem *problem) {
    int count = (int)compat_rawlen(L, 4);
    for (int i = 1; i <= count; i++) {
        size_t length = 0;
        lua_rawgeti(L, 4, i);
        const char *header = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &length) : "";
        bool good = check_header(header, length, i, problem);
        lua_settop(L, -2);
        if (!good) {
            return false;
        }
    }
    if (given->method_length == 0 || token_length(given->method) != given->method_length) {
        set_problem(problem, "BAD_FUNCTION_ARGUMENT", "the method is not an HTTP method");
        return false;
    }
    if (!clean_text(given->url, given->url_length)) {
        set_problem(problem, "BAD_FUNCTION_ARGUMENT", "the URL holds a line break or a NUL byte");
        return false;
    }
    struct url_facts facts;
    if (!check_url(given->url, given->url_length, URL_REQUEST, &facts, problem)) {
        return false;
    }
    if (!facts.secure && pool->proxy != NULL && !pool->proxy_is_local) {
        set_problem(problem, "UNSUPPORTED_PROTOCOL",
                    "plain http must not go through a proxy on another machine: use https");
        return false;
    }
    given->secure = facts.secure;
    return true;
}

/* Raises no Lua error and allocates nothing in Lua, so that nothing of what it acquires can be lost
 * and nobody can close the pool meanwhile. */
static struct transfer *launch(lua_State *L, struct pool *pool, const struct arguments *given,
                               struct problem *problem) {
    struct transfer *transfer = ready(pool, problem) ? new_transfer(pool) : NULL;
    if (transfer == NULL || !copy_request(&transfer->request, given) ||
        !add_headers(L, 4, &transfer->request)) {
        if (problem->code == NULL) {
            set_problem(problem, "OUT_OF_MEMORY", "not enough memory for a request");
        }
    } else {
        transfer->response.head_request = strcmp(given->method, "HEAD") == 0;
        set_going(pool, transfer, problem);
    }
    if (problem->code != NULL) {
        if (transfer != NULL) {
            transfer_release(transfer);
        }
        return NULL;
    }
    transfer->id = given->id > 0 ? (long long)given->id : ++pool->last_id;
    append(&pool->running, transfer);
    pool->running_count++;
    return transfer;
}

/* start(method, url, headers, body, timeout, connect_timeout [, id]) -> id | nil, code, message.
 * The id names the transfer in `take` and `cancel`. */
int pool_start(lua_State *L) {
    struct pool *pool = check_pool(L);
    struct arguments given = {0};
    struct problem problem = {NULL, ""};
    struct transfer *transfer = NULL;
    read_arguments(L, &given);
    if (!pool->open) {
        set_problem(&problem, "ABORTED_BY_CALLBACK", "the client was closed");
    } else if (check_arguments(L, pool, &given, &problem)) {
        struct pipe_guard guard;
        guard_pipe(&guard);
        transfer = launch(L, pool, &given, &problem);
        unguard_pipe(&guard);
    }
    if (transfer == NULL) {
        lua_pushnil(L);
        lua_pushstring(L, problem.code);
        lua_pushstring(L, problem.message);
        return 3;
    }
    lua_pushinteger(L, (lua_Integer)transfer->id);
    return 1;
}
