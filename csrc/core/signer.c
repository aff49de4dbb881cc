/* Signs JSON Web Tokens with HS256. The key lives in guarded memory that is read-only
 * after setup. */
#include "core.h"

#include <stdint.h>
#include <string.h>

#define TYPE "heymarket.signer"

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define SIGNATURE_BYTES crypto_auth_hmacsha256_BYTES
#define SIGNATURE_TEXT 43 /* base64url of 32 bytes, unpadded */
#define TAIL_BYTES 19     /* two bytes left over, 16 digits, a brace */
#define TAIL_TEXT 26      /* their base64url */

struct key {
    crypto_auth_hmacsha256_state initial;  /* has taken the key */
    crypto_auth_hmacsha256_state prefixed; /* has also taken the constant start of every token */
    size_t prefix_length;
    size_t rest_length;    /* bytes of the payload's constant part that fill no group of three */
    unsigned char rest[3]; /* one more than can be left over: a group is filled here */
    char prefix[];         /* the constant start as text: header, dot, start of the payload */
};

struct signer {
    struct key *key; /* NULL: closed */
};

/* base64url without padding. Returns the number of characters written. */
static size_t encode(char *text, const unsigned char *bytes, size_t length) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char *end = text;
    for (; length >= 3; length -= 3, bytes += 3) {
        uint32_t group = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2];
        *end++ = digits[group >> 18];
        *end++ = digits[group >> 12 & 63];
        *end++ = digits[group >> 6 & 63];
        *end++ = digits[group & 63];
    }
    if (length > 0) {
        uint32_t group = (uint32_t)bytes[0] << 16 | (length == 2 ? (uint32_t)bytes[1] << 8 : 0);
        *end++ = digits[group >> 18];
        *end++ = digits[group >> 12 & 63];
        if (length == 2) {
            *end++ = digits[group >> 6 & 63];
        }
    }
    return (size_t)(end - text);
}

/* Adds to the payload's constant part; whole groups of three go to the prefix at once. */
static void add(struct key *key, const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        key->rest[key->rest_length++] = (unsigned char)bytes[i];
        if (key->rest_length == 3) {
            key->prefix_length += encode(key->prefix + key->prefix_length, key->rest, 3);
            key->rest_length = 0;
        }
    }
}

/* One byte of the id as it stands in a JSON string. Returns its length. */
static size_t escape(char escaped[6], char byte) {
    static const char hex[] = "0123456789abcdef";
    if (byte == '"' || byte == '\\') {
        escaped[0] = '\\';
        escaped[1] = byte;
        return 2;
    }
    if ((unsigned char)byte < 0x20) {
        memcpy(escaped, "\\u00", 4);
        escaped[4] = hex[(unsigned char)byte >> 4];
        escaped[5] = hex[byte & 15];
        return 6;
    }
    escaped[0] = byte;
    return 1;
}

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
    crypto_auth_hmacsha256_init(&key->initial, joined, length);
    sodium_free(joined);
    return true;
}

static struct key *make_key(const char *id, size_t id_length, const char *secret,
                            size_t secret_length) {
    char escaped[6];
    size_t payload = sizeof "{\"iss\":\"\",\"iat\":";
    for (size_t i = 0; i < id_length; i++) {
        payload += escape(escaped, id[i]);
    }
    /* sodium_malloc puts the end of a block at the end of a page: only a rounded size keeps its
     * start aligned. */
    size_t size = sizeof(struct key) + sizeof HEADER * 2 + payload / 3 * 4 + 4;
    size = (size + 63) / 64 * 64;
    struct key *key = sodium_malloc(size);
    if (key == NULL) {
        return NULL;
    }
    memset(key, 0, size);
    key->prefix_length = encode(key->prefix, (const unsigned char *)HEADER, sizeof HEADER - 1);
    key->prefix[key->prefix_length++] = '.';
    add(key, "{\"iss\":\"", 8);
    for (size_t i = 0; i < id_length; i++) {
        add(key, escaped, escape(escaped, id[i]));
    }
    add(key, "\",\"iat\":", 8);
    if (!absorb_key(key, id, id_length, secret, secret_length)) {
        sodium_free(key);
        return NULL;
    }
    key->prefixed = key->initial;
    crypto_auth_hmacsha256_update(&key->prefixed, (const unsigned char *)key->prefix,
                                  key->prefix_length);
    sodium_mprotect_readonly(key);
    return key;
}

static int signer_new(lua_State *L) {
    size_t id_length, secret_length;
    const char *id = luaL_checklstring(L, 1, &id_length);
    const char *secret = luaL_checklstring(L, 2, &secret_length);
    luaL_argcheck(L, id_length > 0, 1, "the secret id is empty");
    luaL_argcheck(L, secret_length > 0, 2, "the secret key is empty");
    luaL_argcheck(L, id_length <= SIZE_MAX / 32, 1, "the secret id is too long");
    luaL_argcheck(L, secret_length <= SIZE_MAX / 32, 2, "the secret key is too long");
    core_setup(L);
    struct signer *signer = compat_newobject(L, TYPE, sizeof *signer);
    signer->key = make_key(id, id_length, secret, secret_length);
    if (signer->key == NULL) {
        return luaL_error(L, "not enough memory for a key");
    }
    atomic_fetch_add(&core_counts.signers, 1);
    return 1;
}

static int signer_release(lua_State *L) {
    struct signer *signer = luaL_checkudata(L, 1, TYPE);
    struct key *key = signer->key;
    if (key != NULL) {
        signer->key = NULL;
        sodium_free(key); /* wipes it first */
        atomic_fetch_sub(&core_counts.signers, 1);
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

static void finish(crypto_auth_hmacsha256_state *state, unsigned char *signature) {
    crypto_auth_hmacsha256_final(state, signature);
    sodium_memzero(state, sizeof *state);
}

static int signer_sign(lua_State *L) {
    uint64_t seconds = (uint64_t)compat_checkwhole(L, 2);
    const struct key *key = check_key(L);

    char digits[20];
    size_t digit_count = 0;
    do {
        digits[sizeof digits - ++digit_count] = (char)('0' + seconds % 10);
        seconds /= 10;
    } while (seconds > 0);

    unsigned char tail[TAIL_BYTES];
    size_t tail_length = key->rest_length;
    memcpy(tail, key->rest, tail_length);
    memcpy(tail + tail_length, digits + sizeof digits - digit_count, digit_count);
    tail_length += digit_count;
    tail[tail_length++] = '}';

    char usual[512];
    char *token = usual;
    size_t most = key->prefix_length + TAIL_TEXT + 1 + SIGNATURE_TEXT;
    if (most > sizeof usual) {
        token = compat_newuserdata(L, most);
        key = check_key(L); /* a finalizer may have closed it just now */
    }
    memcpy(token, key->prefix, key->prefix_length);
    size_t length = key->prefix_length;
    length += encode(token + length, tail, tail_length);

    unsigned char signature[SIGNATURE_BYTES];
    crypto_auth_hmacsha256_state state = key->prefixed;
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)token + key->prefix_length,
                                  length - key->prefix_length);
    finish(&state, signature);
    token[length++] = '.';
    length += encode(token + length, signature, sizeof signature);
    lua_pushlstring(L, token, length);
    return 1;
}

void core_open_signer(lua_State *L) {
    static const luaL_Reg methods[] = {{"sign", signer_sign}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"signer", signer_new}, {NULL, NULL}};
    compat_newtype(L, TYPE, methods, signer_release);
    compat_setfuncs(L, functions);
}
