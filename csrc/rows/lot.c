/* A lot of contacts: the body of one request, and what is needed to speak of each contact. A lot
 * that the server accepts whole never becomes Lua tables; in every other case Lua takes it apart.
 */
#include "lot.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define TYPE "heymarket.lot"

enum { FINGERPRINT = 4 }; /* bytes of a hash, see bulk/notes.lua */

struct lot *lot_check(lua_State *L, int index) {
    return luaL_checkudata(L, index, TYPE);
}

const struct lot_row *lot_rows(const struct lot *lot) {
    return (const struct lot_row *)lot->rows.data;
}

size_t lot_bytes(const struct lot *lot, size_t more) {
    /* A bracket or a comma before it, and the last bracket. */
    return lot->bodies.length + more + 2;
}

char *lot_room(struct lot *lot, size_t length) {
    /* A bracket or a comma stands before it. */
    return buffer_reserve(&lot->bodies, length + 1) ? lot->bodies.data + lot->bodies.length + 1
                                                    : NULL;
}

void lot_add(lua_State *L, struct lot *lot, const struct phone *phone, size_t body_length,
             const char *origin, size_t origin_length) {
    struct lot_row row = {lot->next_index, lot->next_position, *phone,
                          lot->bodies.length + 1 + body_length,
                          lot->origins.length + origin_length};
    if (!buffer_reserve(&lot->origins, origin_length) ||
        !buffer_add(&lot->rows, &row, sizeof row)) {
        luaL_error(L, "not enough memory");
    }
    buffer_add(&lot->origins, origin, origin_length);
    lot->bodies.data[lot->bodies.length] = lot->count > 0 ? ',' : '[';
    lot->bodies.length = row.body_end;
    lot->count++;
    lot->doubtful += phone->is_doubtful;
    lot->next_index++;
    lot->next_position++;
}

/* lot:at(index, position): the contact that is added next has these, the one behind it the numbers
 * that follow. */
static int at(lua_State *L) {
    struct lot *lot = lot_check(L, 1);
    double index = compat_checkwhole(L, 2), position = compat_checkwhole(L, 3);
    lot->next_index = index;
    lot->next_position = position;
    return 0;
}

/* lot:add(phone, body, origin, is_doubtful) adds a contact that Lua has checked. */
static int add(lua_State *L) {
    struct lot *lot = lot_check(L, 1);
    struct phone phone = {.length = 0};
    size_t body_length, origin_length;
    const char *digits = luaL_checklstring(L, 2, &phone.length);
    const char *body = luaL_checklstring(L, 3, &body_length);
    const char *origin = luaL_checklstring(L, 4, &origin_length);
    luaL_argcheck(L, phone.length <= PHONE_MAX_DIGITS, 2, "must be a phone");
    memcpy(phone.digits, digits, phone.length);
    phone.is_doubtful = lua_toboolean(L, 5);
    char *room = body_length < SIZE_MAX / 8 ? lot_room(lot, body_length) : NULL;
    if (room == NULL) {
        return luaL_error(L, "not enough memory");
    }
    memcpy(room, body, body_length);
    lot_add(L, lot, &phone, body_length, origin, origin_length);
    return 0;
}

/* lot:bytes(more) -> length of its body, with one more body of this length */
static int bytes(lua_State *L) {
    const struct lot *lot = lot_check(L, 1);
    lua_pushinteger(L, (lua_Integer)lot_bytes(lot, (size_t)compat_checkwhole(L, 2)));
    return 1;
}

/* lot:count() -> number of its contacts */
static int count(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)lot_check(L, 1)->count);
    return 1;
}

/* lot:doubtful() -> number of its contacts whose phone is doubtful */
static int doubtful(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)lot_check(L, 1)->doubtful);
    return 1;
}

/* lot:range() -> indices of its first and its last contact */
static int range(lua_State *L) {
    const struct lot *lot = lot_check(L, 1);
    const struct lot_row *rows = lot_rows(lot);
    luaL_argcheck(L, lot->count > 0, 1, "is empty");
    lua_pushinteger(L, (lua_Integer)rows[0].index);
    lua_pushinteger(L, (lua_Integer)rows[lot->count - 1].index);
    return 2;
}

static void add_range(luaL_Buffer *ranges, double first, double last) {
    char text[2 * NUMBER_SIZE];
    size_t length = number_write(text, (long long)first);
    if (first < last) {
        text[length++] = '-';
        length += number_write(text + length, (long long)last);
    }
    luaL_addlstring(ranges, text, length);
}

/* lot:ranges() -> the indices of its contacts, as 1-3,5 */
static int ranges(lua_State *L) {
    struct lot *lot = lot_check(L, 1);
    const struct lot_row *rows = lot_rows(lot);
    luaL_Buffer found;
    lua_settop(L, 1);
    lot->users++; /* as in `entries` */
    luaL_buffinit(L, &found);
    for (size_t i = 0, first = 0; i < lot->count; i++) {
        if (i + 1 == lot->count || rows[i + 1].index != rows[i].index + 1) {
            if (first > 0) {
                luaL_addchar(&found, ',');
            }
            add_range(&found, rows[first].index, rows[i].index);
            first = i + 1;
        }
    }
    luaL_pushresult(&found);
    lot->users--;
    return 1;
}

