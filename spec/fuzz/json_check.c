/* libFuzzer: the check of JSON texts from servers.
 *
 * It never raises an error; what it gives in place of a text is JSON again, with as many values and
 * levels; and a text that is JSON is none with one byte more, or without its last bracket. */
#include "../../csrc/rows/rows.h"
#include "demand.h"

#include <lualib.h>
#include <stdint.h>
#include <string.h>

#define MAX_VALUES 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static lua_State *state(void) {
    static lua_State *L;
    if (L == NULL) {
        L = luaL_newstate();
        demand(L != NULL, "there is memory");
        rows_prepare_json_check(L);
        lua_newtable(L);
        lua_pushcfunction(L, rows_json_check);
        lua_setfield(L, 1, "json_check");
    }
    return L;
}

/* Leaves three results on the stack. */
static bool is_json(lua_State *L, const void *text, size_t size) {
    lua_getfield(L, 1, "json_check");
    lua_pushlstring(L, text, size);
    lua_pushinteger(L, MAX_VALUES);
    demand(lua_pcall(L, 2, 3, 0) == 0, "no text raises an error");
    demand(lua_isstring(L, -3) || lua_isstring(L, -2), "a refusal has a reason");
    return lua_isstring(L, -3);
}

static void check_more(lua_State *L, const uint8_t *data, size_t size) {
    static const char more[] = {'\0', ']', '}', 'x', '"', ','};
    uint8_t *longer = malloc(size + 1);
    demand(longer != NULL, "there is memory");
    memcpy(longer, data, size);
    for (size_t i = 0; i < sizeof more; i++) {
        longer[size] = (uint8_t)more[i];
        demand(!is_json(L, longer, size + 1), "nothing follows a text");
    }
    free(longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lua_State *L = state();
    if (is_json(L, data, size)) {
        size_t length;
        const char *marked = lua_tolstring(L, -3, &length);
        lua_Number depth = lua_tonumber(L, -2), values = lua_tonumber(L, -1);
        demand(memchr(data, 0, size) == NULL, "no text holds a zero byte");
        demand(is_json(L, marked, length) || values * 2 > MAX_VALUES, "a marked text is JSON");
        if (lua_isstring(L, -3)) {
            demand(lua_tonumber(L, -2) == depth, "a marked text is as deep");
            demand(lua_tonumber(L, -1) >= values, "a marked text has no values less");
        }
        check_more(L, data, size);
        while (size > 0 && strchr(" \t\r\n", data[size - 1]) != NULL) {
            size--;
        }
        if (strchr("]}\"", data[size - 1]) != NULL) {
            demand(!is_json(L, data, size - 1), "a text that is cut is none");
        }
    }
    lua_settop(L, 1);
    return 0;
}
