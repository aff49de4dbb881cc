/* heymarket.phonenumber: phone numbers by region. The library is C++, and is called in reader.cpp
 * only. heymarket.rows finds the reader in Lua's registry. */
#include "../lua_compat.h"
#include "phonenumber.h"

EXPORTED int luaopen_heymarket_phonenumber(lua_State *L);

enum { MAX_REGIONS = 600 };

/* regions() -> array of the regions, two letters each, in order; nil where the library failed */
static int regions(lua_State *L) {
    char letters[2 * MAX_REGIONS];
    size_t length = phonenumber_regions(letters, sizeof letters);
    if (length == 0) {
        return 0;
    }
    lua_createtable(L, (int)(length / 2), 0);
    for (size_t i = 0; i < length / 2; i++) {
        lua_pushlstring(L, letters + 2 * i, 2);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

int luaopen_heymarket_phonenumber(lua_State *L) {
    static const luaL_Reg functions[] = {{"regions", regions}, {NULL, NULL}};
    compat_newmodule(L, "heymarket.phonenumber", functions);
    /* What the library has made lives as long as the process. */
    compat_pin();
    struct phone_region *region = compat_newuserdata(L, sizeof *region);
    region->version = PHONE_REGION_VERSION;
    region->read = phonenumber_read;
    lua_setfield(L, LUA_REGISTRYINDEX, PHONE_REGION_KEY);
    return 1;
}
