/* heymarket.core: signing, and transfers that never block. */
#include "core.h"

atomic_int core_counts[COUNTS];

static int open_handles(lua_State *L) {
    static const char *const names[COUNTS] = {"signers", "pools", "transfers"};
    lua_createtable(L, 0, COUNTS);
    for (int i = 0; i < COUNTS; i++) {
        lua_pushinteger(L, atomic_load(&core_counts[i]));
        lua_setfield(L, -2, names[i]);
    }
    return 1;
}

EXPORTED int luaopen_heymarket_core(lua_State *L);

int luaopen_heymarket_core(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"check_url", core_check_url},
        {"inbox", core_inbox},
        {"open_handles", open_handles},
        {"parse_date", core_parse_date},
        {"pool", core_pool},
        {"signer", core_signer},
        {NULL, NULL},
    };
    compat_newmodule(L, "heymarket.core", functions);
    core_prepare_signer(L);
    core_prepare_pool(L);
    return 1;
}
