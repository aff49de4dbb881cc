/* Strings on their way into JSON. Every string of every contact passes here once, so one pass does
 * it all: well-formed UTF-8, what sorts of characters it holds, and the quoting. */
#include "core.h"

#include <stdint.h>
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

size_t core_write_string(char *out, const char *text, size_t length, int *holds, size_t *invalid) {
    const unsigned char *s = (const unsigned char *)text;
    char *start = out;
    unsigned char seen = 0;
    int found = 0;
    *out++ = '"';
    for (size_t i = 0; i < length;) {
        size_t step = 1;
        switch (sorts[s[i]]) {
        case CONTROL:
            found |= CORE_HAS_CONTROL | (s[i] >= '\t' && s[i] <= '\r' ? CORE_HAS_SPACE : 0);
            /* fall through */
        case ESCAPED:
            out += write_escape(out, s[i]);
            i++;
            continue;
        case HIGH:
            step = sequence_length(s + i, length - i);
            if (step == 0) {
                *invalid = i + 1;
                return 0;
            }
            /* U+0080 to U+009F are control characters as well. */
            if (s[i] == 0xC2 && s[i + 1] < 0xA0) {
                found |= CORE_HAS_CONTROL;
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
        found | (seen & SPACE ? CORE_HAS_SPACE : 0) | (seen & DELIMITER ? CORE_HAS_DELIMITER : 0);
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
        out = core_newuserdata(L, prefix_length + 6 * length + 2);
    }
    memcpy(out, prefix, prefix_length);
    written = core_write_string(out + prefix_length, s, length, &holds, &invalid);
    if (written == 0) {
        lua_pushnil(L);
        lua_pushinteger(L, (lua_Integer)invalid);
    } else {
        lua_pushlstring(L, out, prefix_length + written);
        lua_pushinteger(L, holds);
    }
    return 2;
}

void core_open_text(lua_State *L) {
    const luaL_Reg functions[] = {{"quote", quote}, {NULL, NULL}};
    core_setfuncs(L, functions);
}
