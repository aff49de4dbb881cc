/* Characters in UTF-8, and sorts of them. */
#include "rows.h"

size_t utf8_length(const unsigned char *s, size_t left) {
    size_t length = s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF5 ? 4 : 0;
    if (length == 0 || left < length) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    /* Written longer than needed, half a surrogate pair, beyond the last code point. */
    bool is_wrong = (s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) ||
                    (s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F);
    return is_wrong ? 0 : length;
}

uint32_t utf8_point(const unsigned char *s, size_t length) {
    static const unsigned char masks[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t point = s[0] & masks[length];
    for (size_t i = 1; i < length; i++) {
        point = point << 6 | (s[i] & 0x3F);
    }
    return point;
}

size_t utf8_write(unsigned char *out, uint32_t point) {
    if (point < 0x80) {
        out[0] = (unsigned char)point;
        return 1;
    }
    size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, point >>= 6) {
        out[i] = (unsigned char)(0x80 | (point & 0x3F));
    }
    out[0] = (unsigned char)((length == 2 ? 0xC0 : length == 3 ? 0xE0 : 0xF0) | point);
    return length;
}

/* The characters that have sorts, in ascending order. Control characters and marks are all unshown,
 * which is not repeated. */
/* clang-format off */
static const struct { uint32_t first, last; int sorts; } ranges[] = {
    {0x00, 0x1F, IS_CONTROL}, {0x7F, 0x84, IS_CONTROL}, {0x85, 0x85, IS_CONTROL | IS_BLANK},
    {0x86, 0x9F, IS_CONTROL}, {0xA0, 0xA0, IS_BLANK}, {0xAD, 0xAD, IS_MARK},
    {0x34F, 0x34F, IS_UNSHOWN}, {0x600, 0x605, IS_UNSHOWN}, {0x61C, 0x61C, IS_MARK},
    {0x6DD, 0x6DD, IS_UNSHOWN}, {0x70F, 0x70F, IS_UNSHOWN}, {0x890, 0x891, IS_UNSHOWN},
    {0x8E2, 0x8E2, IS_UNSHOWN}, {0x115F, 0x1160, IS_UNSHOWN}, {0x1680, 0x1680, IS_BLANK},
    {0x17B4, 0x17B5, IS_UNSHOWN}, {0x180B, 0x180D, IS_UNSHOWN}, {0x180E, 0x180E, IS_MARK},
    {0x180F, 0x180F, IS_UNSHOWN}, {0x2000, 0x200A, IS_BLANK}, {0x200B, 0x200F, IS_MARK},
    {0x2010, 0x2013, IS_HYPHEN}, {0x2028, 0x2029, IS_BLANK | IS_UNSHOWN},
    {0x202A, 0x202E, IS_MARK}, {0x202F, 0x202F, IS_BLANK}, {0x205F, 0x205F, IS_BLANK},
    {0x2060, 0x2064, IS_MARK}, {0x2065, 0x2065, IS_UNSHOWN}, {0x2066, 0x206F, IS_MARK},
    {0x2212, 0x2212, IS_HYPHEN}, {0x3000, 0x3000, IS_BLANK}, {0x3164, 0x3164, IS_UNSHOWN},
    {0xFE00, 0xFE0F, IS_UNSHOWN}, {0xFE63, 0xFE63, IS_HYPHEN}, {0xFEFF, 0xFEFF, IS_MARK},
    {0xFF0D, 0xFF0D, IS_HYPHEN}, {0xFFA0, 0xFFA0, IS_UNSHOWN}, {0xFFF0, 0xFFFB, IS_UNSHOWN},
    {0x110BD, 0x110BD, IS_UNSHOWN}, {0x110CD, 0x110CD, IS_UNSHOWN},
    {0x13430, 0x1343F, IS_UNSHOWN}, {0x1BCA0, 0x1BCA3, IS_UNSHOWN},
    {0x1D173, 0x1D17A, IS_UNSHOWN}, {0xE0000, 0xE0FFF, IS_UNSHOWN},
};
/* clang-format on */

enum { RANGES = sizeof ranges / sizeof ranges[0] };

int sorts_of(uint32_t point) {
    size_t low = 0, high = RANGES; /* the range is in between, `high` left out */
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (point < ranges[middle].first) {
            high = middle;
        } else {
            low = middle;
        }
    }
    int sorts = point <= ranges[low].last ? ranges[low].sorts : 0;
    return sorts & (IS_CONTROL | IS_MARK) ? sorts | IS_UNSHOWN : sorts;
}

/* unseen() -> a table: " " by each blank beyond ASCII, "" by each mark that takes no room */
int rows_unseen(lua_State *L) {
    lua_newtable(L);
    for (size_t i = 0; i < RANGES; i++) {
        uint32_t point = ranges[i].sorts & (IS_BLANK | IS_MARK) ? ranges[i].first : UINT32_MAX;
        for (; point <= ranges[i].last; point++) {
            char text[4];
            lua_pushlstring(L, text, utf8_write((unsigned char *)text, point));
            lua_pushstring(L, ranges[i].sorts & IS_BLANK ? " " : "");
            lua_rawset(L, -3);
        }
    }
    return 1;
}
