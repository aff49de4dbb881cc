/* How a value of each kind is checked and written. */
#include "encoding.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PUT(e, literal) encoding_put(e, literal, sizeof(literal) - 1)

static struct mistake *next_mistake(struct encoding *e) {
    size_t i = e->mistake_count;
    struct mistake *mistake = i < e->mistake_capacity ? &e->mistakes[i] : &e->spare;
    mistake->field = e->field;
    return mistake;
}

struct mistake *encoding_mistake(struct encoding *e, const char *code) {
    struct mistake *mistake = mistake_begin(next_mistake(e), code);
    e->mistake_count++;
    return mistake;
}

/* Numbers -------------------------------------------------------------------------------------- */

void encoding_whole(struct encoding *e, long long number) {
    char digits[NUMBER_SIZE];
    encoding_put(e, digits, number_write(digits, number));
}

/* Writes a fraction in the fewest digits that give the same number again. */
static void put_fraction(struct encoding *e, double number) {
    char digits[32];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, number);
        if (strtod(digits, NULL) == number) {
            break;
        }
    }
    /* Some locales write a comma for the decimal point. */
    char *comma = strchr(digits, ',');
    if (comma != NULL) {
        *comma = '.';
    }
    encoding_put(e, digits, strlen(digits));
}

/* Reads a value that must be a whole number; where it is none, adds a mistake with one of two codes
 * and this item. */
static bool read_whole(struct encoding *e, int index, struct number *number, const char *code,
                       const char *inexact_code, size_t item) {
    if (lua_type(e->L, index) == LUA_TNUMBER) {
        *number = number_at(e->L, index);
        if (number->is_exact) {
            return true;
        } else if (number_is_inexact(number)) {
            code = inexact_code;
        }
    }
    struct mistake *mistake = encoding_mistake(e, code);
    if (item > 0) {
        mistake_number(mistake, "item", item);
    }
    if (code != inexact_code) {
        mistake_given(mistake, e->L, index);
    }
    return false;
}

static void write_user_id(struct encoding *e, int index) {
    struct number number;
    if (!read_whole(e, index, &number, "not_integer", "inexact", 0)) {
        return;
    } else if (number.whole <= 0 && number.whole != -1) {
        encoding_mistake(e, "not_user_id");
    }
    encoding_whole(e, number.whole);
}

/* Text ----------------------------------------------------------------------------------------- */

/* Adds a mistake about the first character of these sorts in well-formed UTF-8. False where there
 * is none. */
static bool refuse_character(struct encoding *e, const char *code, const char *text, size_t length,
                             int sorts) {
    size_t size;
    for (const char *end = text + length; text < end; text += size) {
        const unsigned char *at = (const unsigned char *)text;
        size = *at < 0x80 ? 1 : utf8_length(at, (size_t)(end - text));
        if ((sorts_of(utf8_point(at, size)) & sorts) != 0) {
            mistake_text(encoding_mistake(e, code), "character", text, size);
            return true;
        }
    }
    return false;
}

size_t encoding_string(struct encoding *e, const char *text, size_t length, int *flags) {
    size_t start = e->length, invalid = 0;
    if (length > SIZE_MAX / 16) {
        luaL_error(e->L, "not enough memory");
    }
    char *room = encoding_room(e, 6 * length + 2);
    *flags = 0;
    if (room != NULL) {
        e->length = start + json_write_string(room, text, length, flags, &invalid);
    }
    return invalid;
}

/* Writes a line of text, and gives it; NULL where it is none, or empty. */
static const char *write_text(struct encoding *e, int index, size_t *length, int *flags) {
    if (lua_type(e->L, index) != LUA_TSTRING) {
        mistake_given(encoding_mistake(e, "not_string"), e->L, index);
        return NULL;
    }
    const char *text = lua_tolstring(e->L, index, length);
    e->is_blank = *length == 0;
    size_t invalid = encoding_string(e, text, *length, flags);
    if (invalid > 0) {
        mistake_number(encoding_mistake(e, "not_utf8"), "position", invalid);
        return NULL;
    } else if ((*flags & HAS_CONTROL) != 0) {
        refuse_character(e, "control_character", text, *length, IS_CONTROL);
        return NULL;
    }
    return e->is_blank ? NULL : text;
}

