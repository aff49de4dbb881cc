/* What the parts of heymarket.core share: the oldest supported libraries, one API for five Luas,
 * one-time setup. */
#ifndef HEYMARKET_CORE_H
#define HEYMARKET_CORE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <curl/curl.h>
#include <lauxlib.h>
#include <lua.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#if LIBCURL_VERSION_NUM < 0x075500
#error "heymarket needs libcurl 7.85 or later: install its newer development package"
#endif
#if LUA_VERSION_NUM < 501 || LUA_VERSION_NUM > 504
#error "heymarket is for Lua 5.1, 5.2, 5.3, 5.4 and LuaJIT"
#endif

#define HIDDEN __attribute__((visibility("hidden")))

/* Functions that not every Lua has are weak, so that a build for another Lua still loads and
 * luaopen can say in a plain sentence what is wrong, where the linker would only name a symbol. */
#if LUA_VERSION_NUM >= 504
#pragma weak lua_newuserdatauv
#define core_newuserdata(L, size) lua_newuserdatauv((L), (size), 0)
#else
#pragma weak lua_newuserdata
#define core_newuserdata(L, size) lua_newuserdata((L), (size))
#endif
#if LUA_VERSION_NUM >= 502
#pragma weak lua_getglobal
#pragma weak lua_rawlen
#pragma weak lua_tonumberx
#pragma weak lua_tointegerx
#define core_rawlen(L, index) lua_rawlen((L), (index))
#else
#pragma weak lua_objlen
#pragma weak lua_tonumber
#define core_rawlen(L, index) lua_objlen((L), (index))
#endif

#if LUA_VERSION_NUM >= 503
#pragma weak lua_isinteger
#pragma weak lua_rotate
#pragma weak lua_copy
#else
#pragma weak lua_insert
#pragma weak lua_replace
#endif

/* Live objects of this process. */
struct core_counts {
    atomic_int signers;
    atomic_int pools;
    atomic_int transfers;
};
extern HIDDEN struct core_counts core_counts;

/* Sets up libcurl and libsodium once per process; raises a Lua error where that fails. */
HIDDEN void core_setup(lua_State *L);

/* Keeps this library mapped until the process ends. Resolver threads and signal handlers may
 * outlive the Lua state that loaded it. */
HIDDEN void core_pin(void);

/* A handle of this library, through which dlsym finds what the libraries below it offer. */
HIDDEN void *core_library(void);

/* Sets the functions in the table on top of the stack. */
HIDDEN void core_setfuncs(lua_State *L, const luaL_Reg *functions);

/* Makes the metatable of a userdata type: methods by name, `release` for close, __gc and __close.
 */
HIDDEN void core_newtype(lua_State *L, const char *name, const luaL_Reg *methods,
                         lua_CFunction release);

/* A new userdata of that type, zeroed; zero owns nothing. */
HIDDEN void *core_newobject(lua_State *L, const char *name, size_t size);

/* A whole number from 0 to 2^53 - 1 at this index, else an argument error. */
HIDDEN double core_checkwhole(lua_State *L, int index);

/* Length of the well-formed UTF-8 sequence that begins with a byte of 0x80 or more (RFC 3629,
 * section 4), 0 where there is none. */
HIDDEN size_t core_utf8_length(const unsigned char *s, size_t left);

/* Arrays and objects in each other. */
enum { CORE_JSON_DEPTH = 100 };

/* What a string holds; lua/heymarket/contact/init.lua knows the numbers. */
enum { CORE_HAS_CONTROL = 1, CORE_HAS_SPACE = 2, CORE_HAS_DELIMITER = 4 };

/* Writes a string as JSON; `out` has room for 6 * length + 2 bytes. Gives the number of bytes, or 0
 * where the string is not UTF-8 from the byte `invalid` on (the first is 1). */
HIDDEN size_t core_write_string(char *out, const char *text, size_t length, int *holds,
                                size_t *invalid);

/* Each adds its functions to the module's table on top of the stack. */
HIDDEN void core_open_signer(lua_State *L);
HIDDEN void core_open_url(lua_State *L);
HIDDEN void core_open_http(lua_State *L);
HIDDEN void core_open_system(lua_State *L);
HIDDEN void core_open_text(lua_State *L);
HIDDEN void core_open_contact(lua_State *L);
HIDDEN void core_open_json(lua_State *L);

#endif
