/* heymarket.core: signing, and transfers that never block. */
#include "core.h"

struct core_counts core_counts;

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

EXPORTED int luaopen_heymarket_core(lua_State *L);

int luaopen_heymarket_core(lua_State *L) {
    static const luaL_Reg functions[] = {{"open_handles", open_handles}, {NULL, NULL}};
    compat_check_version(L, "heymarket.core");
    lua_newtable(L);
    compat_setfuncs(L, functions);
    core_open_signer(L);
    core_open_date(L);
    core_open_url(L);
    core_open_pool(L);
    return 1;
}