bool text_is_email(const char *text, size_t length) {
    const char *end = text + length, *at = memchr(text, '@', length);
    const char *dot = memrchr(text, '.', length);
    return at != NULL && at > text && memchr(at + 1, '@', (size_t)(end - at - 1)) == NULL &&
           dot != NULL && dot > at + 1 && dot + 1 < end && at[1] != '.';
}

static void write_name(struct encoding *e, int index) {
    size_t length;
    int flags;
    write_text(e, index, &length, &flags);
}

static void write_email(struct encoding *e, int index) {
    size_t length;
    int flags;
    const char *text = write_text(e, index, &length, &flags);
    if (text == NULL || ((flags & HAS_WIDE) != 0 && refuse_character(e, "unseen_character", text,
                                                                     length, IS_BLANK | IS_MARK))) {
        return;
    }
    if ((flags & ~HAS_WIDE) != 0 || !text_is_email(text, length)) {
        encoding_mistake(e, "not_email");
    }
}

bool text_is_url(const char *text) {
    size_t i = strncasecmp(text, "https", 5) == 0 ? 5 : 4;
    return strncasecmp(text, "http", 4) == 0 && strncmp(text + i, "://", 3) == 0 &&
           strchr("/?#", text[i + 3]) == NULL;
}

static void write_url(struct encoding *e, int index) {
    size_t length;
    int flags;
    const char *text = write_text(e, index, &length, &flags);
    if (e->is_blank || (text != NULL && ((flags & HAS_SPACE) != 0 || !text_is_url(text)))) {
        encoding_mistake(e, "not_url");
    }
}

static void write_phone(struct encoding *e, int index) {
    if (!phone_read_value(&e->phone, e->L, index, &e->country, next_mistake(e))) {
        e->mistake_count++;
        return;
    }
    bool is_same = lua_type(e->L, index) == LUA_TSTRING &&
                   compat_rawlen(e->L, index) == e->phone.length &&
                   memcmp(lua_tostring(e->L, index), e->phone.digits, e->phone.length) == 0;
    e->phone_index = is_same ? index : 0;
    PUT(e, "\"");
    encoding_put(e, e->phone.digits, e->phone.length);
    PUT(e, "\"");
}

void encoding_boolean(struct encoding *e, bool truth) {
    encoding_put(e, truth ? "true" : "false", truth ? sizeof "true" - 1 : sizeof "false" - 1);
}

static void write_boolean(struct encoding *e, int index) {
    if (lua_isboolean(e->L, index)) {
        encoding_boolean(e, lua_toboolean(e->L, index));
    } else {
        mistake_given(encoding_mistake(e, "not_boolean"), e->L, index);
    }
}

/* Arrays --------------------------------------------------------------------------------------- */

/* Does the table have exactly the keys from 1 to `*length`? It has as many keys, and each of these.
 * Tables are read past their metatables. */
static bool is_array(lua_State *L, int index, size_t *length) {
    size_t count = 0;
    bool has_all = true;
    *length = compat_rawlen(L, index);
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        count++;
    }
    for (size_t i = 1; count == *length && has_all && i < count; i++, lua_pop(L, 1)) {
        lua_rawgeti(L, index, (int)i);
        has_all = !lua_isnil(L, -1);
    }
    return count == *length && has_all;
}

static bool check_array(struct encoding *e, int index, size_t *length, const char *type_code,
                        const char *array_code) {
    if (!lua_istable(e->L, index)) {
        mistake_given(encoding_mistake(e, type_code), e->L, index);
        return false;
    } else if (!is_array(e->L, index, length)) {
        encoding_mistake(e, array_code);
        return false;
    }
    return true;
}

static void write_integers(struct encoding *e, int index) {
    size_t length;
    if (!check_array(e, index, &length, "not_integers", "integers_with_gaps")) {
        return;
    }
    PUT(e, "[");
    for (size_t i = 1; i <= length; i++, lua_pop(e->L, 1)) {
        struct number number;
        lua_rawgeti(e->L, index, (int)i);
        if (read_whole(e, lua_gettop(e->L), &number, "item_not_integer", "item_inexact", i)) {
            encoding_put(e, ",", i > 1);
            encoding_whole(e, number.whole);
        }
    }
    PUT(e, "]");
}

