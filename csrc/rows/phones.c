/* The set of phones in flight. A phone is kept as a number. */
#include "lot.h"

#include <stdlib.h>
#include <string.h>

#define TYPE "heymarket.phones"

enum { MIN_ROOM = 16, MAX_PREFIX = 4 };

struct phones {
    uint64_t *slots; /* 0 where there is none; a phone stands at its hash or behind it */
    size_t room;     /* a power of two, at least twice the count */
    size_t count;
};

static uint64_t number_of(const char *digits, size_t length) {
    uint64_t number = 1;
    for (size_t i = 0; i < length; i++) {
        number = number * 10 + (uint64_t)(digits[i] - '0');
    }
    return number;
}

uint64_t phone_number(const struct phone *phone) {
    return number_of(phone->digits, phone->length);
}

size_t phone_hash(uint64_t number) {
    return (size_t)((number * UINT64_C(0x9E3779B97F4A7C15)) >> 20);
}

static size_t home_of(const struct phones *phones, uint64_t number) {
    return phone_hash(number) & (phones->room - 1);
}

/* The slot of a number: where it is, or where it may be put. */
static size_t slot_of(const struct phones *phones, uint64_t number) {
    size_t slot = home_of(phones, number);
    while (phones->slots[slot] != 0 && phones->slots[slot] != number) {
        slot = (slot + 1) & (phones->room - 1);
    }
    return slot;
}

/* Makes room for so many more. */
static void reserve(lua_State *L, struct phones *phones, size_t more) {
    struct phones larger = *phones;
    for (larger.room = larger.room > 0 ? larger.room : MIN_ROOM;
         larger.room < 2 * (phones->count + more);) {
        larger.room *= 2;
    }
    if (larger.room == phones->room) {
        return;
    }
    larger.slots = calloc(larger.room, sizeof *larger.slots);
    if (larger.slots == NULL) {
        luaL_error(L, "not enough memory");
    }
    for (size_t i = 0; i < phones->room; i++) {
        if (phones->slots[i] != 0) {
            larger.slots[slot_of(&larger, phones->slots[i])] = phones->slots[i];
        }
    }
    free(phones->slots);
    *phones = larger;
}

/* Adds a number, for which there is room. False where it was there. */
static bool insert(struct phones *phones, uint64_t number) {
    size_t slot = slot_of(phones, number);
    bool is_new = phones->slots[slot] == 0;
    phones->slots[slot] = number;
    phones->count += is_new;
    return is_new;
}

/* Takes a number out, and closes the gap: a phone behind it that does not stand at home moves. */
static void take_out(struct phones *phones, uint64_t number) {
    if (phones->room == 0) {
        return;
    }
    size_t mask = phones->room - 1, gap = slot_of(phones, number);
    if (phones->slots[gap] == 0) {
        return;
    }
    phones->count--;
    for (size_t at = (gap + 1) & mask; phones->slots[at] != 0; at = (at + 1) & mask) {
        size_t home = home_of(phones, phones->slots[at]);
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            phones->slots[gap] = phones->slots[at];
            gap = at;
        }
    }
    phones->slots[gap] = 0;
}

/* Lots ----------------------------------------------------------------------------------------- */

/* See order.lua: is one the other with one to four digits in front? */
static bool is_confusable(const struct phone *a, const struct phone *b) {
    const struct phone *shorter = a->length < b->length ? a : b, *longer = shorter == a ? b : a;
    size_t more = longer->length - shorter->length;
    return more >= 1 && more <= MAX_PREFIX &&
           memcmp(longer->digits + more, shorter->digits, shorter->length) == 0;
}

/* Phones of one length are never confusable, and most lots have no others. */
static bool has_confusable(const struct lot_row *rows, size_t count) {
    for (size_t i = 1; i < count; i++) {
        for (size_t j = 0; rows[i].phone.length != rows[0].phone.length && j < count; j++) {
            if (is_confusable(&rows[i].phone, &rows[j].phone)) {
                return true;
            }
        }
    }
    return false;
}

/* phones:add_lot(lot) -> true where none of its phones was there and all may stand in one request.
 * Otherwise nothing is added. */
static int add_lot(lua_State *L) {
    struct phones *phones = luaL_checkudata(L, 1, TYPE);
    const struct lot *lot = lot_check(L, 2);
    const struct lot_row *rows = lot_rows(lot);
    reserve(L, phones, lot->count);
    size_t added = 0;
    bool is_free = !has_confusable(rows, lot->count);
    while (is_free && added < lot->count) {
        is_free = insert(phones, phone_number(&rows[added].phone));
        added += is_free;
    }
    while (!is_free && added > 0) {
        added--;
        take_out(phones, phone_number(&rows[added].phone));
    }
    lua_pushboolean(L, is_free);
    return 1;
}

/* phones:remove_lot(lot) */
static int remove_lot(lua_State *L) {
    struct phones *phones = luaL_checkudata(L, 1, TYPE);
    const struct lot *lot = lot_check(L, 2);
    const struct lot_row *rows = lot_rows(lot);
    for (size_t i = 0; i < lot->count; i++) {
        take_out(phones, phone_number(&rows[i].phone));
    }
    return 0;
}

/* Single phones -------------------------------------------------------------------------------- */

uint64_t phone_check(lua_State *L, int index) {
    size_t length;
    const char *digits = luaL_checklstring(L, index, &length);
    luaL_argcheck(L, length <= PHONE_MAX_DIGITS && strspn(digits, "0123456789") == length, index,
                  "must be the digits of a phone");
    return number_of(digits, length);
}

/* phones:add(phone) -> true; false where it was there */
static int add(lua_State *L) {
    struct phones *phones = luaL_checkudata(L, 1, TYPE);
    uint64_t number = phone_check(L, 2);
    reserve(L, phones, 1);
    lua_pushboolean(L, insert(phones, number));
    return 1;
}

/* phones:remove(phone) */
static int remove_phone(lua_State *L) {
    struct phones *phones = luaL_checkudata(L, 1, TYPE);
    take_out(phones, phone_check(L, 2));
    return 0;
}

static int release(lua_State *L) {
    struct phones *phones = luaL_checkudata(L, 1, TYPE);
    free(phones->slots);
    memset(phones, 0, sizeof *phones);
    return 0;
}

/* phones() -> an empty set */
int rows_phones(lua_State *L) {
    compat_newobject(L, TYPE, sizeof(struct phones));
    return 1;
}

void rows_prepare_phones(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"add", add}, {"add_lot", add_lot}, {"remove", remove_phone}, {"remove_lot", remove_lot},
        {NULL, NULL},
    };
    compat_newtype(L, TYPE, methods, release);
}
