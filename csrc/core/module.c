/* heymarket.core: what Lua alone cannot do. Signing, transfers that never block, and a few calls to
 * the system. */
#include "core.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

struct core_counts core_counts;

static pthread_once_t setup_once = PTHREAD_ONCE_INIT;
static const char *setup_problem;

void *core_library(void) {
    Dl_info self;
    if (dladdr((void *)&core_counts, &self) == 0 || self.dli_fname == NULL) {
        return NULL;
    }
    return dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

void core_pin(void) {
    /* The handle is not kept: with RTLD_NODELETE nothing is ever unmapped. */
    void *handle = core_library();
    if (handle != NULL) {
        dlclose(handle);
    }
}

static void setup(void) {
    core_pin();
    if (sodium_init() < 0) {
        setup_problem = "libsodium cannot start";
    } else if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        setup_problem = "libcurl cannot start";
    }
}

void core_setup(lua_State *L) {
    if (pthread_once(&setup_once, setup) != 0) {
        luaL_error(L, "libcurl and libsodium cannot be set up");
    }
    if (setup_problem != NULL) {
        luaL_error(L, "%s", setup_problem);
    }
}

void core_setfuncs(lua_State *L, const luaL_Reg *functions) {
    for (; functions->name != NULL; functions++) {
        lua_pushcclosure(L, functions->func, 0);
        lua_setfield(L, -2, functions->name);
    }
}

void core_newtype(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction release) {
    const luaL_Reg finalizers[] = {{"__gc", release}, {"__close", release}, {NULL, NULL}};
    if (luaL_newmetatable(L, name)) {
        lua_createtable(L, 0, 8);
        core_setfuncs(L, methods);
        lua_pushcclosure(L, release, 0);
        lua_setfield(L, -2, "close");
        lua_setfield(L, -2, "__index");
        core_setfuncs(L, finalizers);
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_settop(L, -2);
}

void *core_newobject(lua_State *L, const char *name, size_t size) {
    void *object = core_newuserdata(L, size);
    memset(object, 0, size);
    lua_getfield(L, LUA_REGISTRYINDEX, name);
    lua_setmetatable(L, -2);
    return object;
}

double core_checkwhole(lua_State *L, int index) {
    luaL_checktype(L, index, LUA_TNUMBER);
    double number = (double)lua_tonumber(L, index);
    luaL_argcheck(L,
                  number >= 0 && number < 9007199254740992.0 && number == (double)(long long)number,
                  index, "must be a whole number from 0 to 2^53 - 1");
    return number;
}

static int open_handles(lua_State *L) {
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, atomic_load(&core_counts.signers));
    lua_setfield(L, -2, "signers");
    lua_pushinteger(L, atomic_load(&core_counts.pools));
    lua_setfield(L, -2, "pools");
    lua_pushinteger(L, atomic_load(&core_counts.transfers));
    lua_setfield(L, -2, "transfers");
    return 1;
}

/* The two ways to read a global do not mix: Lua 5.1 has no function for it, later ones have no
 * pseudo-index. Which of them is running shows in whether the function is there. */
#if LUA_VERSION_NUM < 502
#undef lua_getglobal
extern void lua_getglobal(lua_State *L, const char *name) __attribute__((weak));
#endif

static void check_version(lua_State *L) {
    const char *running = "Lua 5.1";
    if (lua_getglobal != NULL) {
        lua_getglobal(L, "_VERSION");
        running = lua_tolstring(L, -1, NULL);
    }
    /* The name stays on the stack until here: it must live as long as the message is being made. */
    if (running == NULL || strcmp(running, LUA_VERSION) != 0) {
        luaL_error(
            L, "heymarket.core was built for %s but is loaded by %s: build it again for this Lua",
            LUA_VERSION, running != NULL ? running : "another Lua");
    }
}

__attribute__((visibility("default"))) int luaopen_heymarket_core(lua_State *L);

int luaopen_heymarket_core(lua_State *L) {
    static const luaL_Reg functions[] = {{"open_handles", open_handles}, {NULL, NULL}};
    check_version(L);
    lua_createtable(L, 0, 16);
    core_setfuncs(L, functions);
    core_open_signer(L);
    core_open_url(L);
    core_open_http(L);
    core_open_system(L);
    core_open_text(L);
    core_open_contact(L);
    core_open_json(L);
    return 1;
}
