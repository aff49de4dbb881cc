/* libFuzzer: strings that are written as JSON, and contacts that hold them.
 *
 * What is written must be the very string when it is read back, by a reader that shares nothing
 * with the writer; and a string is refused exactly where it is not UTF-8. */
#include "../../csrc/rows/rows.h"
#include "demand.h"

#include <lualib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Position of the first byte that is not UTF-8, from 1; 0 where all is. By code points, whereas the
 * writer goes by ranges of bytes. */
static size_t first_invalid(const uint8_t *text, size_t size) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    for (size_t i = 0; i < size;) {
        uint8_t lead = text[i];
        size_t length = lead < 0x80       ? 1
                        : lead >> 5 == 6  ? 2
                        : lead >> 4 == 14 ? 3
                        : lead >> 3 == 30 ? 4
                                          : 0;
        if (length == 0 || length > size - i) {
            return i + 1;
        }
        uint32_t code = length == 1 ? lead : lead & (0xFFU >> (length + 1));
        for (size_t j = 1; j < length; j++) {
            if (text[i + j] >> 6 != 2) {
                return i + 1;
            }
            code = code << 6 | (text[i + j] & 0x3F);
        }
        if (code < least[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
            return i + 1;
        }
        i += length;
    }
    return 0;
}

/* Reads the JSON string that begins there into `text`, gives its length, and moves `json` behind
 * it. */
static size_t read_string(const char **json, const char *end, uint8_t *text) {
    const char *c = *json;
    size_t length = 0;
    demand(c < end && *c == '"', "a JSON string begins with a quote");
    for (c++;; c++) {
        demand(c < end, "a JSON string ends");
        if (*c == '"') {
            break;
        }
        demand((uint8_t)*c >= 0x20, "a JSON string holds no control character");
        if (*c != '\\') {
            text[length++] = (uint8_t)*c;
            continue;
        }
        demand(end - c > 1, "an escape ends");
        c++;
        if (*c == '"' || *c == '\\') {
            text[length++] = (uint8_t)*c;
            continue;
        }
        char digits[5] = {0};
        char *stop;
        demand(*c == 'u' && end - c > 4, "an escape is one of three");
        memcpy(digits, c + 1, 4);
        unsigned long code = strtoul(digits, &stop, 16);
        demand(stop == digits + 4 && code < 0x80, "an escape is that of an ASCII character");
        text[length++] = (uint8_t)code;
        c += 4;
    }
    *json = c + 1;
    return length;
}

static void check_string(const uint8_t *data, size_t size) {
    /* As large as the writer asks for, so that one byte more is found. */
    char *text = malloc(size + 1), *out = malloc(6 * size + 2);
    uint8_t *back = malloc(size + 1);
    int flags = 0;
    size_t invalid = 0;
    demand(text != NULL && out != NULL && back != NULL, "there is memory");
    memcpy(text, data, size);
    size_t written = json_write_string(out, text, size, &flags, &invalid);
    size_t wrong = first_invalid(data, size);
    demand((written == 0) == (wrong > 0), "a string is refused exactly if it is not UTF-8");
    if (written == 0) {
        demand(invalid == wrong, "the first invalid byte is named");
    } else {
        const char *json = out;
        size_t length = read_string(&json, out + written, back);
        demand(json == out + written, "nothing follows the string");
        demand(length == size && memcmp(back, data, size) == 0,
               "the string is read back as it was");
    }
    free(text);
    free(out);
    free(back);
}

/* The fields of lua/heymarket/contact/fields.lua that the contacts below have. */
static void push_fields(lua_State *L) {
    static const struct {
        const char *name, *kind;
    } fields[] = {
        {"phone", "phone"},   {"avatar", "url"},
        {"custom", "custom"}, {"display_name", "text"},
        {"email", "email"},   {"first", "text"},
        {"last", "text"},     {"assignee_id", "user_id"},
        {"tags", "tag_ids"},  {"is_opted_out", "boolean"},
    };
    lua_newtable(L);
    for (int i = 0; i < (int)(sizeof fields / sizeof fields[0]); i++) {
        lua_newtable(L);
        lua_pushstring(L, fields[i].name);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, fields[i].kind);
        lua_setfield(L, -2, "kind");
        lua_pushinteger(L, 5);
        lua_setfield(L, -2, "max_items");
        lua_rawseti(L, -2, i + 1);
    }
}

