/* Ordinary rows of a CSV file become a lot of contacts: a row whose cells are plainly right is
 * checked and written here. Every other row is odd, and left to Lua, which knows the words for what
 * is wrong with it. */
#include "csv.h"
#include "lot.h"

#include <string.h>
#include <strings.h>

enum {
    MAX_DIGITS = 15, /* of a number that every Lua holds exactly */
    ROOM = 4096,     /* for the body of a row; more is taken where that is too little */
    STACK_CELLS = 64,
    MAX_WIDTH = 1 << 20,
};

/* A column that has a field. */
struct op {
    size_t column;
    enum kind kind;
    bool without_false;  /* false is left out */
    bool is_alternative; /* counts only where the ops of this field before it had blank cells */
    size_t max_items;
    const char *prefix; /* ,"name": */
    size_t length;
};

/* Made once for a file. But for the hints it is never changed: a finalizer may call `take` in the
 * midst of `take`. The prefixes stand behind the columns. */
struct rows {
    size_t body_hint, origin_hint; /* bytes that the last lot has taken: the next takes as many */
    struct csv_format format;
    size_t width; /* number of columns */
    size_t max_record;
    size_t count;
    struct op ops[]; /* in the order of the fields; custom fields by their id */
};

#define TYPE "heymarket.csv_rows"

/* Cells ---------------------------------------------------------------------------------------- */

/* Can a character that is trimmed begin with this byte? */
static bool begins_trimmed(unsigned char byte) {
    switch (byte) {
    case 0xC2:
    case 0xD8:
    case 0xE1:
    case 0xE2:
    case 0xE3:
    case 0xEF:
        return true;
    default:
        return byte == ' ' || (byte >= '\t' && byte <= '\r');
    }
}

static bool is_trimmed(const unsigned char *at, size_t length) {
    return begins_trimmed(*at) &&
           (*at < 0x80 || (sorts_of(utf8_point(at, length)) & (IS_BLANK | IS_MARK)) != 0);
}

/* The character that ends at `end`; NULL where it is not UTF-8, or certainly none to be trimmed. */
static const unsigned char *last_character(const unsigned char *from, const unsigned char *end) {
    const unsigned char *at = end - 1;
    while (at > from && end - at < 4 && (*at & 0xC0) == 0x80) {
        at--;
    }
    if (!begins_trimmed(*at)) {
        return NULL;
    }
    bool is_whole =
        *at < 0x80 ? at + 1 == end : utf8_length(at, (size_t)(end - at)) == (size_t)(end - at);
    return is_whole ? at : NULL;
}

static bool is_plain(char byte) {
    return byte > ' ' && byte < 0x7F;
}

/* As text.trim of Lua. */
static void trim(struct csv_cell *cell) {
    if (cell->length == 0 || (is_plain(cell->text[0]) && is_plain(cell->text[cell->length - 1]))) {
        return;
    }
    const unsigned char *at = (const unsigned char *)cell->text, *end = at + cell->length;
    while (at < end && begins_trimmed(*at)) {
        size_t length = *at < 0x80 ? 1 : utf8_length(at, (size_t)(end - at));
        if (length == 0 || !is_trimmed(at, length)) {
            break;
        }
        at += length;
    }
    while (at < end) {
        const unsigned char *last = last_character(at, end);
        if (last == NULL || !is_trimmed(last, (size_t)(end - last))) {
            break;
        }
        end = last;
    }
    cell->text = (const char *)at;
    cell->length = (size_t)(end - at);
}

static bool read_integer(struct csv_cell cell, long long *number) {
    trim(&cell);
    bool is_negative = cell.length > 0 && cell.text[0] == '-';
    const char *digits = cell.text + is_negative, *end = cell.text + cell.length;
    *number = 0;
    if (digits == end || end - digits > MAX_DIGITS) {
        return false;
    }
    for (; digits < end; digits++) {
        if (*digits < '0' || *digits > '9') {
            return false;
        }
        *number = *number * 10 + (*digits - '0');
    }
    *number = is_negative ? -*number : *number;
    return true;
}

/* Each of these writes a cell that is not blank. False: it is odd. */

static bool write_text(struct encoding *e, const struct csv_cell *cell, const struct op *op) {
    int flags;
    size_t invalid = encoding_string(e, cell->text, cell->length, &flags);
    switch (op->kind) {
    case CUSTOM:
        return invalid == 0;
    case EMAIL:
        return invalid == 0 && flags == 0 && text_is_email(cell->text, cell->length);
    default:
        return invalid == 0 && (flags & HAS_CONTROL) == 0;
    }
}

