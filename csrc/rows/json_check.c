/* Checks a JSON text (RFC 8259) before a decoder reads it. lua-cjson lets pass what JSON does not
 * have (NaN, 0x10, invalid UTF-8, half a surrogate pair), keeps the last of two members with one
 * name, and rounds large numbers. This check refuses the former, and writes the text anew where a
 * decoder would lose something:
 *
 *   "\u0001" and its text   for a number that is no whole number up to 2^53
 *   "\u0002" and the string for a string that begins with one of these three characters
 *   ["\u0003"]              for an empty array, which a decoder cannot tell from an empty object
 *
 * lua/heymarket/util/json.lua takes these marks out again. One pass; arrays and objects recurse, at
 * most ROWS_JSON_DEPTH deep. */
#include "../buffer.h"
#include "rows.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define TYPE "heymarket.json"

#define EXACT "9007199254740992"
#define EXACT_DIGITS (sizeof EXACT - 1)

struct json {
    const unsigned char *text; /* a string of Lua's, so a zero byte stands behind it */
    size_t length, at;
    const char *problem;     /* why it is not JSON; NULL while it may be */
    struct buffer out;       /* the text with marks */
    size_t copied;           /* so much of the text is in `out`; 0 until there is a mark */
    struct buffer unescaped; /* the last string that had escapes, without them */
    struct buffer names;     /* hashes of the names of all open objects */
    size_t depth, deepest, values, max_values;
    unsigned char key[crypto_shorthash_KEYBYTES];
};

static bool fail(struct json *json, const char *problem) {
    json->problem = problem;
    return false;
}

static bool add(struct json *json, struct buffer *buffer, const void *data, size_t length) {
    return buffer_add(buffer, data, length) || fail(json, "not enough memory");
}

/* Writes what stands before `from` as it is, then `mark`; the text goes on at `to`. */
static bool replace(struct json *json, size_t from, size_t to, const char *mark) {
    bool ok = add(json, &json->out, json->text + json->copied, from - json->copied) &&
              add(json, &json->out, mark, strlen(mark));
    json->copied = to;
    return ok;
}

/* The byte at hand; 0 at the end, where no JSON has one. */
static unsigned char peek(const struct json *json) {
    return json->text[json->at];
}

/* Reads this byte, if it is the one at hand. */
static bool take(struct json *json, unsigned char byte) {
    bool found = peek(json) == byte;
    json->at += found;
    return found;
}

static void skip_space(struct json *json) {
    for (unsigned char c; (c = peek(json)) == ' ' || c == '\n' || c == '\r' || c == '\t';) {
        json->at++;
    }
}

/* Four hexadecimal digits; -1 where there are none. */
static long read_hex(const unsigned char *text) {
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    long code = 0;
    for (int i = 0; i < 4; i++) {
        const char *digit = text[i] != 0 ? strchr(digits, text[i]) : NULL;
        if (digit == NULL) {
            return -1;
        }
        code = code * 16 + (digit - digits) % 16;
    }
    return code;
}

/* Reads the escape at hand, whose backslash was seen, as UTF-8. Gives its length, 0 where it is
 * none. */
