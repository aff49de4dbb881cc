/* A contact that is being encoded, and how the value of each kind of field is written. */
#ifndef HEYMARKET_ENCODING_H
#define HEYMARKET_ENCODING_H

#include "mistake.h"
#include "phone.h"

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

HIDDEN void encoding_put(struct encoding *e, const char *text, size_t length);

/* Writes the value at this index as a value of this kind, or adds the mistakes that it has. Gives
 * false where the field is to be left out. */
HIDDEN bool kind_write(struct encoding *e, enum kind kind, int index);

#endif
