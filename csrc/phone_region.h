/* What heymarket.phonenumber offers to heymarket.rows: reading a phone number as one of a region,
 * by libphonenumber. So rows needs no libphonenumber, and all who read phones there can use it. */
#ifndef HEYMARKET_PHONE_REGION_H
#define HEYMARKET_PHONE_REGION_H

#include <stddef.h>

/* Where Lua's registry holds the userdata with a struct phone_region. */
#define PHONE_REGION_KEY "heymarket.phone_region"

/* To be raised with every change below: the two shared objects may be of different builds. */
enum { PHONE_REGION_VERSION = 1 };

enum { PHONE_REGION_MAX_DIGITS = 24 }; /* of a number with what is dialled before it */

/* What stood before the digits. */
enum phone_prefix { PREFIX_NONE, PREFIX_PLUS, PREFIX_ZEROS };

enum phone_verdict {
    VERDICT_VALID,
    VERDICT_DOUBTFUL, /* possible, but in no range of numbers that the library knows */
    VERDICT_SHORT,
    VERDICT_LONG,
    VERDICT_LENGTH,    /* neither too short nor too long, and yet no number has so many digits */
    VERDICT_LOCAL,     /* can be dialled within an area only */
    VERDICT_COUNTRY,   /* no country has this code */
    VERDICT_AMBIGUOUS, /* could be a national or an international number */
    VERDICT_NONE,      /* nothing that could be a number */
    VERDICT_FAILED,    /* no memory, most likely */
};

struct phone_answer {
    char digits[PHONE_REGION_MAX_DIGITS + 1]; /* E.164 without its plus sign */
    size_t length;
    char country[8]; /* the calling code in decimal digits; empty where none was found */
};

/* Reads at most PHONE_REGION_MAX_DIGITS digits. The region is two letters that the library knows.
 */
typedef enum phone_verdict phone_region_reader(const char *region, const char *digits,
                                               size_t length, enum phone_prefix prefix,
                                               struct phone_answer *answer);

struct phone_region {
    int version;
    phone_region_reader *read;
};

#endif
