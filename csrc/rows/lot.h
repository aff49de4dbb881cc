/* A lot: contacts that were checked, and travel as one, in input order. */
#ifndef HEYMARKET_LOT_H
#define HEYMARKET_LOT_H

#include "../buffer.h"
#include "encoding.h"

struct lot_row {
    double index, position;
    struct phone phone;
    size_t body_end;   /* in `bodies` */
    size_t origin_end; /* in `origins` */
};

/* Zeroed it is empty and owns nothing. */
struct lot {
    double next_index, next_position; /* of the contact that is added next */
    size_t count;
    size_t doubtful;       /* contacts whose phone is */
    struct buffer rows;    /* of struct lot_row */
    struct buffer bodies;  /* the array of all bodies, but for its last bracket */
    struct buffer origins; /* the bytes of all records */
    struct buffer prints;  /* the fingerprints, once they were asked for */
    int users;             /* calls that read it: it is not freed under them */
};

/* The lot at this index, else an argument error. */
HIDDEN struct lot *lot_check(lua_State *L, int index);

HIDDEN const struct lot_row *lot_rows(const struct lot *lot);

/* Length of its body, with one more body of this length. */
HIDDEN size_t lot_bytes(const struct lot *lot, size_t more);

/* Where the body of the contact that is added next can be written, with room for so many bytes. It
 * holds until the lot is changed. NULL where there is no memory. */
HIDDEN char *lot_room(struct lot *lot, size_t length);

/* Adds a contact behind the others, with the next index and position, whose body was written there.
 * Raises a Lua error where there is no memory; the lot is as before then. */
HIDDEN void lot_add(lua_State *L, struct lot *lot, const struct phone *phone, size_t body_length,
                    const char *origin, size_t origin_length);

/* A phone as a number above 0: a 1 stands before its digits, so that zeros at its start count. */
HIDDEN uint64_t phone_number(const struct phone *phone);

/* The same of the digits at this index, else an argument error. */
HIDDEN uint64_t phone_check(lua_State *L, int index);

HIDDEN size_t phone_hash(uint64_t number);

#endif
