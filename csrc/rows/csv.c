/* Splits records of CSV into cells. Nothing is read leniently: what is not clearly one thing is
 * named. */
#include "csv.h"

#include <string.h>

size_t csv_line_end(const struct csv_format *format, const char *at, const char *end) {
    if (at == end) {
        return 0;
    } else if (*at == '\n') {
        return format->ending != CSV_CR;
    } else if (*at != '\r') {
        return 0;
    }
    bool has_lf = format->ending != CSV_CR && at + 1 < end && at[1] == '\n';
    return has_lf ? 2 : format->ending != CSV_LF;
}

struct csv_format csv_check_format(lua_State *L, int delimiter, int ending) {
    static const char *const endings[] = {"lf", "cr", "any", NULL};
    struct csv_format format = {
        .is_special = {['\0'] = true, ['"'] = true, ['\r'] = true, ['\n'] = true}};
    size_t length;
    format.delimiter = *luaL_checklstring(L, delimiter, &length);
    luaL_argcheck(L, length == 1, delimiter, "must be one byte");
    format.is_special[(unsigned char)format.delimiter] = true;
    format.ending = (enum csv_ending)luaL_checkoption(L, ending, NULL, endings);
    return format;
}

/* Whole records -------------------------------------------------------------------------------- */

/* The quote that closes a cell; NULL where the buffer ends before it is certain which one does. */
static const char *find_closing_quote(const char *at, const char *end, bool *is_doubled) {
    for (;;) {
        const char *quote = memchr(at, '"', (size_t)(end - at));
        if (quote == NULL || quote + 1 == end) {
            return NULL;
        } else if (quote[1] != '"') {
            return quote;
        }
        *is_doubled = true;
        at = quote + 2;
    }
}

enum csv_state csv_split(const struct csv_format *format, const char *at, const char *end,
                         struct csv_cell *cells, size_t width, const char **after) {
    char line_end = format->ending == CSV_CR ? '\r' : '\n';
    for (size_t i = 0; i < width; i++, at++) {
        struct csv_cell *cell = &cells[i];
        cell->is_doubled = false;
        cell->text = at;
        if (at < end && *at == '"') {
            cell->text = at + 1;
            at = find_closing_quote(cell->text, end, &cell->is_doubled);
            if (at == NULL) {
                return CSV_CUT;
            }
            cell->length = (size_t)(at++ - cell->text);
            if (memchr(cell->text, line_end, cell->length) != NULL) {
                return CSV_ODD;
            }
        } else {
            while (!format->is_special[(unsigned char)*at] || (*at == '\0' && at < end)) {
                at++;
            }
            cell->length = (size_t)(at - cell->text);
        }
        if (at == end) {
            return CSV_CUT;
        } else if (*at != format->delimiter) {
            size_t length = csv_line_end(format, at, end);
            if (length == 0 && *at == '\r' && at + 1 == end) {
                return CSV_CUT;
            }
            *after = at + length;
            return length > 0 && i + 1 == width ? CSV_SOUND : CSV_ODD;
        }
    }
    return CSV_ODD;
}

/* Cell by cell --------------------------------------------------------------------------------- */

struct scan {
    struct csv_format format;
    const char *end;
};

static bool is_stop(const struct scan *scan, const char *at) {
    return at == scan->end || *at == scan->format.delimiter ||
           csv_line_end(&scan->format, at, scan->end) > 0;
}

static const char *find_stop(const struct scan *scan, const char *at) {
    while (!is_stop(scan, at)) {
        at++;
    }
    return at;
}

/* Pushes the content of a quoted cell, which may have doubled quotes. */
static void push_unquoted(lua_State *L, const char *text, const char *end) {
    luaL_Buffer content;
    luaL_buffinit(L, &content);
    for (;;) {
        const char *quote = memchr(text, '"', (size_t)(end - text));
        if (quote == NULL) {
            break;
        }
        luaL_addlstring(&content, text, (size_t)(quote + 1 - text));
        text = quote + 2;
    }
    luaL_addlstring(&content, text, (size_t)(end - text));
    luaL_pushresult(&content);
}

/* Pushes a cell that begins with a quote. Gives where it ends, and what is wrong with it. */
static const char *push_quoted(lua_State *L, const struct scan *scan, const char *from,
                               const char **verdict) {
    const char *at = from + 1;
    const char *quote;
    while ((quote = memchr(at, '"', (size_t)(scan->end - at))) != NULL && quote + 1 < scan->end &&
           quote[1] == '"') {
        at = quote + 2;
    }
    if (quote == NULL) {
        *verdict = "unclosed";
        lua_pushlstring(L, from, (size_t)(scan->end - from));
        return scan->end;
    } else if (is_stop(scan, quote + 1)) {
        push_unquoted(L, from + 1, quote);
        return quote + 1;
    }
    *verdict = "stray";
    at = find_stop(scan, quote + 1);
    lua_pushlstring(L, from, (size_t)(at - from));
    return at;
}

static const char *push_bare(lua_State *L, const struct scan *scan, const char *from,
                             const char **verdict) {
    const char *at = find_stop(scan, from);
    size_t length = (size_t)(at - from);
    if (memchr(from, '"', length) != NULL || memchr(from, '\r', length) != NULL ||
        memchr(from, '\n', length) != NULL) {
        *verdict = "bare";
    }
    lua_pushlstring(L, from, length);
    return at;
}

/* csv_record(buffer, from, at_end, delimiter, ending) -> cells, after, verdicts, is_blank
 *
 * Reads any record. A verdict is "stray" (text after a closing quote), "unclosed" or "bare" (a
 * quote or a line break in a cell without quotes), by the number of the cell; nil where there is
 * none. Nothing where the buffer ends before the record. */
int rows_csv_record(lua_State *L) {
    size_t length;
    const char *buffer = luaL_checklstring(L, 1, &length);
    double from = compat_checkwhole(L, 2);
    luaL_argcheck(L, from >= 1 && from <= (double)length, 2, "is outside of the buffer");
    struct scan scan = {csv_check_format(L, 4, 5), buffer + length};
    const char *first = buffer + (size_t)from - 1, *at = first;
    lua_settop(L, 5);
    lua_newtable(L);
    lua_pushnil(L);
    const int cells = 6, verdicts = 7;
    for (int i = 1;; i++, at++) {
        const char *verdict = NULL;
        at = at < scan.end && *at == '"' ? push_quoted(L, &scan, at, &verdict)
                                         : push_bare(L, &scan, at, &verdict);
        lua_rawseti(L, cells, i);
        if (verdict != NULL) {
            if (lua_isnil(L, verdicts)) {
                lua_newtable(L);
                lua_replace(L, verdicts);
            }
            lua_pushstring(L, verdict);
            lua_rawseti(L, verdicts, i);
        }
        if (at == scan.end || *at != scan.format.delimiter) {
            break;
        }
    }
    size_t line_end = csv_line_end(&scan.format, at, scan.end);
    if (line_end == 0 && !lua_toboolean(L, 3)) {
        return 0;
    }
    lua_pushvalue(L, cells);
    lua_pushinteger(L, (lua_Integer)(at + line_end - buffer) + 1);
    lua_pushvalue(L, verdicts);
    lua_pushboolean(L, at == first);
    return 4;
}
