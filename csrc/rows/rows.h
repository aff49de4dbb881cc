/* What the parts of heymarket.rows share. */
#ifndef HEYMARKET_ROWS_H
#define HEYMARKET_ROWS_H

#include "../lua_compat.h"

/* Length of the well-formed UTF-8 sequence that begins with a byte of 0x80 or more (RFC 3629,
 * section 4), 0 where there is none. */
HIDDEN size_t rows_utf8_length(const unsigned char *s, size_t left);

/* Arrays and objects in each other. */
enum { ROWS_JSON_DEPTH = 100 };

/* What a string holds; lua/heymarket/contact/init.lua knows the numbers. */
enum { ROWS_HAS_CONTROL = 1, ROWS_HAS_SPACE = 2, ROWS_HAS_DELIMITER = 4 };

/* Writes a string as JSON; `out` has room for 6 * length + 2 bytes. Gives the number of bytes, or 0
 * where the string is not UTF-8 from the byte `invalid` on (the first is 1). */
HIDDEN size_t rows_write_string(char *out, const char *text, size_t length, int *holds,
                                size_t *invalid);

/* Prepares libsodium, which hashes; raises a Lua error where that fails. */
HIDDEN void rows_setup_sodium(lua_State *L);

/* Each adds its functions to the module's table on top of the stack. */
HIDDEN void rows_open_text(lua_State *L);
HIDDEN void rows_open_contact(lua_State *L);
HIDDEN void rows_open_json(lua_State *L);
HIDDEN void rows_open_hash(lua_State *L);

#endif
