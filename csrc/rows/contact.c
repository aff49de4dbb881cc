/* The ordinary contact, written in one pass. Nearly every contact of an import is one: known
 * fields, plain values, nothing wrong with any. For whatever is out of the ordinary, wrong or only
 * rare, `contact` gives nil, and the rules of lua/heymarket/contact/init.lua decide: they are the
 * ones that count, and what is written here must be what they write, byte for byte. */
#include "rows.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_BODY 4096 /* bytes; what may need more is not ordinary */
#define MAX_TAGS 5    /* documented by the vendor */
#define MAX_ITEMS 16
#define MAX_ID 20 /* digits */

enum kind { PHONE, LINE, EMAIL, AVATAR, ASSIGNEE, TAGS, CUSTOM, BOOLEAN, INTEGERS };

/* In the order in which they stand on the wire. */
static const struct {
    const char *name;
    size_t length;
    enum kind kind;
} fields[] = {
    {"phone", 5, PHONE},
    {"avatar", 6, AVATAR},
    {"custom", 6, CUSTOM},
    {"display_name", 12, LINE},
    {"email", 5, EMAIL},
    {"first", 5, LINE},
    {"last", 4, LINE},
    {"assignee_id", 11, ASSIGNEE},
    {"tags", 4, TAGS},
    {"is_opted_out", 12, BOOLEAN},
    {"email_suppressions", 18, INTEGERS},
};
enum { FIELDS = sizeof fields / sizeof *fields, FIRST_OPTIONAL = 1 };

/* A value of the contact. Strings are those of the table, which keeps them. */
struct value {
    int type; /* LUA_TNONE where the field is absent */
    const char *text;
    size_t length;
    long long number;
    int index; /* of a table on the stack */
};

struct output {
    char data[MAX_BODY];
    size_t length;
};

/* A whole number that this Lua holds exactly. */
static bool whole(lua_State *L, int index, long long *number) {
    if (lua_type(L, index) != LUA_TNUMBER) {
        return false;
    }
#if LUA_VERSION_NUM >= 503
    if (lua_isinteger(L, index)) {
        *number = (long long)lua_tointeger(L, index);
        return true;
    }
#endif
    double value = (double)lua_tonumber(L, index);
    if (!(value > -9007199254740992.0 && value < 9007199254740992.0) || value != floor(value)) {
        return false;
    }
    *number = (long long)value;
    return true;
}

static bool has_room(const struct output *out, size_t length) {
    return length <= sizeof out->data - out->length;
}

static bool put(struct output *out, const char *text, size_t length) {
    if (!has_room(out, length)) {
        return false;
    }
    memcpy(out->data + out->length, text, length);
    out->length += length;
    return true;
}

static bool put_number(struct output *out, long long number) {
    char digits[24];
    char *first = digits + sizeof digits;
    unsigned long long rest =
        number < 0 ? 0ULL - (unsigned long long)number : (unsigned long long)number;
    do {
        *--first = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0) {
        *--first = '-';
    }
    return put(out, first, (size_t)(digits + sizeof digits - first));
}

static bool put_string(struct output *out, const char *text, size_t length, int *holds) {
    size_t invalid, written;
    if (length > MAX_BODY / 6 || !has_room(out, 6 * length + 2)) {
        return false;
    }
    written = rows_write_string(out->data + out->length, text, length, holds, &invalid);
    out->length += written;
    return written > 0;
}

static bool all_digits(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
    }
    return length > 0 && text[0] != '0';
}

/* What is said of numbers that come without a country code: nil, a calling code, or false. */
struct country {
    int type;
    const char *code;
    size_t length;
};

/* Digits that are an international number for certain, so that they are sent as they are. */
static bool is_phone(const struct value *value, const struct country *country) {
    const char *digits = value->text;
    if (value->length < 11 || value->length > 15 || !all_digits(digits, value->length)) {
        return false;
    }
    if (country->type == LUA_TBOOLEAN) {
        return true;
    }
    if (digits[0] == '1' && (value->length != 11 || digits[1] < '2')) {
        return false;
    }
    return country->type == LUA_TNIL ||
           (country->length < value->length && memcmp(digits, country->code, country->length) == 0);
}

/* An address in ASCII. Beyond it there are characters that do not show: the rules look for them. */
static bool is_email(const char *text, size_t length) {
    const char *at = memchr(text, '@', length);
    if (at == NULL || at == text) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] > 0x7E) {
            return false;
        }
    }
    const char *domain = at + 1, *end = text + length, *dot = NULL;
    for (const char *c = domain; c < end; c++) {
        if (*c == '@') {
            return false;
        }
        dot = *c == '.' ? c : dot;
    }
    return dot != NULL && dot > domain && dot + 1 < end && *domain != '.';
}

