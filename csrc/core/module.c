/* heymarket.core: signing, and transfers that never block. */
#include "core.h"

#include <pthread.h>

struct core_counts core_counts;

static pthread_once_t setup_once = PTHREAD_ONCE_INIT;
static const char *setup_problem;

static void setup(void) {
    compat_pin();
    if (sodium_init() < 0) {
        setup_problem = "libsodium cannot start";
    } else if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        setup_problem = "libcurl cannot start";
    }
}

void core_setup(lua_State *L) {
    if (pthread_once(&setup_once, setup) != 0) {
        luaL_error(L, "libcurl and libsodium cannot be set up");
    }
    if (setup_problem != NULL) {
        luaL_error(L, "%s", setup_problem);
    }
}

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
    core_open_url(L);
    core_open_http(L);
    return 1;
}
