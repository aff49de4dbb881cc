/* Strings on their way into JSON, and text on its way to a terminal.
 *
 * Every string of every contact passes here once, so one pass does it all: well-formed UTF-8, what
 * sorts of characters it holds, and the quoting. */
#include "rows.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Sorts of bytes. The first three are written as they are, and can be told apart when ORed. */
enum { PLAIN = 0, SPACE = 1, DELIMITER = 2, ESCAPED = 4, CONTROL, HIGH };

#define C8 CONTROL, CONTROL, CONTROL, CONTROL, CONTROL, CONTROL, CONTROL, CONTROL
#define P8 PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN
#define H8 HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH
#define H32 H8, H8, H8, H8

/* clang-format off */
static const unsigned char sorts[256] = {
    C8, C8, C8, C8,
    SPACE, PLAIN, ESCAPED /* " */, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN,
    PLAIN, PLAIN, PLAIN, PLAIN, DELIMITER /* , */, PLAIN, PLAIN, PLAIN,
    P8,
    PLAIN, PLAIN, PLAIN, DELIMITER /* ; */, DELIMITER /* < */, PLAIN, DELIMITER /* > */, PLAIN,
    P8, P8, P8,
    PLAIN, PLAIN, PLAIN, PLAIN, ESCAPED /* \ */, PLAIN, PLAIN, PLAIN,
    P8, P8, P8,
    PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, CONTROL /* DEL */,
    H32, H32, H32, H32,
};
/* clang-format on */

size_t rows_utf8_length(const unsigned char *s, size_t left) {
    unsigned char low = 0x80, high = 0xBF;
    size_t length;
    if (s[0] >= 0xC2 && s[0] <= 0xDF) {
        length = 2;
    } else if (s[0] >= 0xE0 && s[0] <= 0xEF) {
        length = 3;
        low = s[0] == 0xE0 ? 0xA0 : low;
        high = s[0] == 0xED ? 0x9F : high;
    } else if (s[0] >= 0xF0 && s[0] <= 0xF4) {
        length = 4;
        low = s[0] == 0xF0 ? 0x90 : low;
        high = s[0] == 0xF4 ? 0x8F : high;
    } else {
        return 0;
    }
    if (left < length || s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if (s[i] < 0x80 || s[i] > 0xBF) {
            return 0;
        }
    }
    return length;
}

static size_t write_escape(char *out, unsigned char byte) {
    static const char digits[] = "0123456789abcdef";
    out[0] = '\\';
    if (byte == '"' || byte == '\\') {
        out[1] = (char)byte;
        return 2;
    }
    memcpy(out + 1, "u00", 3);
    out[4] = digits[byte >> 4];
    out[5] = digits[byte & 15];
    return 6;
}

size_t rows_write_string(char *out, const char *text, size_t length, int *holds, size_t *invalid) {
    const unsigned char *s = (const unsigned char *)text;
    char *start = out;
    unsigned char seen = 0;
    int found = 0;
    *out++ = '"';
    for (size_t i = 0; i < length;) {
        size_t step = 1;
        switch (sorts[s[i]]) {
        case CONTROL:
            found |= ROWS_HAS_CONTROL | (s[i] >= '\t' && s[i] <= '\r' ? ROWS_HAS_SPACE : 0);
            /* fall through */
        case ESCAPED:
            out += write_escape(out, s[i]);
            i++;
            continue;
        case HIGH:
            step = rows_utf8_length(s + i, length - i);
            if (step == 0) {
                *invalid = i + 1;
                return 0;
            }
            /* U+0080 to U+009F are control characters as well. */
            if (s[i] == 0xC2 && s[i + 1] < 0xA0) {
                found |= ROWS_HAS_CONTROL;
            }
            break;
        default:
            seen |= sorts[s[i]];
            break;
        }
        for (; step > 0; step--) {
            *out++ = (char)s[i++];
        }
    }
    *out++ = '"';
    *holds =
        found | (seen & SPACE ? ROWS_HAS_SPACE : 0) | (seen & DELIMITER ? ROWS_HAS_DELIMITER : 0);
    return (size_t)(out - start);
}

