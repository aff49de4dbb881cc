/* The encoder of contacts: made from the table of fields (lua/heymarket/contact/fields.lua), it
 * writes a contact for the server, or names all its mistakes. */
#include "encoding.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_FIELDS = 64, /* bits of a number */
    MAX_NAME = 40,
    /* Nearly every contact needs no more than this. */
    STACK_BYTES = 4096,
    STACK_CUSTOMS = 16,
    STACK_MISTAKES = 8,
};

struct field {
    char prefix[MAX_NAME + sizeof ",\"\":"]; /* ,"name": */
    size_t length;                           /* of the name */
    enum kind kind;
    bool is_required;
    size_t max_items;
};

struct encoder {
    int count;
    unsigned char places[64]; /* of the field that was found last, by a hash of its name */
    struct field fields[];
};

/* Indices of the stack. Each field has a place there for its value. */
enum { CONTACT = 1, COUNTRY, MEMORY, FIRST_VALUE };

static bool is_name(const struct field *field, const char *name, size_t length) {
    return field->length == length && memcmp(field->prefix + 2, name, length) == 0;
}

static int find_field(struct encoder *encoder, const char *name, size_t length) {
    size_t last = length > 0 ? (unsigned char)name[length - 1] : 0;
    unsigned char *place = &encoder->places[(last * 3 + length) % sizeof encoder->places];
    if (is_name(&encoder->fields[*place], name, length)) {
        return *place;
    }
    for (int i = 0; i < encoder->count; i++) {
        if (is_name(&encoder->fields[i], name, length)) {
            *place = (unsigned char)i;
            return i;
        }
    }
    return -1;
}

/* Puts the values of the contact into their places on the stack. Gives which fields have one. */
static uint64_t read_values(struct encoder *encoder, struct encoding *e) {
    lua_State *L = e->L;
    uint64_t given = 0;
    lua_settop(L, FIRST_VALUE - 1 + encoder->count);
    lua_pushnil(L);
    while (lua_next(L, CONTACT) != 0) {
        size_t length;
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &length) : NULL;
        int place = name != NULL ? find_field(encoder, name, length) : -1;
        if (place >= 0) {
            lua_replace(L, FIRST_VALUE + place);
            given |= UINT64_C(1) << place;
            continue;
        }
        lua_pop(L, 1);
        e->field = encoder->count; /* behind all others */
        mistake_key(encoding_mistake(e, "unknown_field"), L, lua_gettop(L));
    }
    return given;
}

static void write_contact(struct encoder *encoder, struct encoding *e) {
    e->length = e->max_customs = e->mistake_count = 0;
    uint64_t given = read_values(encoder, e);
    for (int i = 0; i < encoder->count; i++) {
        const struct field *field = &encoder->fields[i];
        bool is_given = (given >> i & 1) != 0;
        if (!is_given && !field->is_required) {
            continue;
        }
        size_t start = e->length;
        e->field = i;
        if (is_given) {
            e->max_items = field->max_items;
            encoding_put(e, field->prefix, field->length + sizeof ",\"\":" - 1);
            if (!kind_write(e, field->kind, FIRST_VALUE + i)) {
                e->length = start;
            }
        } else {
            encoding_mistake(e, "required");
        }
    }
    encoding_put(e, "}", 1);
}