static bool write_url(struct encoding *e, const struct csv_cell *cell) {
    int flags;
    bool is_long = cell->length > sizeof "https://" - 1; /* the test reads so far */
    return encoding_string(e, cell->text, cell->length, &flags) == 0 && is_long &&
           (flags & (HAS_CONTROL | HAS_SPACE)) == 0 && text_is_url(cell->text);
}

static bool write_phone(struct encoding *e, const struct csv_cell *cell) {
    if (!phone_read(&e->phone, cell->text, cell->length, &e->country, &e->spare)) {
        return false;
    }
    encoding_put(e, "\"", 1);
    encoding_put(e, e->phone.digits, e->phone.length);
    encoding_put(e, "\"", 1);
    return true;
}

static bool write_boolean(struct encoding *e, const struct csv_cell *cell, bool *truth) {
    static const struct {
        size_t length;
        const char *text;
    } words[] = {{3, "yes"},   {2, "no"}, {1, "y"}, {1, "n"}, {4, "true"},
                 {5, "false"}, {1, "t"},  {1, "f"}, {1, "1"}, {1, "0"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (words[i].length == cell->length &&
            strncasecmp(words[i].text, cell->text, cell->length) == 0) {
            *truth = i % 2 == 0;
            encoding_boolean(e, *truth);
            return true;
        }
    }
    return false;
}

static bool write_user_id(struct encoding *e, const struct csv_cell *cell) {
    long long id;
    if (!read_integer(*cell, &id) || (id <= 0 && id != -1)) {
        return false;
    }
    encoding_whole(e, id);
    return true;
}

/* Numbers with ; between them. */
static bool write_integers(struct encoding *e, const struct csv_cell *cell, const struct op *op) {
    const char *at = cell->text, *end = at + cell->length;
    bool are_tags = op->kind == TAG_IDS;
    long long ids[MAX_ITEMS] = {0};
    for (size_t count = 0;; count++) {
        const char *semicolon = memchr(at, ';', (size_t)(end - at));
        struct csv_cell piece = {at, (size_t)((semicolon != NULL ? semicolon : end) - at), false};
        long long number;
        if (!read_integer(piece, &number) ||
            (are_tags && (number <= 0 || count == op->max_items))) {
            return false;
        }
        for (size_t i = 0; are_tags && i < count; i++) {
            if (ids[i] == number) {
                return false;
            }
        }
        encoding_put(e, count > 0 ? "," : "[", 1);
        if (are_tags) {
            ids[count] = number;
            encoding_put(e, "{\"tag_id\":", sizeof "{\"tag_id\":" - 1);
        }
        encoding_whole(e, number);
        encoding_put(e, "}", are_tags);
        if (semicolon == NULL) {
            break;
        }
        at = semicolon + 1;
    }
    encoding_put(e, "]", 1);
    return true;
}

/* Rows ----------------------------------------------------------------------------------------- */

static bool write_cell(struct encoding *e, const struct csv_cell *cell, const struct op *op,
                       bool *truth) {
    switch (op->kind) {
    case PHONE:
        return write_phone(e, cell);
    case URL:
        return write_url(e, cell);
    case BOOLEAN:
        return write_boolean(e, cell, truth);
    case USER_ID:
        return write_user_id(e, cell);
    case TAG_IDS:
    case INTEGERS:
        return write_integers(e, cell, op);
    default:
        return write_text(e, cell, op);
    }
}

/* Makes one quote of two, in `scratch`. Gives where its free part begins. */
static char *undouble(struct csv_cell *cell, char *scratch) {
    const char *at = cell->text, *end = at + cell->length, *quote;
    cell->text = scratch;
    while ((quote = memchr(at, '"', (size_t)(end - at))) != NULL) {
        size_t length = (size_t)(quote + 1 - at);
        memcpy(scratch, at, length);
        scratch += length;
        at = quote + 2;
    }
    memcpy(scratch, at, (size_t)(end - at));
    scratch += end - at;
    cell->length = (size_t)(scratch - cell->text);
    return scratch;
}

/* Writes the body of a row. `scratch` has room for all its cells. False: it is odd. */
static bool write_row(const struct rows *rows, struct csv_cell *cells, struct encoding *e,
                      char *scratch, bool *is_left_out) {
    bool in_custom = false, is_given = false;
    e->length = e->phone.length = 0;
    *is_left_out = false;
    for (const struct op *op = rows->ops; op < rows->ops + rows->count; op++) {
        struct csv_cell *cell = &cells[op->column];
        if (op->is_alternative && is_given) {
            continue;
        }
        is_given = false;
        if (cell->is_doubled) {
            scratch = undouble(cell, scratch);
        }
        trim(cell);
        if (cell->length == 0) {
            continue;
        }
        is_given = true;
        size_t skipped = 0;
        if (in_custom && op->kind != CUSTOM) {
            encoding_put(e, "}", 1);
            in_custom = false;
        } else if (!in_custom && op->kind == CUSTOM) {
            encoding_put(e, ",\"custom\":{", sizeof ",\"custom\":{" - 1);
            in_custom = true;
            skipped = 1; /* the comma */
        }
        bool truth = true;
        size_t before = e->length;
        encoding_put(e, op->prefix + skipped, op->length - skipped);
        if (!write_cell(e, cell, op, &truth)) {
            return false;
        } else if (!truth && op->without_false) {
            *is_left_out = true;
            e->length = before;
        }
    }
    encoding_put(e, "}}", in_custom ? 2 : 1);
    return e->phone.length > 0;
}

/* Indices of the stack. */
enum { ROWS = 1, BUFFER, FROM, COUNT, BYTES, COUNTRY, LOT, SCRATCH };

/* The body of the next row is written into the lot, where it stays if the row is ordinary. */
static void take_room(struct encoding *e, struct lot *lot, size_t room) {
    e->out = lot_room(lot, room);
    if (e->out == NULL) {
        luaL_error(e->L, "not enough memory");
    }
    e->capacity = room;
}

/* Makes room for all of a lot at once. Where this fails, it grows row by row. */
static void reserve(const struct rows *rows, struct lot *lot, double most) {
    if (lot->count == 0 && most <= ROOM) {
        buffer_reserve(&lot->rows, (size_t)most * sizeof(struct lot_row));
        buffer_reserve(&lot->bodies, rows->body_hint);
        buffer_reserve(&lot->origins, rows->origin_hint);
    }
}

/* rows:take(buffer, from, count, bytes, default_country, lot) -> taken, next, left_out, is_cut,
 * is_full
 *
 * Adds the rows that begin at `from` to the lot, at most so many, as long as its body has no more
 * than so many bytes, and up to the first row that is odd or not whole. The first contact of a lot
 * may be larger. `left_out` says in how many rows a false was left out; `is_cut`, whether the
 * buffer ends before the next row; `is_full`, whether the body of the next row is too large. */
static int take(lua_State *L) {
    struct rows *rows = luaL_checkudata(L, ROWS, TYPE);
    size_t length;
    const char *buffer = luaL_checklstring(L, BUFFER, &length), *end = buffer + length;
    double from = compat_checkwhole(L, FROM), most = compat_checkwhole(L, COUNT);
    double max_bytes = compat_checkwhole(L, BYTES);
    luaL_argcheck(L, from >= 1 && from <= (double)length + 1, FROM, "is outside of the buffer");
    struct lot *lot = lot_check(L, LOT);
    lua_settop(L, LOT);
    struct encoding e = {.L = L, .country = phone_country(L, COUNTRY)};
    size_t left_out = 0;
    double taken = 0;
    bool is_full = false;
    lua_pushnil(L); /* SCRATCH: the cells of a row without their doubled quotes */
    struct csv_cell stack_cells[STACK_CELLS], *cells = stack_cells;
    if (rows->width > STACK_CELLS) {
        cells = compat_newuserdata(L, rows->width * sizeof *cells);
    }
    char stack_scratch[ROOM], *scratch = stack_scratch;
    size_t scratch_size = ROOM, room = ROOM;
    enum csv_state state = CSV_SOUND;
    const char *at = buffer + (size_t)from - 1;
    reserve(rows, lot, most);
    while (taken < most) {
        const char *after;
        bool is_left_out;
        state = csv_split(&rows->format, at, end, cells, rows->width, &after);
        if (state != CSV_SOUND) {
            break;
        }
        size_t size = (size_t)(after - at);
        if (size > rows->max_record) {
            state = CSV_ODD;
            break;
        } else if (size > scratch_size) {
            scratch = compat_newuserdata(L, size); /* this may run any Lua code */
            scratch_size = size;
            lua_replace(L, SCRATCH);
        }
        take_room(&e, lot, room);
        bool is_plain = write_row(rows, cells, &e, scratch, &is_left_out);
        if (is_plain && e.length > e.capacity) {
            room = e.length;
            continue; /* what had no room was not checked */
        }
        is_full = is_plain && lot->count > 0 && (double)lot_bytes(lot, e.length) > max_bytes;
        if (!is_plain || is_full) {
            state = CSV_ODD;
            break;
        }
        e.out[0] = '{';
        lot_add(L, lot, &e.phone, e.length, at, size);
        taken++;
        left_out += is_left_out;
        at = after;
    }
    if (taken > 0) {
        rows->body_hint = lot->bodies.length + ROOM + ROOM / 2; /* no two lots are of one length */
        rows->origin_hint = lot->origins.length + ROOM / 2;
    }
    lua_pushinteger(L, (lua_Integer)taken);
    lua_pushinteger(L, (lua_Integer)(at - buffer) + 1);
    lua_pushinteger(L, (lua_Integer)left_out);
    lua_pushboolean(L, state == CSV_CUT);
    lua_pushboolean(L, is_full);
    return 5;
}

/* Reads the column on top of the stack: {column, kind, prefix, max_items, without_false,
 * is_alternative}. The prefix is copied to `room`, which ends at `end`. Gives the room behind it.
 */
static char *read_op(lua_State *L, const struct rows *rows, struct op *op, char *room,
                     const char *end) {
    int top = lua_gettop(L);
    lua_getfield(L, top, "column");
    double column = compat_checkwhole(L, -1);
    luaL_argcheck(L, column >= 1 && column <= (double)rows->width, 1, "there is no such column");
    op->column = (size_t)column - 1;
    lua_getfield(L, top, "kind");
    op->kind = kind_check(L, -1);
    lua_getfield(L, top, "max_items");
    op->max_items = (size_t)luaL_optinteger(L, -1, 0);
    luaL_argcheck(L, op->max_items <= MAX_ITEMS, 1, "max_items is too large");
    lua_getfield(L, top, "without_false");
    op->without_false = lua_toboolean(L, -1);
    lua_getfield(L, top, "is_alternative");
    op->is_alternative = lua_toboolean(L, -1);
    lua_getfield(L, top, "prefix");
    const char *prefix = luaL_checklstring(L, -1, &op->length);
    luaL_argcheck(L, op->length > 0 && op->length <= (size_t)(end - room), 1, "prefixes changed");
    op->prefix = memcpy(room, prefix, op->length);
    lua_settop(L, top);
    return room + op->length;
}

/* Bytes of all prefixes. */
static size_t prefix_bytes(lua_State *L, int columns, size_t count) {
    size_t bytes = 0, length;
    for (size_t i = 1; i <= count; i++, lua_pop(L, 2)) {
        lua_rawgeti(L, columns, (int)i);
        luaL_checktype(L, -1, LUA_TTABLE);
        lua_getfield(L, -1, "prefix");
        luaL_checklstring(L, -1, &length);
        bytes += length;
    }
    return bytes;
}

static int release(lua_State *L) {
    (void)L; /* nothing but the memory of the userdata */
    return 0;
}

/* csv_rows(columns, width, max_record, delimiter, ending) -> rows */
int rows_csv_rows(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    size_t count = compat_rawlen(L, 1);
    double width = compat_checkwhole(L, 2), max_record = compat_checkwhole(L, 3);
    struct csv_format format = csv_check_format(L, 4, 5);
    luaL_argcheck(L, width >= 1 && width <= MAX_WIDTH, 2, "must be a number of columns");
    luaL_argcheck(L, count > 0 && count <= (size_t)width, 1, "must be a list of columns");
    lua_settop(L, 1);
    size_t bytes = prefix_bytes(L, 1, count);
    struct rows *rows = compat_newobject(L, TYPE, sizeof *rows + count * sizeof *rows->ops + bytes);
    rows->format = format;
    rows->width = (size_t)width;
    rows->max_record = (size_t)max_record;
    rows->count = count;
    char *room = (char *)&rows->ops[count], *end = room + bytes;
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, 1, (int)i + 1);
        room = read_op(L, rows, &rows->ops[i], room, end);
        lua_pop(L, 1);
    }
    return 1;
}

void rows_prepare_csv_rows(lua_State *L) {
    static const luaL_Reg methods[] = {{"take", take}, {NULL, NULL}};
    compat_newtype(L, TYPE, methods, release);
}