static bool is_url(const char *text, size_t length) {
    size_t scheme = length > 8 && memcmp(text, "https://", 8) == 0  ? 8
                    : length > 7 && memcmp(text, "http://", 7) == 0 ? 7
                                                                    : 0;
    return scheme > 0 && strchr("/?#", text[scheme]) == NULL;
}

/* The whole numbers of an array without holes; -1 where it is something else. */
static int read_numbers(lua_State *L, int index, long long *numbers, size_t most) {
    size_t length = compat_rawlen(L, index), count = 0;
    if (length > most) {
        return -1;
    }
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_settop(L, -2), count++) {
        long long key;
        if (!whole(L, -2, &key) || key < 1 || (size_t)key > length ||
            !whole(L, -1, &numbers[key - 1])) {
            lua_settop(L, -3);
            return -1;
        }
    }
    return count == length ? (int)length : -1;
}

static bool put_tags(lua_State *L, struct output *out, int index) {
    long long ids[MAX_TAGS];
    int count = read_numbers(L, index, ids, MAX_TAGS);
    bool good = count >= 0 && put(out, "[", 1);
    for (int i = 0; good && i < count; i++) {
        good = ids[i] > 0 && put(out, i > 0 ? ",{\"tag_id\":" : "{\"tag_id\":", i > 0 ? 11 : 10) &&
               put_number(out, ids[i]) && put(out, "}", 1);
        for (int j = 0; good && j < i; j++) {
            good = ids[j] != ids[i];
        }
    }
    return good && put(out, "]", 1);
}

static bool put_integers(lua_State *L, struct output *out, int index) {
    long long numbers[MAX_ITEMS];
    int count = read_numbers(L, index, numbers, MAX_ITEMS);
    bool good = count >= 0 && put(out, "[", 1);
    for (int i = 0; good && i < count; i++) {
        good = (i == 0 || put(out, ",", 1)) && put_number(out, numbers[i]);
    }
    return good && put(out, "]", 1);
}

/* A custom field: its id, and where in the output its value stands. */
struct custom {
    char id[MAX_ID + 1];
    size_t length;
    size_t start;
    size_t end;
};

static bool read_id(lua_State *L, int index, struct custom *field) {
    long long number;
    if (lua_type(L, index) == LUA_TSTRING) {
        const char *text = lua_tolstring(L, index, &field->length);
        if (field->length > MAX_ID || !all_digits(text, field->length)) {
            return false;
        }
        memcpy(field->id, text, field->length);
        return true;
    }
    if (!whole(L, index, &number) || number <= 0) {
        return false;
    }
    field->length = (size_t)snprintf(field->id, sizeof field->id, "%lld", number);
    return true;
}

static bool put_value(lua_State *L, struct output *out, int index) {
    size_t length;
    long long number;
    int holds;
    switch (lua_type(L, index)) {
    case LUA_TSTRING: {
        const char *text = lua_tolstring(L, index, &length);
        return put_string(out, text, length, &holds);
    }
    case LUA_TBOOLEAN:
        return lua_toboolean(L, index) ? put(out, "true", 4) : put(out, "false", 5);
    default:
        return whole(L, index, &number) && put_number(out, number);
    }
}

static int compare_ids(const struct custom *a, const struct custom *b) {
    /* Longer ids are greater, for none has leading zeros. */
    if (a->length != b->length) {
        return a->length < b->length ? -1 : 1;
    }
    return memcmp(a->id, b->id, a->length);
}

/* The values are written one after the other into `scratch`, and from there in the order of ids. */
static bool put_custom(lua_State *L, struct output *out, int index) {
    struct output scratch;
    struct custom custom[MAX_ITEMS], one;
    int count = 0;
    scratch.length = 0;
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_settop(L, -2), count++) {
        int place = count;
        one.start = scratch.length;
        bool good = count < MAX_ITEMS && read_id(L, -2, &one) && put_value(L, &scratch, -1);
        one.end = scratch.length;
        while (good && place > 0 && compare_ids(&one, &custom[place - 1]) < 0) {
            custom[place] = custom[place - 1];
            place--;
        }
        if (!good || (place > 0 && compare_ids(&one, &custom[place - 1]) == 0)) {
            lua_settop(L, -3);
            return false;
        }
        custom[place] = one;
    }
    bool good = put(out, "{", 1);
    for (int i = 0; good && i < count; i++) {
        good = put(out, i > 0 ? ",\"" : "\"", i > 0 ? 2 : 1) &&
               put(out, custom[i].id, custom[i].length) && put(out, "\":", 2) &&
               put(out, scratch.data + custom[i].start, custom[i].end - custom[i].start);
    }
    return good && put(out, "}", 1);
}