static size_t read_escape(struct json *json, char *out) {
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const unsigned char *escape = json->text + json->at;
    const char *known = escape[1] != 0 ? strchr(letters, escape[1]) : NULL;
    if (known != NULL) {
        json->at += 2;
        out[0] = meant[known - letters];
        return 1;
    }
    long code = escape[1] == 'u' ? read_hex(escape + 2) : -1;
    if (code < 0) {
        return fail(json, "a bad escape");
    }
    bool is_half = code >= 0xD800 && code <= 0xDFFF;
    if (is_half) {
        bool is_pair = code < 0xDC00 && escape[6] == '\\' && escape[7] == 'u';
        long low = is_pair ? read_hex(escape + 8) : -1;
        if (low < 0xDC00 || low > 0xDFFF) {
            return fail(json, "half a surrogate pair");
        }
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    json->at += is_half ? 12 : 6;
    return utf8_write((unsigned char *)out, (uint32_t)code);
}

/* Reads a string. Where escapes make it differ from what is written, it is in `unescaped`;
 * otherwise that is empty. */
static bool read_string(struct json *json) {
    struct buffer *text = &json->unescaped;
    size_t copied = ++json->at;
    text->length = 0;
    for (unsigned char byte; (byte = peek(json)) != '"';) {
        if (byte == '\\') {
            char meant[4];
            size_t start = json->at, length = read_escape(json, meant);
            if (length == 0 || !add(json, text, json->text + copied, start - copied) ||
                !add(json, text, meant, length)) {
                return false;
            }
            copied = json->at;
        } else if (byte < 0x20) {
            return fail(json, json->at < json->length ? "a control character in a string"
                                                      : "a string without end");
        } else {
            size_t left = json->length - json->at;
            size_t length = byte < 0x80 ? 1 : utf8_length(json->text + json->at, left);
            if (length == 0) {
                return fail(json, "bytes that are not UTF-8");
            }
            json->at += length;
        }
    }
    json->at++;
    return text->length == 0 || add(json, text, json->text + copied, json->at - 1 - copied);
}

/* A string as a value. Only as an escape it can begin with one of the marks. */
static bool read_text(struct json *json) {
    size_t start = json->at;
    if (!read_string(json)) {
        return false;
    }
    char first = json->unescaped.length > 0 ? json->unescaped.data[0] : 0;
    return first < 1 || first > 3 || replace(json, start, start + 1, "\"\\u0002");
}

static bool read_name(struct json *json) {
    unsigned char hash[crypto_shorthash_BYTES];
    const unsigned char *name = json->text + json->at + 1;
    if (!read_string(json)) {
        return false;
    }
    size_t length = (size_t)(json->text + json->at - 1 - name);
    if (json->unescaped.length > 0) {
        name = (const unsigned char *)json->unescaped.data;
        length = json->unescaped.length;
    }
    crypto_shorthash(hash, name, length, json->key);
    return add(json, &json->names, hash, sizeof hash);
}

static int compare_hashes(const void *a, const void *b) {
    return memcmp(a, b, crypto_shorthash_BYTES);
}

/* Do two of the names from this place on hash alike? The key of the hash is secret: nobody makes
 * two names that do by chance. */
static bool has_double(struct json *json, size_t first) {
    const size_t size = crypto_shorthash_BYTES;
    size_t count = (json->names.length - first) / size;
    if (count < 2) {
        return false;
    }
    char *names = json->names.data + first;
    qsort(names, count, size, compare_hashes);
    for (size_t i = 1; i < count; i++) {
        if (compare_hashes(names + (i - 1) * size, names + i * size) == 0) {
            return true;
        }
    }
    return false;
}

static size_t skip_digits(struct json *json) {
    size_t start = json->at;
    while (peek(json) >= '0' && peek(json) <= '9') {
        json->at++;
    }
    return json->at - start;
}

static bool read_number(struct json *json) {
    size_t start = json->at;
    take(json, '-');
    const unsigned char *first = json->text + json->at;
    size_t digits = skip_digits(json);
    if (digits == 0 || (digits > 1 && first[0] == '0')) {
        return fail(json, "no value");
    }
    bool exact = digits < EXACT_DIGITS ||
                 (digits == EXACT_DIGITS && memcmp(first, EXACT, EXACT_DIGITS) <= 0);
    if (take(json, '.')) {
        exact = false;
        if (skip_digits(json) == 0) {
            return fail(json, "a number without digits after its point");
        }
    }
    if (take(json, 'e') || take(json, 'E')) {
        exact = false;
        (void)(take(json, '+') || take(json, '-'));
        if (skip_digits(json) == 0) {
            return fail(json, "an exponent without digits");
        }
    }
    return exact ||
           (replace(json, start, start, "\"\\u0001") && replace(json, json->at, json->at, "\""));
}

static bool read_word(struct json *json, const char *word) {
    size_t length = strlen(word);
    if (strncmp((const char *)json->text + json->at, word, length) != 0) {
        return fail(json, "no value");
    }
    json->at += length;
    return true;
}

/* Reads an array or an object; `end` is its last byte. */
static bool read_items(struct json *json, bool (*read_item)(struct json *), unsigned char end) {
    size_t start = json->at, first_name = json->names.length;
    if (json->depth == ROWS_JSON_DEPTH) {
        return fail(json, "too many levels");
    }
    json->at++;
    json->depth++;
    json->deepest = json->depth > json->deepest ? json->depth : json->deepest;
    skip_space(json);
    bool is_empty = take(json, end);
    for (bool more = !is_empty; more; more = take(json, ',')) {
        if (!read_item(json)) {
            return false;
        }
        skip_space(json);
    }
    if (!is_empty && !take(json, end)) {
        return fail(json, "a comma or the end of an array or object is missing");
    } else if (has_double(json, first_name)) {
        return fail(json, "a name that stands twice in an object");
    }
    json->depth--;
    json->names.length = first_name;
    return !is_empty || end != ']' || replace(json, start, json->at, "[\"\\u0003\"]");
}

static bool read_member(struct json *json);

static bool read_value(struct json *json) {
    skip_space(json);
    if (++json->values > json->max_values) {
        return fail(json, "too many values");
    }
    switch (peek(json)) {
    case '{':
        return read_items(json, read_member, '}');
    case '[':
        return read_items(json, read_value, ']');
    case '"':
        return read_text(json);
    case 't':
        return read_word(json, "true");
    case 'f':
        return read_word(json, "false");
    case 'n':
        return read_word(json, "null");
    default:
        return read_number(json);
    }
}

static bool read_member(struct json *json) {
    skip_space(json);
    if (peek(json) != '"') {
        return fail(json, "a name is missing");
    } else if (!read_name(json)) {
        return false;
    }
    skip_space(json);
    return take(json, ':') ? read_value(json) : fail(json, "a colon is missing");
}

static bool check(struct json *json) {
    if (!read_value(json)) {
        return false;
    }
    skip_space(json);
    if (json->at < json->length) {
        return fail(json, "more text after the value");
    }
    return json->out.length == 0 ||
           add(json, &json->out, json->text + json->copied, json->length - json->copied);
}

static void clear(struct json *json) {
    free(json->out.data);
    free(json->unescaped.data);
    free(json->names.data);
    memset(json, 0, sizeof *json);
}

static int release(lua_State *L) {
    clear(luaL_checkudata(L, 1, TYPE));
    return 0;
}

/* json_check(text, max_values) -> the text with marks, depth, number of values
 *                               | nil, problem, position of the byte at which it shows */
int rows_json_check(lua_State *L) {
    size_t length;
    const char *text = luaL_checklstring(L, 1, &length);
    double most = compat_checkwhole(L, 2);
    lua_settop(L, 2);
    rows_setup_sodium(L);
    /* It owns what the check allocates. Until then there is nothing that an error could leak. */
    struct json *json = compat_newobject(L, TYPE, sizeof *json);
    json->text = (const unsigned char *)text;
    json->length = length;
    json->max_values = (size_t)most;
    randombytes_buf(json->key, sizeof json->key);
    if (!check(json)) {
        lua_pushnil(L);
        lua_pushstring(L, json->problem);
        lua_pushnumber(L, (lua_Number)(json->at + 1));
    } else {
        if (json->out.length > 0) {
            lua_pushlstring(L, json->out.data, json->out.length);
        } else {
            lua_pushvalue(L, 1);
        }
        lua_pushinteger(L, (lua_Integer)json->deepest);
        lua_pushinteger(L, (lua_Integer)json->values);
    }
    /* What was allocated goes now and not with the collector: it may be many times the text. */
    clear(json);
    return 3;
}

void rows_prepare_json_check(lua_State *L) {
    compat_newtype(L, TYPE, NULL, release);
}
