/* Mistakes of a contact, and the numbers of Lua's that they mention. */
#include "encoding.h"

#include <math.h>
#include <string.h>

/* Doubles from here on cannot tell one whole number from the next. */
#define EXACT 9007199254740992.0

struct number number_at(lua_State *L, int index) {
    struct number number = {false, 0, 0};
#if LUA_VERSION_NUM >= 503
    if (lua_isinteger(L, index)) {
        number.is_exact = true;
        number.whole = (long long)lua_tointeger(L, index);
        number.value = (double)number.whole;
        return number;
    }
#endif
    number.value = (double)lua_tonumber(L, index);
    number.is_exact = fabs(number.value) < EXACT && floor(number.value) == number.value;
    number.whole = number.is_exact ? (long long)number.value : 0;
    return number;
}

bool number_is_inexact(const struct number *number) {
    return !number->is_exact && isfinite(number->value) && floor(number->value) == number->value;
}

size_t number_write(char *out, long long number) {
    char digits[NUMBER_SIZE];
    char *first = digits + sizeof digits;
    unsigned long long left =
        number < 0 ? 0ULL - (unsigned long long)number : (unsigned long long)number;
    do {
        *--first = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (number < 0) {
        *--first = '-';
    }
    size_t length = (size_t)(digits + sizeof digits - first);
    memcpy(out, first, length);
    return length;
}

struct mistake *mistake_begin(struct mistake *mistake, const char *code) {
    mistake->code = code;
    mistake->fact_count = 0;
    return mistake;
}

static struct fact *add_fact(struct mistake *mistake, const char *name) {
    struct fact *fact = &mistake->facts[mistake->fact_count++];
    fact->name = name;
    fact->is_text = false;
    return fact;
}

struct mistake *mistake_number(struct mistake *mistake, const char *name, size_t number) {
    struct fact *fact = add_fact(mistake, name);
    fact->number.is_exact = true;
    fact->number.whole = (long long)number;
    fact->number.value = (double)number;
    return mistake;
}

struct mistake *mistake_text(struct mistake *mistake, const char *name, const char *text,
                             size_t length) {
    struct fact *fact = add_fact(mistake, name);
    fact->is_text = true;
    fact->length = length < MISTAKE_TEXT ? length : MISTAKE_TEXT;
    memcpy(fact->text, text, fact->length);
    return mistake;
}

/* Adds a number or a boolean as it is, and of other values only the type. */
static struct mistake *add_value(struct mistake *mistake, const char *name, lua_State *L,
                                 int index) {
    char type[32] = "a ";
    const char *text = type;
    if (lua_type(L, index) == LUA_TNUMBER) {
        add_fact(mistake, name)->number = number_at(L, index);
        return mistake;
    } else if (lua_type(L, index) == LUA_TBOOLEAN) {
        text = lua_toboolean(L, index) ? "true" : "false";
    } else {
        strncat(type, luaL_typename(L, index), sizeof type - sizeof "a ");
    }
    return mistake_text(mistake, name, text, strlen(text));
}

struct mistake *mistake_given(struct mistake *mistake, lua_State *L, int index) {
    return add_value(mistake, "given", L, index);
}

struct mistake *mistake_key(struct mistake *mistake, lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TSTRING) {
        return add_value(mistake, "key", L, index);
    }
    size_t length;
    const char *text = lua_tolstring(L, index, &length);
    return mistake_text(mistake, "name", text, length);
}

static int compare_facts(const struct fact *a, const struct fact *b) {
    if (a->is_text != b->is_text) {
        return a->is_text ? 1 : -1;
    }
    if (!a->is_text) {
        return a->number.value < b->number.value ? -1 : a->number.value > b->number.value;
    }
    size_t shorter = a->length < b->length ? a->length : b->length;
    int order = memcmp(a->text, b->text, shorter);
    return order != 0 ? order : a->length < b->length ? -1 : a->length > b->length;
}

int mistake_compare(const void *a, const void *b) {
    const struct mistake *left = a, *right = b;
    if (left->field != right->field) {
        return left->field < right->field ? -1 : 1;
    }
    int order = left->fact_count == 0 || right->fact_count == 0
                    ? 0
                    : compare_facts(&left->facts[0], &right->facts[0]);
    return order != 0 ? order : strcmp(left->code, right->code);
}

void mistake_push_values(lua_State *L, const struct mistake *mistake) {
    lua_createtable(L, 0, mistake->fact_count);
    for (int i = 0; i < mistake->fact_count; i++) {
        const struct fact *fact = &mistake->facts[i];
        if (fact->is_text) {
            lua_pushlstring(L, fact->text, fact->length);
        } else if (fact->number.is_exact) {
            lua_pushinteger(L, (lua_Integer)fact->number.whole);
        } else {
            lua_pushnumber(L, (lua_Number)fact->number.value);
        }
        lua_setfield(L, -2, fact->name);
    }
}
