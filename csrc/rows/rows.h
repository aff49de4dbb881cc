/* What the parts of heymarket.rows share. */
#ifndef HEYMARKET_ROWS_H
#define HEYMARKET_ROWS_H

#include "../lua_compat.h"

#include <stdint.h>

/* Arrays and objects in each other. */
enum { ROWS_JSON_DEPTH = 100 };

/* Sorts of characters. They can be added up. */
enum {
    IS_CONTROL = 1, /* those beyond ASCII included */
    IS_BLANK = 2,   /* white space beyond ASCII */
    /* Takes no room in copied text: zero width, joiners, marks of direction, the soft hyphen, the
     * byte-order mark. */
    IS_MARK = 4,
    /* Hyphens, en dashes and minus signs beyond ASCII. The longer dashes are left out, because they
     * also stand between two numbers. */
    IS_HYPHEN = 8,
    /* Shows nothing, or changes how the text around it shows: Unicode's format characters (general
     * category Cf), those that may be ignored in display (Default_Ignorable_Code_Point), line and
     * paragraph separators, and control characters. */
    IS_UNSHOWN = 16,
};

/* The sum of the sorts of a character. */
HIDDEN int sorts_of(uint32_t point);

/* Length of the well-formed UTF-8 sequence that begins with a byte of 0x80 or more (RFC 3629,
 * section 4), 0 where there is none. */
HIDDEN size_t utf8_length(const unsigned char *s, size_t left);

/* The code point of a well-formed sequence of this length. */
HIDDEN uint32_t utf8_point(const unsigned char *s, size_t length);

/* Writes a character as UTF-8: at most 4 bytes. Gives their number. */
HIDDEN size_t utf8_write(unsigned char *out, uint32_t point);

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

/* Makes the type that json_check needs. */
HIDDEN void rows_prepare_json_check(lua_State *L);

/* Makes the types of csv_rows, decoder, first_rows, lot and phones. */
HIDDEN void rows_prepare_csv_rows(lua_State *L);
HIDDEN void rows_prepare_decoder(lua_State *L);
HIDDEN void rows_prepare_first_rows(lua_State *L);
HIDDEN void rows_prepare_lot(lua_State *L);
HIDDEN void rows_prepare_phones(lua_State *L);

/* The functions of the module. */
HIDDEN int rows_csv_record(lua_State *L);
HIDDEN int rows_csv_rows(lua_State *L);
HIDDEN int rows_decoder(lua_State *L);
HIDDEN int rows_encoder(lua_State *L);
HIDDEN int rows_first_rows(lua_State *L);
HIDDEN int rows_hash(lua_State *L);
HIDDEN int rows_hmac_sha256(lua_State *L);
HIDDEN int rows_json_check(lua_State *L);
HIDDEN int rows_lot(lua_State *L);
HIDDEN int rows_phone(lua_State *L);
HIDDEN int rows_phones(lua_State *L);
HIDDEN int rows_quote(lua_State *L);
HIDDEN int rows_unseen(lua_State *L);
HIDDEN int rows_visible(lua_State *L);

#endif
