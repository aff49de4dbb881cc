/* Checks a JSON text (RFC 8259) before a decoder reads it. lua-cjson lets pass what JSON does not
 * have (NaN, 0x10, invalid UTF-8, half a surrogate pair), keeps the last of two members with one
 * name, and rounds large numbers. This check refuses the former, and writes the text anew where a
 * decoder would lose something:
 *
 *   "\u0001" and its text   for a number that is no whole number up to 2^53
 *   "\u0002" and the string for a string that begins with one of these three characters
 *   ["\u0003"]              for an empty array, which a decoder cannot tell from an empty object
 *
 * lua/heymarket/util/json.lua takes these marks out again. One pass, and no recursion. */
#include "rows.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define TYPE "heymarket.json"

#define FEW_NAMES 8 /* so many names of an object are compared each with each */
#define EXACT "9007199254740992"
#define EXACT_DIGITS (sizeof EXACT - 1)

struct bytes {
    unsigned char *data;
    size_t length, capacity;
};

struct json {
    const unsigned char *text;
    size_t length, at;
    const char *problem; /* why it is not JSON; NULL while it may be */
    struct bytes out;    /* the text with marks */
    size_t copied;       /* so much of the text is in `out`; 0 until there is a mark */
    struct bytes name;   /* a name without its escapes */
    uint64_t *names;     /* hashes of the names of all open objects */
    size_t name_count, name_capacity;
    size_t first_name[ROWS_JSON_DEPTH]; /* of each level's object */
    bool is_object[ROWS_JSON_DEPTH];
    size_t depth, deepest, values, max_values;
    unsigned char key[crypto_shorthash_KEYBYTES];
};

static bool fail(struct json *json, const char *problem) {
    if (json->problem == NULL) {
        json->problem = problem;
    }
    return false;
}

/* Makes room for as many items more. */
static void *grown(void *data, size_t size, size_t length, size_t more, size_t *capacity) {
    if (more <= *capacity - length) {
        return data;
    }
    if (more > SIZE_MAX / size / 4 || length > SIZE_MAX / size / 4) {
        return NULL;
    }
    size_t wanted = *capacity < 32 ? 64 : *capacity * 2;
    wanted = wanted < length + more ? length + more : wanted;
    void *made = realloc(data, wanted * size);
    if (made != NULL) {
        *capacity = wanted;
    }
    return made;
}

static bool add(struct json *json, struct bytes *bytes, const void *data, size_t length) {
    if (length == 0) {
        return true;
    }
    unsigned char *made = grown(bytes->data, 1, bytes->length, length, &bytes->capacity);
    if (made == NULL) {
        return fail(json, "not enough memory");
    }
    bytes->data = made;
    memcpy(made + bytes->length, data, length);
    bytes->length += length;
    return true;
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
    return json->at < json->length ? json->text[json->at] : 0;
}

static bool is_digit(unsigned char byte) {
    return byte >= '0' && byte <= '9';
}

static void skip_space(struct json *json) {
    for (unsigned char c; (c = peek(json)) == ' ' || c == '\n' || c == '\r' || c == '\t';) {
        json->at++;
    }
}

/* The four hexadecimal digits of an escape; -1 where there are none. */
static long read_hex(const struct json *json, size_t at) {
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    long code = 0;
    if (json->length - at < 4) {
        return -1;
    }
    for (size_t i = at; i < at + 4; i++) {
        unsigned char byte = json->text[i];
        const char *digit = byte != 0 ? strchr(digits, byte) : NULL;
        if (digit == NULL) {
            return -1;
        }
        code = code * 16 + (digit - digits) % 16;
    }
    return code;
}

/* Reads the escape at hand, whose backslash was seen, as UTF-8. Gives its length, 0 where it is
 * none. */