/* Replaces a tag of the form {tag_id = id} on top of the stack by its id. */
static bool open_tag(struct encoding *e, size_t item) {
    lua_State *L = e->L;
    int tag = lua_gettop(L), id = tag + 1;
    lua_pushnil(L);
    for (lua_pushnil(L); lua_next(L, tag) != 0; lua_replace(L, id)) {
        size_t length = 0;
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &length) : "";
        if (length != sizeof "tag_id" - 1 || memcmp(key, "tag_id", length) != 0) {
            struct mistake *mistake = encoding_mistake(e, "tag_with_other_key");
            mistake_key(mistake_number(mistake, "item", item), L, id + 1);
            lua_settop(L, tag);
            return false;
        }
    }
    lua_replace(L, tag);
    return true;
}

static bool read_tag(struct encoding *e, size_t item, struct number *number) {
    if (lua_istable(e->L, -1) && !open_tag(e, item)) {
        return false;
    } else if (!read_whole(e, lua_gettop(e->L), number, "item_not_id", "item_inexact", item)) {
        return false;
    } else if (number->whole <= 0) {
        mistake_number(encoding_mistake(e, "item_not_positive"), "item", item);
        return false;
    }
    return true;
}

static void check_tags(struct encoding *e, const long long *ids, size_t count) {
    if (count > e->max_items) {
        struct mistake *mistake = encoding_mistake(e, "too_many_tags");
        mistake_number(mistake_number(mistake, "count", count), "max", e->max_items);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        size_t j = 0;
        while (ids[j] != ids[i]) {
            j++;
        }
        if (j < i) {
            char id[NUMBER_SIZE];
            mistake_text(encoding_mistake(e, "tag_twice"), "id", id, number_write(id, ids[i]));
        }
    }
}

static void write_tag_ids(struct encoding *e, int index) {
    long long ids[MAX_ITEMS];
    size_t length, mistakes = e->mistake_count;
    if (!check_array(e, index, &length, "not_tags", "tags_with_gaps")) {
        return;
    }
    PUT(e, "[");
    for (size_t i = 1; i <= length; i++, lua_pop(e->L, 1)) {
        struct number number;
        lua_rawgeti(e->L, index, (int)i);
        if (read_tag(e, i, &number)) {
            encoding_put(e, ",", i > 1);
            PUT(e, "{\"tag_id\":");
            encoding_whole(e, number.whole);
            PUT(e, "}");
            if (i <= MAX_ITEMS) {
                ids[i - 1] = number.whole;
            }
        }
    }
    PUT(e, "]");
    if (e->mistake_count == mistakes) {
        check_tags(e, ids, length);
    }
}

/* Custom fields -------------------------------------------------------------------------------- */

static bool is_id(const char *text, size_t length) {
    return length > 0 && text[0] != '0' && strspn(text, "0123456789") == length;
}

static const char *id_of(const struct custom *custom) {
    return custom->id != NULL ? custom->id : custom->digits;
}

/* Longer ids are greater, for none has leading zeros. */
static int compare_customs(const void *a, const void *b) {
    const struct custom *left = a, *right = b;
    if (left->id_length != right->id_length) {
        return left->id_length < right->id_length ? -1 : 1;
    }
    return memcmp(id_of(left), id_of(right), left->id_length);
}

/* Reads the key below the top of the stack. */
static bool read_id(lua_State *L, struct custom *custom) {
    if (lua_type(L, -2) == LUA_TSTRING) {
        custom->id = lua_tolstring(L, -2, &custom->id_length);
        return is_id(custom->id, custom->id_length);
    } else if (lua_type(L, -2) != LUA_TNUMBER) {
        return false;
    }
    struct number number = number_at(L, -2);
    custom->id = NULL;
    custom->id_length = number_write(custom->digits, number.whole);
    return number.is_exact && number.whole > 0;
}

static void read_custom(lua_State *L, struct custom *custom) {
    custom->type = lua_type(L, -1);
    if (custom->type == LUA_TSTRING) {
        custom->text = lua_tolstring(L, -1, &custom->length);
    } else if (custom->type == LUA_TNUMBER) {
        custom->number = number_at(L, -1);
    } else {
        custom->truth = lua_toboolean(L, -1) != 0;
        custom->text = luaL_typename(L, -1);
    }
}

