#include "characters.h"

#include "rows.h"

#include <string.h>

size_t utf8_length(const unsigned char *s, size_t left) {
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

/* In ascending order. */
struct range {
    uint32_t first, last;
};

static const struct range blanks[] = {
    {0x85, 0x85},     {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
    {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000},
};

static const struct range marks[] = {
    {0xAD, 0xAD},     {0x61C, 0x61C},   {0x180E, 0x180E}, {0x200B, 0x200F},
    {0x202A, 0x202E}, {0x2060, 0x2064}, {0x2066, 0x206F}, {0xFEFF, 0xFEFF},
};

static const struct range hyphens[] = {
    {0x2010, 0x2013},
    {0x2212, 0x2212},
    {0xFE63, 0xFE63},
    {0xFF0D, 0xFF0D},
};

static const struct range hidden[] = {
    {0x00, 0x1F},       {0x7F, 0x9F},       {0xAD, 0xAD},       {0x34F, 0x34F},
    {0x600, 0x605},     {0x61C, 0x61C},     {0x6DD, 0x6DD},     {0x70F, 0x70F},
    {0x890, 0x891},     {0x8E2, 0x8E2},     {0x115F, 0x1160},   {0x17B4, 0x17B5},
    {0x180B, 0x180F},   {0x200B, 0x200F},   {0x2028, 0x202E},   {0x2060, 0x206F},
    {0x3164, 0x3164},   {0xFE00, 0xFE0F},   {0xFEFF, 0xFEFF},   {0xFFA0, 0xFFA0},
    {0xFFF0, 0xFFFB},   {0x110BD, 0x110BD}, {0x110CD, 0x110CD}, {0x13430, 0x1343F},
    {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF},
};

static bool is_among(const struct range *ranges, size_t count, uint32_t point) {
    for (size_t i = 0; i < count && point >= ranges[i].first; i++) {
        if (point <= ranges[i].last) {
            return true;
        }
    }
    return false;
}

#define IS_AMONG(ranges, point) is_among(ranges, sizeof(ranges) / sizeof(ranges)[0], point)

bool is_control(uint32_t point) {
    return point < 0x20 || (point >= 0x7F && point <= 0x9F);
}

bool is_wide_blank(uint32_t point) {
    return IS_AMONG(blanks, point);
}

bool is_mark(uint32_t point) {
    return IS_AMONG(marks, point);
}

bool is_hyphen(uint32_t point) {
    return IS_AMONG(hyphens, point);
}

bool is_hidden(uint32_t point) {
    return IS_AMONG(hidden, point);
}

/* Sets a field of the table on top for each character of the ranges. */
static void push_ranges(lua_State *L, const struct range *ranges, size_t count, const char *value) {
    for (size_t i = 0; i < count; i++) {
        for (uint32_t point = ranges[i].first; point <= ranges[i].last; point++) {
            char text[4];
            lua_pushlstring(L, text, utf8_write((unsigned char *)text, point));
            lua_pushstring(L, value);
            lua_rawset(L, -3);
        }
    }
}

/* unseen() -> a table: " " by each blank beyond ASCII, "" by each mark that takes no room */
static int unseen(lua_State *L) {
    lua_newtable(L);
    push_ranges(L, blanks, sizeof blanks / sizeof blanks[0], " ");
    push_ranges(L, marks, sizeof marks / sizeof marks[0], "");
    return 1;
}

void rows_open_characters(lua_State *L) {
    static const luaL_Reg functions[] = {{"unseen", unseen}, {NULL, NULL}};
    compat_setfuncs(L, functions);
}