static lua_State *state(void) {
    static lua_State *L;
    if (L == NULL) {
        L = luaL_newstate();
        demand(L != NULL, "there is memory");
        lua_pushcfunction(L, rows_encoder);
        push_fields(L);
        lua_call(L, 1, 1);
    }
    return L;
}

/* Takes a piece from the input: one byte says how long it is, up to 95 or in steps of 24 up to 768.
 */
static void push_piece(lua_State *L, const uint8_t **data, size_t *size) {
    size_t length = *size > 0 ? (*data)[0] & 0x7F : 0;
    length = length < 96 ? length : (length - 95) * 24;
    *data += *size > 0;
    *size -= *size > 0;
    length = length < *size ? length : *size;
    lua_pushlstring(L, (const char *)*data, length);
    *data += length;
    *size -= length;
}

/* A contact with a phone and as many other fields as the input has bytes for: each takes a byte
 * that chooses field and type. */
static void push_contact(lua_State *L, const uint8_t *data, size_t size) {
    static const char *const names[] = {"first",  "last",        "display_name", "email",
                                        "avatar", "assignee_id", "tags",         "custom",
                                        "phone",  "is_opted_out"};
    lua_newtable(L);
    lua_pushliteral(L, "12345678901");
    lua_setfield(L, -2, "phone");
    for (int fields = 0; size > 0 && fields < 24; fields++) {
        uint8_t choice = *data++;
        size--;
        const char *name = names[choice % 10];
        bool table = choice % 10 == 6 || choice % 10 == 7;
        if (choice >= 200) {
            lua_pushinteger(L, (lua_Integer)size - 100);
        } else {
            push_piece(L, &data, &size);
        }
        if (table) {
            lua_getfield(L, -2, name);
            if (!lua_istable(L, -1)) {
                lua_pop(L, 1);
                lua_newtable(L);
                lua_pushvalue(L, -1);
                lua_setfield(L, -4, name);
            }
            lua_pushvalue(L, -2);
            if (choice % 10 == 6) {
                lua_rawseti(L, -2, (int)lua_rawlen(L, -2) + 1);
            } else {
                lua_rawseti(L, -2, choice + (int)size);
            }
            lua_pop(L, 2);
        } else {
            lua_setfield(L, -2, name);
        }
    }
}

/* The strings of a body, one after the other: each must be valid JSON by the reader above. */
static void check_body(const char *json, size_t length) {
    const char *end = json + length;
    uint8_t *text = malloc(length + 1);
    int depth = 0;
    demand(text != NULL, "there is memory");
    while (json < end) {
        if (*json == '"') {
            read_string(&json, end, text);
            continue;
        }
        demand(strchr("{}[]:,-0123456789truefals", *json) != NULL && *json != '\0',
               "a body is JSON");
        depth += *json == '{' || *json == '[' ? 1 : *json == '}' || *json == ']' ? -1 : 0;
        demand(depth > 0 || json + 1 == end, "a body is one object");
        json++;
    }
    demand(depth == 0, "a body ends");
    free(text);
}

static void check_contact(const uint8_t *data, size_t size) {
    lua_State *L = state();
    int top = lua_gettop(L);
    lua_pushvalue(L, -1);
    push_contact(L, data, size);
    demand(lua_pcall(L, 1, 2, 0) == 0, "no contact raises an error");
    if (!lua_isnil(L, -2)) {
        size_t length;
        const char *body = lua_tolstring(L, -2, &length);
        demand(body != NULL, "a contact gives its body");
        check_body(body, length);
    }
    lua_settop(L, top);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_string(data, size);
    check_contact(data, size);
    return 0;
}