/* quote(s, prefix) -> prefix .. JSON string, flags | nil, position of the first byte that is not
 * UTF-8 */
static int quote(lua_State *L) {
    size_t length, prefix_length, written, invalid = 0;
    const char *s = luaL_checklstring(L, 1, &length);
    const char *prefix = luaL_checklstring(L, 2, &prefix_length);
    char small[1024];
    char *out = small;
    int holds = 0;
    if (length > (SIZE_MAX - prefix_length - 2) / 6) {
        return luaL_error(L, "the string is too long");
    }
    if (prefix_length + 6 * length + 2 > sizeof small) {
        out = compat_newuserdata(L, prefix_length + 6 * length + 2);
    }
    memcpy(out, prefix, prefix_length);
    written = rows_write_string(out + prefix_length, s, length, &holds, &invalid);
    if (written == 0) {
        lua_pushnil(L);
        lua_pushinteger(L, (lua_Integer)invalid);
    } else {
        lua_pushlstring(L, out, prefix_length + written);
        lua_pushinteger(L, holds);
    }
    return 2;
}

/* Characters that show nothing, or change how the text around them shows: Unicode's format
 * characters (general category Cf), those that may be ignored in display
 * (Default_Ignorable_Code_Point), line and paragraph separators, and control characters beyond
 * ASCII. In ascending order. */
struct range {
    uint32_t first, last;
};

static const struct range unseen[] = {
    {0x7F, 0x9F},       {0xAD, 0xAD},       {0x34F, 0x34F},     {0x600, 0x605},
    {0x61C, 0x61C},     {0x6DD, 0x6DD},     {0x70F, 0x70F},     {0x890, 0x891},
    {0x8E2, 0x8E2},     {0x115F, 0x1160},   {0x17B4, 0x17B5},   {0x180B, 0x180F},
    {0x200B, 0x200F},   {0x2028, 0x202E},   {0x2060, 0x206F},   {0x3164, 0x3164},
    {0xFE00, 0xFE0F},   {0xFEFF, 0xFEFF},   {0xFFA0, 0xFFA0},   {0xFFF0, 0xFFFB},
    {0x110BD, 0x110BD}, {0x110CD, 0x110CD}, {0x13430, 0x1343F}, {0x1BCA0, 0x1BCA3},
    {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF},
};

/* Blanks that look like the common one (general category Zs). */
static const struct range blanks[] = {
    {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
    {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000},
};

static bool is_among(const struct range *ranges, size_t count, uint32_t point) {
    for (size_t i = 0; i < count && point >= ranges[i].first; i++) {
        if (point <= ranges[i].last) {
            return true;
        }
    }
    return false;
}

/* For one line of text; a value that is repeated in it, where blanks matter; or JSON. */
enum form { LINE, VALUE, JSON };

static bool is_named(uint32_t point, enum form form) {
    return point < 0x20 || is_among(unseen, sizeof unseen / sizeof unseen[0], point) ||
           (form == VALUE && is_among(blanks, sizeof blanks / sizeof blanks[0], point));
}

static uint32_t code_point(const unsigned char *s, size_t length) {
    static const unsigned char masks[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t point = s[0] & masks[length];
    for (size_t i = 1; i < length; i++) {
        point = point << 6 | (s[i] & 0x3F);
    }
    return point;
}

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
    size_t written = 0;
    bool blank = false;
    for (size_t i = 0; i < length;) {
        char piece[16];
        size_t step = s[i] < 0x80 ? 1 : rows_utf8_length(s + i, length - i);
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
        } else if (is_named(code_point(s + i, step), form)) {
            size = (size_t)describe(piece, code_point(s + i, step), form);
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
static int visible(lua_State *L) {
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
    char small[1024];
    char *out = size <= sizeof small ? small : compat_newuserdata(L, size);
    write_visible(out, s, length, form);
    lua_pushlstring(L, out, size);
    return 1;
}

void rows_open_text(lua_State *L) {
    const luaL_Reg functions[] = {{"quote", quote}, {"visible", visible}, {NULL, NULL}};
    compat_setfuncs(L, functions);
}