static bool put_field(lua_State *L, struct output *out, enum kind kind, const struct value *value) {
    int holds = 0;
    switch (kind) {
    case PHONE: /* is_phone has seen it */
        return put_string(out, value->text, value->length, &holds);
    case LINE:
        return value->type == LUA_TSTRING && put_string(out, value->text, value->length, &holds) &&
               (holds & ROWS_HAS_CONTROL) == 0;
    case EMAIL:
        return value->type == LUA_TSTRING && put_string(out, value->text, value->length, &holds) &&
               holds == 0 && is_email(value->text, value->length);
    case AVATAR:
        return value->type == LUA_TSTRING && put_string(out, value->text, value->length, &holds) &&
               (holds & (ROWS_HAS_CONTROL | ROWS_HAS_SPACE)) == 0 &&
               is_url(value->text, value->length);
    case ASSIGNEE:
        return value->type == LUA_TNUMBER && (value->number > 0 || value->number == -1) &&
               put_number(out, value->number);
    case BOOLEAN:
        return value->type == LUA_TBOOLEAN &&
               (value->number != 0 ? put(out, "true", 4) : put(out, "false", 5));
    case TAGS:
        return value->type == LUA_TTABLE && put_tags(L, out, value->index);
    case CUSTOM:
        return value->type == LUA_TTABLE && put_custom(L, out, value->index);
    default:
        return value->type == LUA_TTABLE && put_integers(L, out, value->index);
    }
}

static int field_of(const char *name, size_t length) {
    for (int i = 0; i < FIELDS; i++) {
        if (fields[i].length == length && memcmp(fields[i].name, name, length) == 0) {
            return i;
        }
    }
    return -1;
}

/* Notes the value on top of the stack and leaves it there if it is a table. */
static bool read_value(lua_State *L, struct value *value) {
    value->type = lua_type(L, -1);
    switch (value->type) {
    case LUA_TSTRING:
        value->text = lua_tolstring(L, -1, &value->length);
        return true;
    case LUA_TNUMBER:
        return whole(L, -1, &value->number);
    case LUA_TBOOLEAN:
        value->number = lua_toboolean(L, -1);
        return true;
    default:
        return value->type == LUA_TTABLE;
    }
}

/* Where the phone stays on the stack: a finalizer may take it out of the table. */
enum { PHONE_INDEX = 3 };

/* Reads all fields; tables among them stay on the stack. */
static bool read_fields(lua_State *L, struct value *values) {
    lua_pushnil(L);
    while (lua_next(L, 1) != 0) {
        size_t length;
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &length) : NULL;
        int place = name != NULL ? field_of(name, length) : -1;
        if (place < 0 || !read_value(L, &values[place])) {
            return false;
        }
        if (fields[place].kind == PHONE) {
            lua_pushvalue(L, -1);
            lua_replace(L, PHONE_INDEX);
        }
        if (values[place].type == LUA_TTABLE) {
            lua_insert(L, -2); /* below the key, where lua_next leaves it alone */
            values[place].index = lua_gettop(L) - 1;
        } else {
            lua_settop(L, -2);
        }
    }
    return values[0].type == LUA_TSTRING;
}

/* The second argument of `contact`, which stays on the stack; false where it is no country. */
static bool read_country(lua_State *L, struct country *country) {
    country->type = lua_type(L, 2);
    if (country->type == LUA_TSTRING) {
        country->code = lua_tolstring(L, 2, &country->length);
        return true;
    }
    return country->type == LUA_TNIL || (country->type == LUA_TBOOLEAN && lua_toboolean(L, 2) == 0);
}

/* contact(fields, default_country) -> body, phone | nil */
static int contact(lua_State *L) {
    struct value values[FIELDS];
    struct country country;
    struct output out;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, PHONE_INDEX);
    luaL_checkstack(L, FIELDS + 8, "a contact");
    for (int i = 0; i < FIELDS; i++) {
        values[i].type = LUA_TNONE;
    }
    out.length = 0;
    bool good = read_country(L, &country) && read_fields(L, values) &&
                is_phone(&values[0], &country) && put(&out, "{\"phone\":", 9) &&
                put_field(L, &out, PHONE, &values[0]);
    for (int i = FIRST_OPTIONAL; good && i < FIELDS; i++) {
        /* Omitted: a blank must not clear a stored value. */
        bool blank = values[i].type == LUA_TSTRING && values[i].length == 0 &&
                     (fields[i].kind == LINE || fields[i].kind == EMAIL);
        if (values[i].type != LUA_TNONE && !blank) {
            good = put(&out, ",\"", 2) && put(&out, fields[i].name, fields[i].length) &&
                   put(&out, "\":", 2) && put_field(L, &out, fields[i].kind, &values[i]);
        }
    }
    if (!good || !put(&out, "}", 1)) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushlstring(L, out.data, out.length);
    lua_pushvalue(L, PHONE_INDEX);
    return 2;
}

void rows_open_contact(lua_State *L) {
    const luaL_Reg functions[] = {{"contact", contact}, {NULL, NULL}};
    compat_setfuncs(L, functions);
}
