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
    static const luaL_Reg functions[] = {
        {"check_url", core_check_url},   {"open_handles", open_handles},
        {"parse_date", core_parse_date}, {"pool", core_pool},
        {"signer", core_signer},         {NULL, NULL},
    };
    compat_newmodule(L, "heymarket.core", functions);
    core_prepare_signer(L);
    core_prepare_pool(L);
    return 1;
}
