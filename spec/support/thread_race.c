/* For tests only: several Lua states, each in a thread of its own, share the core's thread. Built
 * with ThreadSanitizer by `make native-tsan`. Its argument is a URL that answers 200. */
#include <lauxlib.h>
#include <lualib.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define STATES 4

extern int luaopen_heymarket_core(lua_State *L);

static const char SCRIPT[] =
    "local core, wait, url, number = ...\n"
    "for round = 1, 12 do\n"
    "  local pool, inbox, got, count = core.pool(), core.inbox(), 0, 1 + (round + number) % 5\n"
    "  local early = round % 2 == 0 and inbox:descriptor()\n"
    "  for id = 1, count do\n"
    "    assert(pool:start('POST', url, {}, ('x'):rep(id * 1000), 20, 20, id, inbox))\n"
    "  end\n"
    "  while got < count do\n"
    "    wait(inbox:descriptor())\n"
    "    inbox:clear()\n"
    "    local result = inbox:take()\n"
    "    while result do\n"
    "      assert(result.status, result.code)\n"
    "      got = got + 1\n"
    "      result = inbox:take()\n"
    "    end\n"
    "  end\n"
    "  for id = 1, 3 do assert(pool:start('GET', url, {}, nil, 20, 20, id, inbox)) end\n"
    "  if round % 3 == 0 then inbox:close() end\n"
    "  if round % 3 == 1 then pool:close() end\n"
    "end\n";

static const char *url;

static int wait_readable(lua_State *L) {
    struct pollfd ear = {.fd = (int)luaL_checkinteger(L, 1), .events = POLLIN};
    poll(&ear, 1, 20000);
    return 0;
}

static void run_script(const char *script, int number) {
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    if (luaL_loadstring(L, script) == LUA_OK) {
        luaL_requiref(L, "heymarket.core", luaopen_heymarket_core, 0);
        lua_pushcfunction(L, wait_readable);
        lua_pushstring(L, url);
        lua_pushinteger(L, number);
    }
    if (lua_gettop(L) != 5 || lua_pcall(L, 4, 0, 0) != LUA_OK) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        exit(1);
    }
    lua_close(L);
}

static void *run(void *number) {
    run_script(SCRIPT, *(int *)number);
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[STATES];
    int numbers[STATES];
    url = argc == 2 ? argv[1] : "";
    /* Sets libcurl up: helgrind does not know pthread_once. */
    run_script("local core = ...; core.inbox():close()", 0);
    for (int i = 0; i < STATES; i++) {
        numbers[i] = i;
        pthread_create(&threads[i], NULL, run, &numbers[i]);
    }
    for (int i = 0; i < STATES; i++) {
        pthread_join(threads[i], NULL);
    }
    puts("done");
    return 0;
}
