/* Writes strings as JSON. Every string of every contact comes here once, so one pass does it all:
 * it checks the UTF-8, notes which classes of characters there are, and quotes. */
#include "rows.h"

#include <string.h>

/* Classes of bytes. They are bits, so that those of several bytes can be collected. Bytes up to
 * DELIMITER are written as they are. */
enum { PLAIN = 0, SPACE = 1, DELIMITER = 2, ESCAPED = 4, CONTROL = 8, HIGH = 16 };

/* Most bytes are written as they are, so that many are looked at together. */
enum { STEP = 8 };

static const unsigned char char_classes[256] = {
    [0x00 ... 0x1F] = CONTROL, [' '] = SPACE,          ['"'] = ESCAPED,   [','] = DELIMITER,
    [';'] = DELIMITER,         ['<'] = DELIMITER,      ['>'] = DELIMITER, ['\\'] = ESCAPED,
    [0x7F] = CONTROL,          [0x80 ... 0xFF] = HIGH,
};

static unsigned char classes_of(const unsigned char s[STEP]) {
    return char_classes[s[0]] | char_classes[s[1]] | char_classes[s[2]] | char_classes[s[3]] |
           char_classes[s[4]] | char_classes[s[5]] | char_classes[s[6]] | char_classes[s[7]];
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

size_t json_write_string(char *out, const char *text, size_t length, int *flags, size_t *invalid) {
    const unsigned char *s = (const unsigned char *)text;
    char *start = out;
    unsigned char seen = 0;
    size_t step;
    int found = 0;
    *out++ = '"';
    for (size_t i = 0;;) {
        while (length - i >= STEP) {
            unsigned char classes = classes_of(s + i);
            if (classes > (SPACE | DELIMITER)) {
                break;
            }
            seen |= classes;
            memcpy(out, s + i, STEP);
            out += STEP;
            i += STEP;
        }
        for (; i < length && char_classes[s[i]] <= DELIMITER; i++) {
            seen |= char_classes[s[i]];
            *out++ = (char)s[i];
        }
        if (i == length) {
            break;
        }
        switch (char_classes[s[i]]) {
        case CONTROL:
            found |= HAS_CONTROL | (s[i] >= '\t' && s[i] <= '\r' ? HAS_SPACE : 0);
            /* fall through */
        case ESCAPED:
            out += write_escape(out, s[i++]);
            break;
        case HIGH:
            do { /* such characters seldom stand alone */
                step = utf8_length(s + i, length - i);
                if (step == 0) {
                    *invalid = i + 1;
                    return 0;
                }
                /* U+0080 to U+009F are control characters as well. */
                found |= HAS_WIDE | (s[i] == 0xC2 && s[i + 1] < 0xA0 ? HAS_CONTROL : 0);
                for (; step > 0; step--) {
                    *out++ = (char)s[i++];
                }
            } while (i < length && s[i] >= 0x80);
            break;
        }
    }
    *out++ = '"';
    *flags = found | (seen & SPACE ? HAS_SPACE : 0) | (seen & DELIMITER ? HAS_DELIMITER : 0);
    return (size_t)(out - start);
}

/* quote(s) -> JSON string | nil, position of the first byte that is not UTF-8 */
int rows_quote(lua_State *L) {
    size_t length, invalid = 0;
    const char *s = luaL_checklstring(L, 1, &length);
    char stack_buffer[1024];
    int flags;
    if (length > (SIZE_MAX - 2) / 6) {
        return luaL_error(L, "the string is too long");
    }
    size_t room = 6 * length + 2;
    char *out = room <= sizeof stack_buffer ? stack_buffer : compat_newuserdata(L, room);
    size_t written = json_write_string(out, s, length, &flags, &invalid);
    if (written == 0) {
        lua_pushnil(L);
        lua_pushinteger(L, (lua_Integer)invalid);
        return 2;
    }
    lua_pushlstring(L, out, written);
    return 1;
}
