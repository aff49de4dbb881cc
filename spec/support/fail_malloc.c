/* For tests only: preloaded, it makes the n-th allocation of the process fail, and with it all
 * later ones of one round. As a Lua module it is told n. Declares what it needs of Lua's API
 * itself. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

typedef struct lua_State lua_State;
typedef int (*lua_CFunction)(lua_State *L);
extern void lua_pushnumber(lua_State *L, double number);
extern double luaL_checknumber(lua_State *L, int index);
extern void lua_createtable(lua_State *L, int array, int hash);
extern void lua_pushcclosure(lua_State *L, lua_CFunction function, int upvalues);
extern void lua_setfield(lua_State *L, int index, const char *name);

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *former, size_t size);

static atomic_long left;    /* allocations until one fails; 0: none does */
static atomic_long failing; /* how many fail in a row */
static atomic_long failed;

static int fails(void) {
    if (atomic_load(&left) == 0) {
        return 0;
    }
    if (atomic_load(&left) > 1) {
        atomic_fetch_sub(&left, 1);
        return 0;
    }
    if (atomic_fetch_sub(&failing, 1) <= 0) {
        atomic_store(&left, 0);
        return 0;
    }
    atomic_fetch_add(&failed, 1);
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size) {
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *former, size_t size) {
    return fails() ? NULL : __libc_realloc(former, size);
}

/* arm(n, count): after n - 1 more allocations `count` fail. */
static int arm(lua_State *L) {
    long first = (long)luaL_checknumber(L, 1), count = (long)luaL_checknumber(L, 2);
    atomic_store(&failed, 0);
    atomic_store(&failing, count);
    atomic_store(&left, first);
    return 0;
}

/* disarm() -> how many failed */
static int disarm(lua_State *L) {
    atomic_store(&left, 0);
    lua_pushnumber(L, (double)atomic_load(&failed));
    return 1;
}

int luaopen_fail_malloc(lua_State *L);

int luaopen_fail_malloc(lua_State *L) {
    lua_createtable(L, 0, 2);
    lua_pushcclosure(L, arm, 0);
    lua_setfield(L, -2, "arm");
    lua_pushcclosure(L, disarm, 0);
    lua_setfield(L, -2, "disarm");
    return 1;
}
