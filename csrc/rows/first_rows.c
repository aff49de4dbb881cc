/* The first row of each phone of a file, so that later rows with the same phone can be told. */
#include "lot.h"

#include <stdlib.h>
#include <string.h>

#define TYPE "heymarket.first_rows"

enum { MIN_ROOM = 1024 };

struct entry {
    uint64_t phone; /* 0 where there is none */
    double row;
};

struct first_rows {
    struct entry *entries; /* a phone stands at its hash or behind it */
    size_t room;           /* a power of two, at least twice the count */
    size_t count, most;
    bool is_partial; /* there was a phone more */
};

static struct entry *entry_of(const struct first_rows *first, uint64_t phone) {
    size_t mask = first->room - 1, at = phone_hash(phone) & mask;
    while (first->entries[at].phone != 0 && first->entries[at].phone != phone) {
        at = (at + 1) & mask;
    }
    return &first->entries[at];
}

/* Makes room for so many more. */
static void reserve(lua_State *L, struct first_rows *first, size_t more) {
    size_t wanted = first->count + more < first->most ? first->count + more : first->most;
    struct first_rows larger = *first;
    for (larger.room = first->room > 0 ? first->room : MIN_ROOM; larger.room < 2 * wanted;) {
        larger.room *= 2;
    }
    if (larger.room == first->room) {
        return;
    }
    larger.entries = calloc(larger.room, sizeof *larger.entries);
    if (larger.entries == NULL) {
        luaL_error(L, "not enough memory");
    }
    for (size_t i = 0; i < first->room; i++) {
        if (first->entries[i].phone != 0) {
            *entry_of(&larger, first->entries[i].phone) = first->entries[i];
        }
    }
    free(first->entries);
    *first = larger;
}

/* Notes a row, for which there is room. Gives the earlier row that has its phone, or 0. */
static double note(struct first_rows *first, uint64_t phone, double row) {
    struct entry *entry = entry_of(first, phone);
    if (entry->phone == phone) {
        return entry->row;
    } else if (first->count < first->most) {
        *entry = (struct entry){phone, row};
        first->count++;
    } else {
        first->is_partial = true;
    }
    return 0;
}

/* first_rows:add(phone, row) -> the first row with this phone; nil where that is this one */
static int add(lua_State *L) {
    struct first_rows *first = luaL_checkudata(L, 1, TYPE);
    uint64_t phone = phone_check(L, 2);
    double row = compat_checkwhole(L, 3);
    reserve(L, first, 1);
    double earlier = note(first, phone, row);
    if (earlier == 0) {
        return 0;
    }
    lua_pushinteger(L, (lua_Integer)earlier);
    return 1;
}

/* first_rows:add_lot(lot) -> nil, or an array: a row with the phone of an earlier one, that earlier
 * row, and so on */
static int add_lot(lua_State *L) {
    struct first_rows *first = luaL_checkudata(L, 1, TYPE);
    const struct lot *lot = lot_check(L, 2);
    const struct lot_row *rows = lot_rows(lot);
    int found = 0;
    lua_settop(L, 2);
    reserve(L, first, lot->count);
    /* The table is larger than the processor's caches: asked for early, its memory comes at once.
     */
    for (size_t i = 0; i < lot->count; i++) {
        size_t at = phone_hash(phone_number(&rows[i].phone)) & (first->room - 1);
        __builtin_prefetch(&first->entries[at], 1);
    }
    for (size_t i = 0; i < lot->count; i++) {
        double row = rows[i].position;
        double earlier = note(first, phone_number(&rows[i].phone), row);
        if (earlier == 0) {
            continue;
        } else if (found == 0) {
            lua_newtable(L);
        }
        lua_pushinteger(L, (lua_Integer)row);
        lua_rawseti(L, 3, ++found);
        lua_pushinteger(L, (lua_Integer)earlier);
        lua_rawseti(L, 3, ++found);
    }
    return found > 0 ? 1 : 0;
}

/* first_rows:is_partial() -> were there more phones than it remembers? */
static int is_partial(lua_State *L) {
    const struct first_rows *first = luaL_checkudata(L, 1, TYPE);
    lua_pushboolean(L, first->is_partial);
    return 1;
}

static int release(lua_State *L) {
    struct first_rows *first = luaL_checkudata(L, 1, TYPE);
    free(first->entries);
    memset(first, 0, sizeof *first);
    return 0;
}

/* first_rows(most) -> remembers so many phones */
int rows_first_rows(lua_State *L) {
    double most = compat_checkwhole(L, 1);
    luaL_argcheck(L, most >= 1 && most <= INT32_MAX, 1, "must be a number of phones");
    struct first_rows *first = compat_newobject(L, TYPE, sizeof *first);
    first->most = (size_t)most;
    return 1;
}

void rows_prepare_first_rows(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"add", add}, {"add_lot", add_lot}, {"is_partial", is_partial}, {NULL, NULL}};
    compat_newtype(L, TYPE, methods, release);
}
