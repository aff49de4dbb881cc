/* libphonenumber for C. Nothing here throws, and nothing here knows Lua: an error of Lua's jumps,
 * and may not jump over objects of C++. */
#ifndef HEYMARKET_PHONENUMBER_H
#define HEYMARKET_PHONENUMBER_H

#include "../phone_region.h"

#define PHONE_HIDDEN __attribute__((visibility("hidden")))

#ifdef __cplusplus
extern "C" {
#endif

/* See phone_region.h. */
PHONE_HIDDEN enum phone_verdict phonenumber_read(const char *region, const char *digits,
                                                 size_t length, enum phone_prefix prefix,
                                                 struct phone_answer *answer);

/* Writes the regions that the library knows, in order, two letters each, into `out`. Gives the
 * number of bytes; 0 where they have no room or the library failed. */
PHONE_HIDDEN size_t phonenumber_regions(char *out, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif
