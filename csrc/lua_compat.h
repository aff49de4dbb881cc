/* One Lua API for five Luas, and what every shared object needs of it. Compiled into each of them.
 */
#ifndef HEYMARKET_LUA_COMPAT_H
#define HEYMARKET_LUA_COMPAT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#if LUA_VERSION_NUM < 501 || LUA_VERSION_NUM > 504
#error "heymarket is for Lua 5.1, 5.2, 5.3, 5.4 and LuaJIT"
#endif

#define HIDDEN __attribute__((visibility("hidden")))
#define EXPORTED __attribute__((visibility("default")))

/* Functions that not every Lua has are weak. A build for another Lua can then be loaded, and
 * compat_newmodule says what is wrong. Otherwise the dynamic linker would only name a symbol.
 */
#if LUA_VERSION_NUM >= 504
#pragma weak lua_newuserdatauv
#define compat_newuserdata(L, size) lua_newuserdatauv((L), (size), 0)
#else
#pragma weak lua_newuserdata
#define compat_newuserdata(L, size) lua_newuserdata((L), (size))
#endif
#if LUA_VERSION_NUM >= 502
#pragma weak lua_getglobal
#pragma weak lua_rawlen
#pragma weak lua_tonumberx
#pragma weak lua_tointegerx
#define compat_rawlen(L, index) lua_rawlen((L), (index))
#else
#pragma weak lua_objlen
#pragma weak lua_tonumber
#define compat_rawlen(L, index) lua_objlen((L), (index))
#endif

#if LUA_VERSION_NUM >= 503
#pragma weak lua_isinteger
#pragma weak lua_rotate
#pragma weak lua_copy
#else
#pragma weak lua_insert
#pragma weak lua_replace
#endif

/* Pushes the table of this module, with these functions. Raises an error where this shared object
 * was built for another Lua than the one that runs. */
HIDDEN void compat_newmodule(lua_State *L, const char *name, const luaL_Reg *functions);

/* Sets the functions in the table on top of the stack. */
HIDDEN void compat_setfuncs(lua_State *L, const luaL_Reg *functions);

/* Makes the metatable of a userdata type: methods by name, if there are any; `release` is close,
 * __gc and __close. */
HIDDEN void compat_newtype(lua_State *L, const char *name, const luaL_Reg *methods,
                           lua_CFunction release);

/* A new userdata of that type. It is zeroed, and zero owns nothing. */
HIDDEN void *compat_newobject(lua_State *L, const char *name, size_t size);

/* A whole number from 0 to 2^53 - 1 at this index, else an argument error. */
HIDDEN double compat_checkwhole(lua_State *L, int index);

/* What one of the system's clocks says. */
HIDDEN double compat_seconds(clockid_t clock);

/* Keeps this shared object mapped until the process ends: resolver threads and signal handlers may
 * outlive the Lua state that loaded it. Gives a handle in which dlsym finds what the libraries
 * below it offer; NULL where the system gives none. */
HIDDEN void *compat_pin(void);

#endif
