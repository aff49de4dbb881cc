/* Strings on their way into JSON. Every string of every contact passes here once, so one pass does
 * it all: well-formed UTF-8, what sorts of characters it holds, and the quoting. */
#include "core.h"

#include <string.h>

/* What a string holds, as a caller needs to know it; the numbers are known to
 * lua/heymarket/text.lua. */
enum { HAS_CONTROL = 1, HAS_SPACE = 2, HAS_DELIMITER = 4 };

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

/* Length of the well-formed UTF-8 sequence that begins with a byte of 0x80 or more (RFC 3629,
 * section 4), 0 where there is none. */
static size_t sequence_length(const unsigned char *s, size_t left) {
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

static void add_escape(luaL_Buffer *buffer, unsigned char byte) {
    static const char digits[] = "0123456789abcdef";
    char escape[6] = {'\\', (char)byte, '0', '0', digits[byte >> 4], digits[byte & 15]};
    if (byte == '"' || byte == '\\') {
        luaL_addlstring(buffer, escape, 2);
    } else {
        escape[1] = 'u';
        luaL_addlstring(buffer, escape, 6);
    }
}

/* quote(s, prefix) -> prefix .. JSON string, flags | nil, position of the first byte that is not
 * UTF-8 */
static int quote(lua_State *L) {
    size_t length, prefix_length, start = 0;
    const unsigned char *s = (const unsigned char *)luaL_checklstring(L, 1, &length);
    const char *prefix = luaL_checklstring(L, 2, &prefix_length);
    lua_Integer flags = 0;
    luaL_Buffer buffer;
    char small[512];
    if (length + prefix_length + 2 <= sizeof small) {
        /* Nearly every value: short, and nothing in it to escape. */
        char *out = small + prefix_length + 1;
        size_t i = 0;
        unsigned char seen = 0;
        while (i < length && sorts[s[i]] < ESCAPED) {
            seen |= sorts[s[i]];
            out[i] = (char)s[i];
            i++;
        }
        if (i == length) {
            memcpy(small, prefix, prefix_length);
            small[prefix_length] = '"';
            out[i] = '"';
            lua_pushlstring(L, small, prefix_length + length + 2);
            lua_pushinteger(L, (seen & SPACE ? HAS_SPACE : 0) |
                                   (seen & DELIMITER ? HAS_DELIMITER : 0));
            return 2;
        }
    }
    luaL_buffinit(L, &buffer);
    luaL_addlstring(&buffer, prefix, prefix_length);
    luaL_addchar(&buffer, '"');
    for (size_t i = 0; i < length;) {
        size_t step = 1;
        switch (sorts[s[i]]) {
        case SPACE:
            flags |= HAS_SPACE;
            break;
        case DELIMITER:
            flags |= HAS_DELIMITER;
            break;
        case CONTROL:
            flags |= HAS_CONTROL | (s[i] >= '\t' && s[i] <= '\r' ? HAS_SPACE : 0);
            /* fall through */
        case ESCAPED:
            luaL_addlstring(&buffer, (const char *)s + start, i - start);
            add_escape(&buffer, s[i]);
            start = i + 1;
            break;
        case HIGH:
            step = sequence_length(s + i, length - i);
            if (step == 0) {
                lua_pushnil(L);
                lua_pushinteger(L, (lua_Integer)i + 1);
                return 2;
            }
            /* U+0080 to U+009F are control characters as well. */
            if (s[i] == 0xC2 && s[i + 1] < 0xA0) {
                flags |= HAS_CONTROL;
            }
            break;
        default:
            break;
        }
        i += step;
    }
    luaL_addlstring(&buffer, (const char *)s + start, length - start);
    luaL_addchar(&buffer, '"');
    luaL_pushresult(&buffer);
    lua_pushinteger(L, flags);
    return 2;
}

void core_open_text(lua_State *L) {
    const luaL_Reg functions[] = {{"quote", quote}, {NULL, NULL}};
    core_setfuncs(L, functions);
}
