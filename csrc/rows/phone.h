/* Phone numbers: from what people and files write to the digits that the API takes. */
#ifndef HEYMARKET_PHONE_H
#define HEYMARKET_PHONE_H

#include "mistake.h"

enum { PHONE_MIN_DIGITS = 7, PHONE_MAX_DIGITS = 15 };

/* What is known of numbers that come without a country code: nothing (LUA_TNIL), their calling code
 * (LUA_TSTRING), or that they are to be taken as they are (LUA_TBOOLEAN). */
struct country {
    int type;
    const char *code;
    size_t length;
};

struct phone {
    char digits[PHONE_MAX_DIGITS + 1];
    size_t length;
};

/* Reads default_country at this index. The string stays the stack's. */
HIDDEN struct country phone_country(lua_State *L, int index);

/* Reads a text as a phone number. Where it is none, or could be somebody else's, it says so in
 * `mistake` and gives false. */
HIDDEN bool phone_read(struct phone *phone, const char *text, size_t length,
                       const struct country *country, struct mistake *mistake);

/* The same for a value of any type at this index. */
HIDDEN bool phone_read_value(struct phone *phone, lua_State *L, int index,
                             const struct country *country, struct mistake *mistake);

#endif