static size_t read_escape(struct json *json, unsigned char *out) {
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    unsigned char letter = json->at + 1 < json->length ? json->text[json->at + 1] : 0;
    const char *known = letter != 0 ? strchr(letters, letter) : NULL;
    if (known != NULL) {
        json->at += 2;
        out[0] = (unsigned char)meant[known - letters];
        return 1;
    }
    long code = letter == 'u' ? read_hex(json, json->at + 2) : -1;
    if (code < 0) {
        fail(json, "a bad escape");
        return 0;
    }
    size_t end = json->at + 6;
    if (code >= 0xD800 && code <= 0xDFFF) {
        bool pair = code < 0xDC00 && json->length - end >= 6 && json->text[end] == '\\' &&
                    json->text[end + 1] == 'u';
        long low = pair ? read_hex(json, end + 2) : -1;
        if (low < 0xDC00 || low > 0xDFFF) {
            fail(json, "half a surrogate pair");
            return 0;
        }
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        end += 6;
    }
    json->at = end;
    return utf8_write(out, (uint32_t)code);
}

/* Reads the rest of a string whose quotation mark was read. Its text goes to `into`, if given, as
 * soon as an escape makes it differ from what is written. `*first` is its first byte, -1 for none.
 */
static bool read_string(struct json *json, struct bytes *into, bool *escaped, int *first) {
    size_t start = json->at, copied = json->at;
    *escaped = false;
    *first = -1;
    while (json->at < json->length) {
        unsigned char byte = json->text[json->at];
        unsigned char meant[4] = {byte};
        size_t from = json->at;
        if (byte == '"') {
            if (into != NULL && *escaped &&
                !add(json, into, json->text + copied, json->at - copied)) {
                return false;
            }
            json->at++;
            return true;
        } else if (byte == '\\') {
            size_t length = read_escape(json, meant);
            if (length == 0) {
                return false;
            }
            *escaped = true;
            if (into != NULL && (!add(json, into, json->text + copied, from - copied) ||
                                 !add(json, into, meant, length))) {
                return false;
            }
            copied = json->at;
        } else if (byte < 0x20) {
            return fail(json, "a control character in a string");
        } else if (byte < 0x80) {
            json->at++;
        } else {
            size_t length = utf8_length(json->text + json->at, json->length - json->at);
            if (length == 0) {
                return fail(json, "bytes that are not UTF-8");
            }
            json->at += length;
        }
        if (from == start) {
            *first = meant[0];
        }
    }
    return fail(json, "a string without end");
}

/* A string as a value. */
static bool read_text(struct json *json) {
    size_t start = json->at++;
    bool escaped;
    int first;
    return read_string(json, NULL, &escaped, &first) &&
           (first < 1 || first > 3 || replace(json, start, start + 1, "\"\\u0002"));
}

static bool read_name(struct json *json) {
    unsigned char hash[crypto_shorthash_BYTES];
    size_t start = json->at;
    bool escaped;
    int first;
    json->name.length = 0;
    if (!read_string(json, &json->name, &escaped, &first)) {
        return false;
    }
    uint64_t *made = grown(json->names, sizeof *made, json->name_count, 1, &json->name_capacity);
    if (made == NULL) {
        return fail(json, "not enough memory");
    }
    json->names = made;
    crypto_shorthash(hash, escaped ? json->name.data : json->text + start,
                     escaped ? json->name.length : json->at - 1 - start, json->key);
    memcpy(&made[json->name_count++], hash, sizeof *made);
    return true;
}

static int compare_hashes(const void *a, const void *b) {
    uint64_t left, right;
    memcpy(&left, a, sizeof left);
    memcpy(&right, b, sizeof right);
    return left < right ? -1 : left > right;
}

/* Do two names of the object that ends here hash alike? The key of the hash is secret: nobody makes
 * two names that do by chance. */
static bool has_double(struct json *json, size_t first) {
    size_t count = json->name_count - first;
    if (count < 2) {
        return false;
    }
    uint64_t *names = json->names + first;
    bool few = count <= FEW_NAMES;
    if (!few) {
        qsort(names, count, sizeof *names, compare_hashes);
    }
    for (size_t i = 1; i < count; i++) {
        for (size_t j = few ? 0 : i - 1; j < i; j++) {
            if (names[i] == names[j]) {
                return true;
            }
        }
    }
    return false;
}

static size_t skip_digits(struct json *json) {
    size_t start = json->at;
    while (is_digit(peek(json))) {
        json->at++;
    }
    return json->at - start;
}

