/* Short fingerprints of text. */
#include "rows.h"

#include <sodium.h>

void rows_setup_sodium(lua_State *L) {
    if (sodium_init() < 0) {
        luaL_error(L, "libsodium cannot start");
    }
}

/* hash(text) -> 32 hexadecimal digits: BLAKE2b of 16 bytes */
static int hash(lua_State *L) {
    size_t length;
    const char *text = luaL_checklstring(L, 1, &length);
    unsigned char digest[16];
    char hex[2 * sizeof digest + 1];
    rows_setup_sodium(L);
    crypto_generichash(digest, sizeof digest, (const unsigned char *)text, length, NULL, 0);
    sodium_bin2hex(hex, sizeof hex, digest, sizeof digest);
    lua_pushlstring(L, hex, 2 * sizeof digest);
    return 1;
}

void rows_open_hash(lua_State *L) {
    static const luaL_Reg functions[] = {{"hash", hash}, {NULL, NULL}};
    compat_setfuncs(L, functions);
}
