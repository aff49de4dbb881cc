/* Signs JSON Web Tokens with HS256. The key lives in guarded memory that is read-only after setup.
 *
 * Only the time differs from token to token. So the state of the HMAC after the constant start is
 * kept: a token costs 0.38 of one with a one-shot HMAC that way, and 0.8 without (bench/signing).
 */
#include "core.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define TYPE "heymarket.signer"

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define SIGNATURE_BYTES crypto_auth_hmacsha256_BYTES
#define SIGNATURE_TEXT 43 /* base64url of 32 bytes, unpadded */
#define TAIL_BYTES 20     /* two bytes left over, 16 digits, a brace, the end of the string */
#define TAIL_TEXT 26      /* base64url of 19 bytes */

struct key {
    crypto_auth_hmacsha256_state state; /* has taken the key and the prefix */
    size_t prefix_length;
    size_t rest_length; /* bytes of the payload's constant part that fill no group of three */
    unsigned char rest[2];
    char prefix[]; /* the constant start as text: header, dot, start of the payload */
};

struct signer {
    struct key *key; /* NULL: closed */
};

/* base64url without padding. Returns the number of characters written. */
static size_t encode(char *text, const void *data, size_t length) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const unsigned char *bytes = data;
    char *end = text;
    for (size_t bit = 0; bit < length * 8; bit += 6) {
        unsigned next = bit / 8 + 1 < length ? bytes[bit / 8 + 1] : 0;
        *end++ = digits[((unsigned)bytes[bit / 8] << 8 | next) >> (10 - bit % 8) & 63];
    }
    return (size_t)(end - text);
}

/* Pushes the constant start of the payload. */
static const char *push_payload(lua_State *L, const char *id, size_t id_length, size_t *length) {
    luaL_Buffer buffer;
    char escaped[sizeof "\\u0000"];
    luaL_buffinit(L, &buffer);
    luaL_addstring(&buffer, "{\"iss\":\"");
    for (size_t i = 0; i < id_length; i++) {
        bool is_special = (unsigned char)id[i] < 0x20 || id[i] == '"' || id[i] == '\\';
        snprintf(escaped, sizeof escaped, is_special ? "\\u%04x" : "%c", id[i]);
        luaL_addstring(&buffer, escaped);
    }
    luaL_addstring(&buffer, "\",\"iat\":");
    luaL_pushresult(&buffer);
    return lua_tolstring(L, -1, length);
}

/* The key of the HMAC is id||secret. */
static bool absorb_key(struct key *key, const char *id, size_t id_length, const char *secret,
                       size_t secret_length) {
    size_t length = id_length + 2 + secret_length;
    unsigned char *joined = sodium_malloc(length);
    if (joined == NULL) {
        return false;
    }
    memcpy(joined, id, id_length);
    memcpy(joined + id_length, "||", 2);
    memcpy(joined + id_length + 2, secret, secret_length);
    crypto_auth_hmacsha256_init(&key->state, joined, length);
    sodium_free(joined);
    return true;
}

/* Whole groups of three bytes become text once and for all; the others wait for the time. */
static void write_prefix(struct key *key, const char *payload, size_t length) {
    key->rest_length = length % 3;
    memcpy(key->rest, payload + length - key->rest_length, key->rest_length);
    key->prefix_length = encode(key->prefix, HEADER, sizeof HEADER - 1);
    key->prefix[key->prefix_length++] = '.';
    key->prefix_length +=
        encode(key->prefix + key->prefix_length, payload, length - key->rest_length);
    crypto_auth_hmacsha256_update(&key->state, (const unsigned char *)key->prefix,
                                  key->prefix_length);
}

/* A key that has not yet taken the secret; NULL where there is no memory. */
static struct key *new_key(size_t payload_length) {
    /* sodium_malloc puts the end of a block at the end of a page: only a rounded size keeps its
     * start aligned. */
    size_t size = sizeof(struct key) + sizeof HEADER * 2 + payload_length / 3 * 4;
    size = (size + 63) / 64 * 64;
    struct key *key = sodium_malloc(size);
    return key != NULL ? memset(key, 0, size) : NULL;
}

/* signer(id, secret) */
int core_signer(lua_State *L) {
    size_t id_length, secret_length, payload_length;
    const char *id = luaL_checklstring(L, 1, &id_length);
    const char *secret = luaL_checklstring(L, 2, &secret_length);
    luaL_argcheck(L, id_length > 0, 1, "the secret id is empty");
    luaL_argcheck(L, secret_length > 0, 2, "the secret key is empty");
    luaL_argcheck(L, id_length <= SIZE_MAX / 32, 1, "the secret id is too long");
    luaL_argcheck(L, secret_length <= SIZE_MAX / 32, 2, "the secret key is too long");
    core_setup(L);
    const char *payload = push_payload(L, id, id_length, &payload_length);
    struct signer *signer = compat_newobject(L, TYPE, sizeof *signer);
    struct key *key = new_key(payload_length);
    if (key == NULL || !absorb_key(key, id, id_length, secret, secret_length)) {
        sodium_free(key);
        return luaL_error(L, "not enough memory for a key");
    }
    write_prefix(key, payload, payload_length);
    sodium_mprotect_readonly(key);
    signer->key = key;
    atomic_fetch_add(&core_counts[SIGNERS], 1);
    return 1;
}

static int signer_release(lua_State *L) {
    struct signer *signer = luaL_checkudata(L, 1, TYPE);
    struct key *key = signer->key;
    if (key != NULL) {
        signer->key = NULL;
        sodium_free(key); /* wipes it first */
        atomic_fetch_sub(&core_counts[SIGNERS], 1);
    }
    return 0;
}

static const struct key *check_key(lua_State *L) {
    struct signer *signer = luaL_checkudata(L, 1, TYPE);
    if (signer->key == NULL) {
        luaL_error(L, "this client is closed");
    }
    return signer->key;
}

/* Writes the whole token, and gives its length. */
static size_t write_token(char *token, const struct key *key, double seconds) {
    unsigned char tail[TAIL_BYTES], signature[SIGNATURE_BYTES];
    memcpy(tail, key->rest, key->rest_length);
    size_t tail_length = key->rest_length + (size_t)snprintf((char *)tail + key->rest_length,
                                                             sizeof tail - key->rest_length,
                                                             "%llu}", (unsigned long long)seconds);
    memcpy(token, key->prefix, key->prefix_length);
    size_t length = key->prefix_length + encode(token + key->prefix_length, tail, tail_length);
    crypto_auth_hmacsha256_state state = key->state;
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)token + key->prefix_length,
                                  length - key->prefix_length);
    crypto_auth_hmacsha256_final(&state, signature);
    sodium_memzero(&state, sizeof state);
    token[length++] = '.';
    return length + encode(token + length, signature, sizeof signature);
}

/* sign(time) -> the token; the time is in whole seconds since 1970 */
static int signer_sign(lua_State *L) {
    char stack_buffer[512];
    char *token = stack_buffer;
    double seconds = compat_checkwhole(L, 2);
    const struct key *key = check_key(L);
    size_t max_length = key->prefix_length + TAIL_TEXT + 1 + SIGNATURE_TEXT;
    if (max_length > sizeof stack_buffer) {
        token = compat_newuserdata(L, max_length);
        key = check_key(L); /* a finalizer may have closed it just now */
    }
    lua_pushlstring(L, token, write_token(token, key, seconds));
    return 1;
}

void core_prepare_signer(lua_State *L) {
    static const luaL_Reg methods[] = {{"sign", signer_sign}, {NULL, NULL}};
    compat_newtype(L, TYPE, methods, signer_release);
}