static bool read_number(struct json *json) {
    size_t start = json->at;
    json->at += peek(json) == '-';
    size_t first = json->at, digits = skip_digits(json);
    if (digits == 0 || (digits > 1 && json->text[first] == '0')) {
        return fail(json, "no value");
    }
    bool exact = digits < EXACT_DIGITS ||
                 (digits == EXACT_DIGITS && memcmp(json->text + first, EXACT, EXACT_DIGITS) <= 0);
    if (peek(json) == '.') {
        json->at++;
        exact = false;
        if (skip_digits(json) == 0) {
            return fail(json, "a number without digits after its point");
        }
    }
    if (peek(json) == 'e' || peek(json) == 'E') {
        json->at++;
        exact = false;
        json->at += peek(json) == '+' || peek(json) == '-';
        if (skip_digits(json) == 0) {
            return fail(json, "an exponent without digits");
        }
    }
    return exact ||
           (replace(json, start, start, "\"\\u0001") && replace(json, json->at, json->at, "\""));
}

static bool read_word(struct json *json, const char *word) {
    size_t length = strlen(word);
    if (json->length - json->at < length || memcmp(json->text + json->at, word, length) != 0) {
        return fail(json, "no value");
    }
    json->at += length;
    return true;
}

static bool close_level(struct json *json) {
    size_t first = json->first_name[--json->depth];
    json->at++;
    if (json->is_object[json->depth] && has_double(json, first)) {
        return fail(json, "a name that stands twice in an object");
    }
    json->name_count = first;
    return true;
}

/* Reads this byte, before which there may be blanks. */
static bool expect(struct json *json, unsigned char byte, const char *problem) {
    skip_space(json);
    if (peek(json) != byte) {
        return fail(json, problem);
    }
    json->at++;
    return true;
}

/* Reads the name and the colon before a value. */
static bool read_member(struct json *json) {
    return expect(json, '"', "a name is missing") && read_name(json) &&
           expect(json, ':', "a colon is missing");
}

/* Reads an array or object up to its first value. `*open` is false where it has none. */
static bool enter(struct json *json, bool is_object, bool *open) {
    size_t start = json->at;
    if (json->depth == ROWS_JSON_DEPTH) {
        return fail(json, "too many levels");
    }
    json->at++;
    json->is_object[json->depth] = is_object;
    json->first_name[json->depth++] = json->name_count;
    json->deepest = json->depth > json->deepest ? json->depth : json->deepest;
    skip_space(json);
    *open = peek(json) != (is_object ? '}' : ']');
    if (*open) {
        return !is_object || read_member(json);
    }
    return close_level(json) && (is_object || replace(json, start, json->at, "[\"\\u0003\"]"));
}

/* Reads a value, of an array or object only its start. `*open` tells whether a value comes next. */
static bool read_value(struct json *json, bool *open) {
    *open = false;
    skip_space(json);
    if (++json->values > json->max_values) {
        return fail(json, "too many values");
    }
    switch (peek(json)) {
    case '{':
        return enter(json, true, open);
    case '[':
        return enter(json, false, open);
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

/* Reads what follows a value: a comma, or the ends of what it stands in. `*open` as above. */
static bool read_rest(struct json *json, bool *open) {
    *open = false;
    while (json->depth > 0 && !*open) {
        bool is_object = json->is_object[json->depth - 1];
        skip_space(json);
        if (peek(json) == ',') {
            json->at++;
            *open = true;
            if (is_object && !read_member(json)) {
                return false;
            }
        } else if (peek(json) != (is_object ? '}' : ']')) {
            return fail(json, "a comma or the end of an array or object is missing");
        } else if (!close_level(json)) {
            return false;
        }
    }
    return true;
}

static bool check(struct json *json) {
    bool open = true;
    while (open) {
        if (!read_value(json, &open) || (!open && !read_rest(json, &open))) {
            return false;
        }
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
    free(json->name.data);
    free(json->names);
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
            lua_pushlstring(L, (const char *)json->out.data, json->out.length);
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
    const luaL_Reg methods[] = {{NULL, NULL}};
    compat_newtype(L, TYPE, methods, release);
}