/* Reads all custom fields with a proper id, sorted by it. Gives their number. */
static size_t read_customs(struct encoding *e, int index) {
    lua_State *L = e->L;
    struct custom spare = {0};
    size_t count = 0;
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        struct custom *custom = count < e->custom_capacity ? &e->customs[count] : &spare;
        if (read_id(L, custom)) {
            read_custom(L, custom);
            count++;
        } else {
            mistake_key(encoding_mistake(e, "custom_bad_key"), L, lua_gettop(L) - 1);
        }
    }
    e->max_customs = count > e->max_customs ? count : e->max_customs;
    if (count > 1 && count <= e->custom_capacity) {
        qsort(e->customs, count, sizeof *e->customs, compare_customs);
    }
    return count;
}

static struct mistake *refuse_custom(struct encoding *e, const char *code,
                                     const struct custom *custom) {
    return mistake_text(encoding_mistake(e, code), "id", id_of(custom), custom->id_length);
}

/* Unlike a name, the text of a custom field may hold line breaks. */
static void write_custom_value(struct encoding *e, const struct custom *custom) {
    size_t invalid;
    int flags;
    if (custom->type == LUA_TSTRING) {
        invalid = encoding_string(e, custom->text, custom->length, &flags);
        if (invalid > 0) {
            mistake_number(refuse_custom(e, "custom_not_utf8", custom), "position", invalid);
        }
    } else if (custom->type == LUA_TBOOLEAN) {
        encoding_boolean(e, custom->truth);
    } else if (custom->type != LUA_TNUMBER) {
        struct mistake *mistake = refuse_custom(e, "custom_bad_type", custom);
        mistake_text(mistake, "type", custom->text, strlen(custom->text));
    } else if (custom->number.is_exact) {
        encoding_whole(e, custom->number.whole);
    } else if (number_is_inexact(&custom->number)) {
        refuse_custom(e, "custom_inexact", custom);
    } else if (!isfinite(custom->number.value)) {
        refuse_custom(e, "custom_not_finite", custom);
    } else {
        put_fraction(e, custom->number.value);
    }
}

static void write_customs(struct encoding *e, int index) {
    if (!lua_istable(e->L, index)) {
        mistake_given(encoding_mistake(e, "not_custom"), e->L, index);
        return;
    }
    size_t count = read_customs(e, index);
    count = count <= e->custom_capacity ? count : 0;
    PUT(e, "{");
    for (size_t i = 0; i < count; i++) {
        const struct custom *custom = &e->customs[i];
        if (i > 0 && compare_customs(custom - 1, custom) == 0) {
            refuse_custom(e, "custom_twice", custom);
        }
        encoding_put(e, i > 0 ? ",\"" : "\"", i > 0 ? 2 : 1);
        encoding_put(e, id_of(custom), custom->id_length);
        PUT(e, "\":");
        write_custom_value(e, custom);
    }
    PUT(e, "}");
}

/* ---------------------------------------------------------------------------------------------- */

bool kind_write(struct encoding *e, enum kind kind, int index) {
    static void (*const writers[KINDS])(struct encoding *, int) = {
        [PHONE] = write_phone,    [TEXT] = write_name,       [EMAIL] = write_email,
        [URL] = write_url,        [USER_ID] = write_user_id, [TAG_IDS] = write_tag_ids,
        [CUSTOM] = write_customs, [BOOLEAN] = write_boolean, [INTEGERS] = write_integers,
    };
    e->is_blank = false;
    writers[kind](e, index);
    return !e->is_blank;
}

enum kind kind_check(lua_State *L, int index) {
    static const char *const kinds[KINDS + 1] = {
        [PHONE] = "phone",   [TEXT] = "text",       [EMAIL] = "email",
        [URL] = "url",       [USER_ID] = "user_id", [TAG_IDS] = "tag_ids",
        [CUSTOM] = "custom", [BOOLEAN] = "boolean", [INTEGERS] = "integers",
    };
    return (enum kind)luaL_checkoption(L, index, NULL, kinds);
}