static bool has_room(const struct encoding *e) {
    return e->length <= e->capacity && e->max_customs <= e->custom_capacity &&
           e->mistake_count <= e->mistake_capacity;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Takes memory for as much as was counted, and never for less than before: where there was no room
 * for a text, its mistakes are found only in the next turn. This may run any Lua code. */
static void allocate(struct encoding *e) {
    e->custom_capacity = larger(e->custom_capacity, e->max_customs);
    e->mistake_capacity = larger(e->mistake_capacity, e->mistake_count);
    e->capacity = larger(e->capacity, e->length);
    size_t customs = e->custom_capacity * sizeof *e->customs;
    size_t mistakes = e->mistake_capacity * sizeof *e->mistakes;
    char *memory = compat_newuserdata(e->L, customs + mistakes + e->capacity);
    lua_replace(e->L, MEMORY);
    e->customs = (struct custom *)memory;
    e->mistakes = (struct mistake *)(memory + customs);
    e->out = memory + customs + mistakes;
}

/* Pushes an array of {place = …, code = …, values = …}; the place behind the last field stands for
 * names that no field has. */
static void push_mistakes(struct encoding *e) {
    lua_State *L = e->L;
    qsort(e->mistakes, e->mistake_count, sizeof *e->mistakes, mistake_compare);
    lua_createtable(L, (int)e->mistake_count, 0);
    for (size_t i = 0; i < e->mistake_count; i++) {
        const struct mistake *mistake = &e->mistakes[i];
        lua_createtable(L, 0, 3);
        lua_pushinteger(L, mistake->field + 1);
        lua_setfield(L, -2, "place");
        lua_pushstring(L, mistake->code);
        lua_setfield(L, -2, "code");
        mistake_push_values(L, mistake);
        lua_setfield(L, -2, "values");
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* encode(contact, default_country) -> body, phone, is_doubtful | nil, mistakes */
static int encode(lua_State *L) {
    struct encoder *encoder = lua_touserdata(L, lua_upvalueindex(1));
    char bytes[STACK_BYTES];
    struct custom customs[STACK_CUSTOMS];
    struct mistake mistakes[STACK_MISTAKES];
    struct encoding e;
    luaL_checktype(L, CONTACT, LUA_TTABLE);
    lua_settop(L, COUNTRY);
    e.L = L;
    e.country = phone_country(L, COUNTRY);
    lua_pushnil(L); /* MEMORY */
    luaL_checkstack(L, encoder->count + 12, "a contact");
    e.out = bytes;
    e.capacity = sizeof bytes;
    e.customs = customs;
    e.custom_capacity = STACK_CUSTOMS;
    e.mistakes = mistakes;
    e.mistake_capacity = STACK_MISTAKES;
    e.phone.length = 0;
    e.phone.is_doubtful = false;
    e.phone_index = 0;
    for (write_contact(encoder, &e); !has_room(&e); write_contact(encoder, &e)) {
        allocate(&e);
    }
    if (e.mistake_count > 0) {
        lua_pushnil(L);
        push_mistakes(&e);
        return 2;
    }
    e.out[0] = '{';
    lua_pushlstring(L, e.out, e.length);
    if (e.phone_index > 0) {
        lua_pushvalue(L, e.phone_index);
    } else {
        lua_pushlstring(L, e.phone.digits, e.phone.length);
    }
    lua_pushboolean(L, e.phone.is_doubtful);
    return 3;
}

/* Reads the field on top of the stack. */
static void read_field(lua_State *L, struct field *field) {
    int top = lua_gettop(L);
    lua_getfield(L, top, "name");
    const char *name = luaL_checklstring(L, -1, &field->length);
    luaL_argcheck(L, field->length <= MAX_NAME, 1, "a name is too long");
    snprintf(field->prefix, sizeof field->prefix, ",\"%s\":", name);
    lua_getfield(L, top, "kind");
    field->kind = kind_check(L, -1);
    lua_getfield(L, top, "required");
    field->is_required = lua_toboolean(L, -1);
    lua_getfield(L, top, "max_items");
    field->max_items = (size_t)luaL_optinteger(L, -1, 0);
    luaL_argcheck(L, field->max_items <= MAX_ITEMS, 1, "max_items is too large");
    lua_settop(L, top);
}

/* encoder(fields) -> encode */
int rows_encoder(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    size_t count = compat_rawlen(L, 1);
    luaL_argcheck(L, count > 0 && count <= MAX_FIELDS, 1, "must be a list of fields");
    struct encoder *encoder =
        compat_newuserdata(L, sizeof *encoder + count * sizeof *encoder->fields);
    memset(encoder, 0, sizeof *encoder);
    encoder->count = (int)count;
    for (int i = 0; i < encoder->count; i++) {
        lua_rawgeti(L, 1, i + 1);
        read_field(L, &encoder->fields[i]);
        lua_pop(L, 1);
    }
    lua_pushcclosure(L, encode, 1);
    return 1;
}
