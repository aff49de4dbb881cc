/* pool:start: the arguments are checked and copied, and a transfer begins. */
#include "pool.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    METHOD = 2,
    URL,
    HEADERS,
    BODY,
    TIMEOUT,
    CONNECT_TIMEOUT,
    ID,
    INBOX
}; /* indexes of arguments */

static long check_milliseconds(lua_State *L, int index) {
    double seconds = (double)luaL_checknumber(L, index);
    luaL_argcheck(L, seconds > 0, index, "must be a positive number of seconds");
    return milliseconds_of(seconds);
}

/* Reads the arguments into a request whose texts are Lua's, on its stack. A number among the
 * strings is converted here, which allocates: a finalizer may run. What must not change any more is
 * looked at only after this. */
static void read_arguments(lua_State *L, struct request *given, double *id) {
    given->method = luaL_checkstring(L, METHOD);
    given->url = luaL_checkstring(L, URL);
    luaL_checktype(L, HEADERS, LUA_TTABLE);
    given->body = luaL_optlstring(L, BODY, NULL, &given->body_length);
    given->timeout = (double)check_milliseconds(L, TIMEOUT) / 1000;
    given->connect_timeout = check_milliseconds(L, CONNECT_TIMEOUT);
    *id = lua_isnoneornil(L, ID) ? 0 : compat_checkwhole(L, ID);
}

static bool check_headers(lua_State *L, struct problem *problem) {
    bool ok = true;
    int count = (int)compat_rawlen(L, HEADERS);
    for (int i = 1; ok && i <= count; i++) {
        size_t length;
        lua_rawgeti(L, HEADERS, i);
        luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, HEADERS, "headers must be strings");
        const char *header = lua_tolstring(L, -1, &length);
        ok = check_header(header, length, i, problem);
        lua_pop(L, 1);
    }
    return ok;
}

/* Allocates nothing in Lua, except for an error. */
static bool check_arguments(lua_State *L, const struct pool *pool, struct request *given,
                            struct problem *problem) {
    struct url_facts facts;
    size_t url_length = compat_rawlen(L, URL);
    if (!check_headers(L, problem) ||
        !check_method(given->method, compat_rawlen(L, METHOD), problem)) {
        return false;
    } else if (!is_one_line(given->url, url_length)) {
        return fail(problem, "BAD_FUNCTION_ARGUMENT", "url_with_odd_characters");
    } else if (!check_url(given->url, url_length, URL_REQUEST, &facts, problem)) {
        return false;
    } else if (!facts.secure && pool->settings->proxy != NULL && !pool->settings->proxy_is_local) {
        return fail(problem, "UNSUPPORTED_PROTOCOL", "proxy_leaves_machine");
    }
    given->secure = facts.secure;
    return true;
}

static bool add_header(struct request *request, const char *header) {
    struct curl_slist *longer = curl_slist_append(request->headers, header);
    if (longer != NULL) {
        request->headers = longer;
    }
    return longer != NULL;
}

/* The headers that the caller gave, and what keeps libcurl from adding its own. */
static bool copy_headers(lua_State *L, struct request *request) {
    bool ok = add_header(request, "Expect:"); /* waiting for "100 Continue" can stall */
    bool typed = false;
    int count = (int)compat_rawlen(L, HEADERS);
    for (int i = 1; ok && i <= count; i++) {
        lua_rawgeti(L, HEADERS, i);
        const char *header = lua_tostring(L, -1);
        typed = typed || strncasecmp(header, "Content-Type:", sizeof "Content-Type:" - 1) == 0;
        ok = add_header(request, header);
        lua_pop(L, 1);
    }
    return ok && (request->body == NULL || typed || add_header(request, "Content-Type:"));
}

/* Method and URL were checked: they hold no NUL bytes. */
static bool copy_request(lua_State *L, struct request *request, const struct request *given) {
    char *body = given->body != NULL ? malloc(given->body_length + 1) : NULL;
    *request = *given;
    request->method = strdup(given->method);
    request->url = strdup(given->url);
    request->body = body;
    if (body != NULL) {
        memcpy(body, given->body, given->body_length);
    }
    return request->method != NULL && request->url != NULL &&
           (given->body == NULL || body != NULL) && copy_headers(L, request);
}

/* The transfer goes to the thread where its result is for an inbox, else it begins here. */
static bool begin(struct pool *pool, struct transfer *transfer, struct problem *problem) {
    if (transfer->inbox != NULL) {
        thread_start(pool->thread, transfer);
        return true;
    }
    if (start_transfer(transfer, problem)) {
        list_append(&pool->running, transfer);
        return true;
    }
    transfer_release(transfer);
    return false;
}

/* Raises no Lua error and allocates nothing in Lua. So nothing that it acquires can be lost, and no
 * finalizer can close the pool meanwhile. */
static bool launch(lua_State *L, struct pool *pool, const struct request *given, long long id,
                   struct inbox *inbox, struct problem *problem) {
    bool ready = inbox != NULL ? use_thread(pool, problem) : open_multi(pool, problem);
    struct transfer *transfer = ready ? new_transfer(pool, pool->settings) : NULL;
    if (transfer == NULL || !copy_request(L, &transfer->request, given)) {
        if (transfer != NULL) {
            transfer_release(transfer);
        }
        return fail(problem, "OUT_OF_MEMORY",
                    problem->code != NULL ? problem->code : "out_of_memory");
    }
    transfer->id = id;
    transfer->response.head_request = strcmp(given->method, "HEAD") == 0;
    if (inbox != NULL) {
        inbox_expect(inbox, transfer);
    }
    return begin(pool, transfer, problem);
}

/* start(method, url, headers, body, timeout, connect_timeout [, id [, inbox]]) -> id. The id names
 * the transfer in `take` and `cancel`. With an inbox the thread runs the transfer, and its result
 * goes there; so does the news that it could not begin. Or nil, libcurl's name of the error, text,
 * code: the text is a value for the words of the code; where there is no code, it is libcurl's own.
 */
int pool_start(lua_State *L) {
    struct pool *pool = check_pool(L);
    struct request given = {0};
    struct problem problem = {0};
    double number;
    bool started = false;
    read_arguments(L, &given, &number);
    struct inbox *inbox = check_inbox(L, INBOX);
    long long id = number > 0 ? (long long)number : pool->last_id + 1;
    if (!pool->open) {
        fail(&problem, "ABORTED_BY_CALLBACK", "client_closed");
    } else if (check_arguments(L, pool, &given, &problem)) {
        struct sigpipe guard = {.guarded = false};
        if (inbox == NULL) {
            sigpipe_block(&guard); /* in the thread every signal is blocked */
        }
        started = launch(L, pool, &given, id, inbox, &problem);
        sigpipe_restore(&guard);
    }
    if (started) {
        pool->last_id = number > 0 ? pool->last_id : id;
        lua_pushinteger(L, (lua_Integer)id);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, problem.curl);
    lua_pushstring(L, problem.detail[0] != '\0' ? problem.detail : NULL);
    lua_pushstring(L, problem.code);
    return 4;
}
