/* What the parts of heymarket.rows share. */
#ifndef HEYMARKET_ROWS_H
#define HEYMARKET_ROWS_H

#include "../lua_compat.h"

/* Arrays and objects in each other. */
enum { ROWS_JSON_DEPTH = 100 };

/* Classes of characters in a string; a delimiter is one of address lists, and wide is what is
 * beyond ASCII. */
enum { HAS_CONTROL = 1, HAS_SPACE = 2, HAS_DELIMITER = 4, HAS_WIDE = 8 };

/* Writes a string as JSON; `out` has room for 6 * length + 2 bytes. Gives the number of bytes, and
 * the sum of the classes in `*flags`; or 0 and in `*invalid` the position (the first is 1) of the
 * byte from which on the string is not UTF-8. */
HIDDEN size_t json_write_string(char *out, const char *text, size_t length, int *flags,
                                size_t *invalid);

/* Prepares libsodium, which hashes; raises a Lua error where that fails. */
HIDDEN void rows_setup_sodium(lua_State *L);

/* Each adds its functions to the module's table on top of the stack. */
HIDDEN void rows_open_characters(lua_State *L);
HIDDEN void rows_open_encoder(lua_State *L);
HIDDEN void rows_open_hash(lua_State *L);
HIDDEN void rows_open_json_check(lua_State *L);
HIDDEN void rows_open_json_string(lua_State *L);
HIDDEN void rows_open_phone(lua_State *L);
HIDDEN void rows_open_visible(lua_State *L);

#endif
