/* Mistakes of a contact: a code with a few values. Lua makes the words.
 *
 * While a contact is read, nothing of Lua's is allocated, so mistakes hold copies of what they
 * name. */
#ifndef HEYMARKET_MISTAKE_H
#define HEYMARKET_MISTAKE_H

#include "rows.h"

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

#endif
