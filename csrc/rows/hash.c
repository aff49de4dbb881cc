/* Short fingerprints of text, and codes that prove who wrote it. */
#include "rows.h"

#include <sodium.h>

void rows_setup_sodium(lua_State *L) {
    if (sodium_init() < 0) {
        luaL_error(L, "libsodium cannot start");
    }
}

/* hash(text) -> 32 hexadecimal digits: BLAKE2b of 16 bytes */
int rows_hash(lua_State *L) {
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

/* hmac_sha256(key, text) -> 32 bytes: HMAC-SHA256 (RFC 2104) with a key of any length */
int rows_hmac_sha256(lua_State *L) {
    size_t key_length, length;
    const char *key = luaL_checklstring(L, 1, &key_length);
    const char *text = luaL_checklstring(L, 2, &length);
    unsigned char code[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state; /* crypto_auth_hmacsha256 takes keys of 32 bytes only */
    rows_setup_sodium(L);
    crypto_auth_hmacsha256_init(&state, (const unsigned char *)key, key_length);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)text, length);
    crypto_auth_hmacsha256_final(&state, code);
    sodium_memzero(&state, sizeof state);
    lua_pushlstring(L, (const char *)code, sizeof code);
    return 1;
}
