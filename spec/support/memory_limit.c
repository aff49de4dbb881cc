/* A limited allocator for the running Lua, until the limit is lifted. */
#include <lauxlib.h>
#include <lua.h>
#include <stddef.h>

static lua_Alloc original;
static void *original_data;
static long long left;  /* allocations that still succeed; -1: no matter how many */
static long long bytes; /* that may still be asked for; -1: no matter how many */
static int times;       /* allocations that fail once none is left; -1: all that follow */
static int reached;     /* has one failed? */

static int is_refused(long long more) {
    if (bytes >= 0 && more > bytes) {
        return 1;
    }
    if (left > 0) {
        left--;
        return 0;
    }
    if (left == 0 && times != 0) {
        times -= times > 0;
        return 1;
    }
    return 0;
}

static void *limited(void *data, void *block, size_t old_size, size_t new_size) {
    (void)data;
    /* Without a block, the old size tells what kind of object is made. */
    long long more = (long long)new_size - (block != NULL ? (long long)old_size : 0);
    /* Lua relies on it that a block can be made smaller. */
    if (more > 0 && is_refused(more)) {
        reached = 1;
        return NULL;
    }
    if (bytes >= 0) {
        bytes -= more;
    }
    return original(original_data, block, old_size, new_size);
}

/* limit(allocations, times, bytes): after so many allocations so many fail (-1: all); more bytes
 * than that are not given. limit(): nothing fails. Returns whether one has failed since the last
 * limit. */
static int limit(lua_State *L) {
    long long new_left = (long long)luaL_optnumber(L, 1, -1);
    int new_times = (int)luaL_optnumber(L, 2, -1);
    long long new_bytes = (long long)luaL_optnumber(L, 3, -1);
    if (original != NULL) {
        lua_setallocf(L, original, original_data); /* this library may be unloaded */
        original = NULL;
    }
    lua_pushboolean(L, reached);
    reached = 0;
    left = new_left;
    times = new_times;
    bytes = new_bytes;
    if (left >= 0 || bytes >= 0) {
        original = lua_getallocf(L, &original_data);
        lua_setallocf(L, limited, NULL);
    }
    return 1;
}

int luaopen_limit(lua_State *L);

int luaopen_limit(lua_State *L) {
    lua_pushcclosure(L, limit, 0);
    return 1;
}
