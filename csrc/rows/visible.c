/* Text on its way to a terminal or a log: nothing in it hides or drives the terminal. */
#include "rows.h"

#include <stdio.h>
#include <string.h>

/* For one line of text; a value that is repeated in it, where blanks matter; or JSON. */
enum form { LINE, VALUE, JSON };

/* What takes the place of a character that shows nothing: <U+202E>, or an escape in JSON. */
static int describe(char out[16], uint32_t point, enum form form) {
    if (form != JSON) {
        return snprintf(out, 16, "<U+%04X>", (unsigned)point);
    } else if (point < 0x10000) {
        return snprintf(out, 16, "\\u%04x", (unsigned)point);
    }
    return snprintf(out, 16, "\\u%04x\\u%04x", (unsigned)(0xD800 + ((point - 0x10000) >> 10)),
                    (unsigned)(0xDC00 + (point & 0x3FF)));
}

/* Writes text so that every character shows; only counts the bytes where `out` is NULL. */
static size_t write_visible(char *out, const unsigned char *s, size_t length, enum form form) {
    int replaced = form == VALUE ? IS_UNSHOWN | IS_BLANK : IS_UNSHOWN;
    size_t written = 0;
    bool blank = false;
    for (size_t i = 0; i < length;) {
        char piece[16];
        size_t step = s[i] < 0x80 ? 1 : utf8_length(s + i, length - i);
        size_t size = step;
        memcpy(piece, s + i, step);
        bool breaks = form != VALUE && s[i] >= '\t' && s[i] <= '\r';
        if (breaks) {
            /* Line breaks and tabs: a run of them is one blank. */
            piece[0] = ' ';
            size = blank ? 0 : 1;
        } else if (step == 0) {
            step = 1;
            size = (size_t)snprintf(piece, sizeof piece, form == JSON ? "?" : "<0x%02X>", s[i]);
        } else if ((sorts_of(utf8_point(s + i, step)) & replaced) != 0) {
            size = (size_t)describe(piece, utf8_point(s + i, step), form);
        }
        blank = breaks;
        if (out != NULL) {
            memcpy(out + written, piece, size);
        }
        written += size;
        i += step;
    }
    return written;
}

/* visible(text, "line", "value" or "json") -> the text with nothing in it that hides or drives a
 * terminal */
int rows_visible(lua_State *L) {
    static const char *const forms[] = {"line", "value", "json", NULL};
    size_t length;
    const unsigned char *s = (const unsigned char *)luaL_checklstring(L, 1, &length);
    enum form form = (enum form)luaL_checkoption(L, 2, NULL, forms);
    size_t plain = 0;
    while (plain < length && s[plain] >= 0x20 && s[plain] < 0x7F) {
        plain++;
    }
    if (plain == length) {
        lua_pushvalue(L, 1);
        return 1;
    } else if (length > SIZE_MAX / 8) {
        return luaL_error(L, "the string is too long");
    }
    size_t size = write_visible(NULL, s, length, form);
    char stack_buffer[1024];
    char *out = size <= sizeof stack_buffer ? stack_buffer : compat_newuserdata(L, size);
    write_visible(out, s, length, form);
    lua_pushlstring(L, out, size);
    return 1;
}
