/* See lua_compat.h. */
#include "lua_compat.h"

#include <dlfcn.h>
#include <string.h>

/* Lua 5.1 has no function that reads a global, and later versions have no pseudo-index for it. So
 * the presence of the function tells which of them is running. */
#if LUA_VERSION_NUM < 502
#undef lua_getglobal
extern void lua_getglobal(lua_State *L, const char *name) __attribute__((weak));
#endif

static void check_version(lua_State *L, const char *module) {
    const char *running = "Lua 5.1";
    if (lua_getglobal != NULL) {
        lua_getglobal(L, "_VERSION");
        running = lua_tostring(L, -1);
    }
    /* The name stays on the stack until here: it must live while the message is made. */
    if (running == NULL || strcmp(running, LUA_VERSION) != 0) {
        luaL_error(L, "%s was built for %s but is loaded by %s: build it again for this Lua",
                   module, LUA_VERSION, running != NULL ? running : "another Lua");
    }
}

void compat_newmodule(lua_State *L, const char *name, const luaL_Reg *functions) {
    check_version(L, name);
    lua_newtable(L);
    compat_setfuncs(L, functions);
}

void compat_setfuncs(lua_State *L, const luaL_Reg *functions) {
    for (; functions != NULL && functions->name != NULL; functions++) {
        lua_pushcfunction(L, functions->func);
        lua_setfield(L, -2, functions->name);
    }
}

void compat_newtype(lua_State *L, const char *name, const luaL_Reg *methods,
                    lua_CFunction release) {
    const luaL_Reg finalizers[] = {{"__gc", release}, {"__close", release}, {NULL, NULL}};
    if (luaL_newmetatable(L, name)) {
        lua_createtable(L, 0, 8);
        compat_setfuncs(L, methods);
        lua_pushcfunction(L, release);
        lua_setfield(L, -2, "close");
        lua_setfield(L, -2, "__index");
        compat_setfuncs(L, finalizers);
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
}

void *compat_newobject(lua_State *L, const char *name, size_t size) {
    void *object = compat_newuserdata(L, size);
    memset(object, 0, size);
    luaL_getmetatable(L, name);
    lua_setmetatable(L, -2);
    return object;
}

double compat_checkwhole(lua_State *L, int index) {
    luaL_checktype(L, index, LUA_TNUMBER);
    double number = (double)lua_tonumber(L, index);
    luaL_argcheck(L,
                  number >= 0 && number < 9007199254740992.0 && number == (double)(long long)number,
                  index, "must be a whole number from 0 to 2^53 - 1");
    return number;
}

double compat_seconds(clockid_t clock) {
    struct timespec now = {0, 0};
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void *compat_pin(void) {
    Dl_info self;
    if (dladdr((void *)compat_pin, &self) == 0 || self.dli_fname == NULL) {
        return NULL;
    }
    return dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}
