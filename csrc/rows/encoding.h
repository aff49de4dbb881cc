/* A contact that is being encoded, its mistakes, and how the value of each kind of field is
 * written. */
#ifndef HEYMARKET_ENCODING_H
#define HEYMARKET_ENCODING_H

#include "../phone_region.h"
#include "rows.h"

#include <string.h>

/* Mistakes -------------------------------------------------------------------------------------
 *
 * A mistake of a contact is a code with a few values. Lua makes the words. While a contact is read,
 * nothing of Lua's is allocated, so mistakes hold copies of what they name. */

enum {
    MISTAKE_FACTS = 3,
    MISTAKE_TEXT = 64, /* bytes of a name; Lua shows at most 60 of them */
};

enum { NUMBER_SIZE = 24 }; /* has room for the digits of any whole number */

/* A number of Lua's. */
struct number {
    bool is_exact; /* `whole` is its value, and no other whole number could be meant */
    long long whole;
    double value;
};

/* A value with the name by which the words of the code mention it. */
struct fact {
    const char *name;
    bool is_text;
    struct number number;
    char text[MISTAKE_TEXT];
    size_t length;
};

struct mistake {
    const char *code;
    int field; /* its place among the fields */
    int fact_count;
    struct fact facts[MISTAKE_FACTS];
};

/* Reads a value that is a number. */
HIDDEN struct number number_at(lua_State *L, int index);

/* Is it a whole number that this Lua does not hold exactly? */
HIDDEN bool number_is_inexact(const struct number *number);

/* Writes a whole number. Gives the count of its characters. */
HIDDEN size_t number_write(char *out, long long number);

/* Begins a mistake of this code. Gives `mistake`. */
HIDDEN struct mistake *mistake_begin(struct mistake *mistake, const char *code);

/* These add a value to a mistake, and give the mistake. */
HIDDEN struct mistake *mistake_number(struct mistake *mistake, const char *name, size_t number);
HIDDEN struct mistake *mistake_text(struct mistake *mistake, const char *name, const char *text,
                                    size_t length);
/* What was given: a number or a boolean as it is, of other values only the type. */
HIDDEN struct mistake *mistake_given(struct mistake *mistake, lua_State *L, int index);
/* The key of a table: a string as `name`, others as above as `key`. */
HIDDEN struct mistake *mistake_key(struct mistake *mistake, lua_State *L, int index);

/* By field, then by first value: tables have no order, but messages must have one. */
HIDDEN int mistake_compare(const void *a, const void *b);

/* Pushes a table of the values by name. */
HIDDEN void mistake_push_values(lua_State *L, const struct mistake *mistake);

/* Phone numbers: from what people and files write to the digits that the API takes ------------- */

enum { PHONE_MIN_DIGITS = 7, PHONE_MAX_DIGITS = 15 };

/* What is known of numbers that come without a country code: nothing (LUA_TNIL), their calling code
 * or region (LUA_TSTRING), or that they are to be taken as they are (LUA_TBOOLEAN). */
struct country {
    int type;
    const char *code;
    size_t length;
    phone_region_reader *read; /* of a region, such as DE; NULL for a calling code */
};

struct phone {
    char digits[PHONE_MAX_DIGITS + 1];
    size_t length;
    bool is_doubtful; /* read by region, and in no range of numbers that libphonenumber knows */
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

/* The encoder ---------------------------------------------------------------------------------- */

enum kind { PHONE, TEXT, EMAIL, URL, USER_ID, TAG_IDS, CUSTOM, BOOLEAN, INTEGERS, KINDS };

enum { MAX_ITEMS = 16 }; /* of an array whose items may not be repeated */

/* A field of `custom`. */
struct custom {
    const char *id; /* NULL where it is in `digits` */
    size_t id_length;
    char digits[NUMBER_SIZE];
    int type;
    const char *text;
    size_t length; /* of the text */
    struct number number;
    bool truth;
};

/* One contact. No Lua memory is allocated while it is read, for an allocation may run finalizers,
 * and these any Lua code, which could change the contact. So all memory is at hand before. Where it
 * is too little, writing goes on without it and only counts; then the contact is encoded once more,
 * with as much as was counted. */
struct encoding {
    lua_State *L;
    struct country country;
    struct phone phone;
    int phone_index; /* of the same string on the stack; 0 where there is none */
    int field;       /* its place */
    size_t max_items;
    bool is_blank; /* the value is an empty text, which would clear what the account holds */
    char *out;
    size_t length, capacity;
    struct custom *customs;
    size_t max_customs; /* of all `custom` fields, the largest number of values */
    size_t custom_capacity;
    struct mistake *mistakes;
    size_t mistake_count, mistake_capacity;
    struct mistake spare; /* takes what `mistakes` has no room for */
};

/* Begins one more mistake of the field at hand. */
HIDDEN struct mistake *encoding_mistake(struct encoding *e, const char *code);

/* Takes so many bytes of the output; NULL where there are not enough. */
static inline char *encoding_room(struct encoding *e, size_t length) {
    size_t start = e->length;
    e->length += length;
    return e->length <= e->capacity ? e->out + start : NULL;
}

/* Inline, so that a text of a constant length is written without a call. */
static inline void encoding_put(struct encoding *e, const char *text, size_t length) {
    char *room = encoding_room(e, length);
    if (room != NULL) {
        memcpy(room, text, length);
    }
}

HIDDEN void encoding_whole(struct encoding *e, long long number);

HIDDEN void encoding_boolean(struct encoding *e, bool truth);

/* Writes a JSON string. Gives 0, or the position from which on it is not UTF-8. Where there is no
 * room for it, it is not looked at. */
HIDDEN size_t encoding_string(struct encoding *e, const char *text, size_t length, int *flags);

HIDDEN bool text_is_email(const char *text, size_t length);

/* The text ends with a zero byte, or is longer than "https://". */
HIDDEN bool text_is_url(const char *text);

/* The kind whose name is at this index, else an argument error. */
HIDDEN enum kind kind_check(lua_State *L, int index);

/* Writes the value at this index as a value of this kind, or adds the mistakes that it has. Gives
 * false where the field is to be left out. */
HIDDEN bool kind_write(struct encoding *e, enum kind kind, int index);

#endif