/* lot:body() -> the JSON array of its contacts */
static int body(lua_State *L) {
    struct lot *lot = lot_check(L, 1);
    lua_settop(L, 1);
    if (!buffer_add(&lot->bodies, lot->count > 0 ? "]" : "[]", lot->count > 0 ? 1 : 2)) {
        return luaL_error(L, "not enough memory");
    }
    size_t length = lot->bodies.length;
    lot->bodies.length -= lot->count > 0 ? 1 : 2;
    lot->users++;
    lua_pushlstring(L, lot->bodies.data, length);
    lot->users--;
    return 1;
}

static bool add_fingerprint(struct lot *lot, double index, const char *body, size_t length) {
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[16];
    char hex[2 * FINGERPRINT], prefix[NUMBER_SIZE + 1];
    crypto_generichash_state state;
    size_t prefix_length = number_write(prefix, (long long)index);
    prefix[prefix_length++] = ':';
    crypto_generichash_init(&state, NULL, 0, sizeof digest);
    crypto_generichash_update(&state, (const unsigned char *)prefix, prefix_length);
    crypto_generichash_update(&state, (const unsigned char *)body, length);
    crypto_generichash_final(&state, digest, sizeof digest);
    for (size_t i = 0; i < FINGERPRINT; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    return buffer_add(&lot->prints, hex, sizeof hex);
}

/* lot:fingerprints() -> the fingerprints of its contacts, as bulk/notes.lua makes them */
static int fingerprints(lua_State *L) {
    struct lot *lot = lot_check(L, 1);
    const struct lot_row *rows = lot_rows(lot);
    lua_settop(L, 1);
    rows_setup_sodium(L);
    /* They are asked for twice: before the lot is sent, and after the answer. */
    size_t done = lot->prints.length / (2 * FINGERPRINT);
    for (size_t i = done, start = i > 0 ? rows[i - 1].body_end + 1 : 1; i < lot->count; i++) {
        if (!add_fingerprint(lot, rows[i].index, lot->bodies.data + start,
                             rows[i].body_end - start)) {
            return luaL_error(L, "not enough memory");
        }
        start = rows[i].body_end + 1;
    }
    lot->users++;
    lua_pushlstring(L, lot->prints.data, lot->prints.length);
    lot->users--;
    return 1;
}

/* The keys of an entry, on the stack from here on. */
enum { KEY_INDEX = 3, KEY_POSITION, KEY_ORIGIN, KEY_PHONE, KEY_BODY };
enum { ENTRY_SLOTS = 8 }; /* with those that are set later */

static void set_number(lua_State *L, int key, double number) {
    lua_pushvalue(L, key);
    lua_pushinteger(L, (lua_Integer)number);
    lua_rawset(L, -3);
}

static void set_text(lua_State *L, int key, const char *text, size_t length) {
    lua_pushvalue(L, key);
    lua_pushlstring(L, text, length);
    lua_rawset(L, -3);
}

/* lot:entries() -> an array of its contacts as entries of bulk/source.lua */
static int entries(lua_State *L) {
    static const char *const keys[] = {"index", "position", "origin", "phone", "body"};
    struct lot *lot = lot_check(L, 1);
    const struct lot_row *rows = lot_rows(lot);
    lua_settop(L, 1);
    lot->users++; /* an error leaves it so: then only the finalizer frees the lot */
    lua_createtable(L, (int)lot->count, 0);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        lua_pushstring(L, keys[i]);
    }
    size_t body_start = 1, origin_start = 0;
    for (size_t i = 0; i < lot->count; i++) {
        lua_createtable(L, 0, ENTRY_SLOTS);
        set_number(L, KEY_INDEX, rows[i].index);
        set_number(L, KEY_POSITION, rows[i].position);
        set_text(L, KEY_ORIGIN, lot->origins.data + origin_start,
                 rows[i].origin_end - origin_start);
        set_text(L, KEY_PHONE, rows[i].phone.digits, rows[i].phone.length);
        set_text(L, KEY_BODY, lot->bodies.data + body_start, rows[i].body_end - body_start);
        if (rows[i].phone.is_doubtful) {
            lua_pushboolean(L, 1);
            lua_setfield(L, -2, "is_doubtful");
        }
        lua_rawseti(L, 2, (int)i + 1);
        body_start = rows[i].body_end + 1;
        origin_start = rows[i].origin_end;
    }
    lot->users--;
    lua_settop(L, 2);
    return 1;
}

static void release(struct lot *lot) {
    lot->count = 0;
    struct buffer *const buffers[] = {&lot->rows, &lot->bodies, &lot->origins, &lot->prints};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        free(buffers[i]->data);
        *buffers[i] = (struct buffer){NULL, 0, 0};
    }
}

static int collect(lua_State *L) {
    release(lot_check(L, 1));
    return 0;
}

/* lot:free() gives its memory back at once, for the collector does not know how much it is. */
static int free_now(lua_State *L) {
    struct lot *lot = lot_check(L, 1);
    if (lot->users == 0) {
        release(lot);
    }
    return 0;
}

/* lot(index, position) -> an empty lot, whose first contact will have this index and position */
int rows_lot(lua_State *L) {
    double index = compat_checkwhole(L, 1), position = compat_checkwhole(L, 2);
    struct lot *lot = compat_newobject(L, TYPE, sizeof *lot);
    lot->next_index = index;
    lot->next_position = position;
    return 1;
}

void rows_prepare_lot(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"add", add},         {"at", at},
        {"body", body},       {"bytes", bytes},
        {"count", count},     {"doubtful", doubtful},
        {"entries", entries}, {"fingerprints", fingerprints},
        {"free", free_now},   {"range", range},
        {"ranges", ranges},   {NULL, NULL},
    };
    compat_newtype(L, TYPE, methods, collect);
}
