/* Characters in UTF-8, and sorts of them. */
#ifndef HEYMARKET_CHARACTERS_H
#define HEYMARKET_CHARACTERS_H

#include "../lua_compat.h"

#include <stdint.h>

/* Length of the well-formed UTF-8 sequence that begins with a byte of 0x80 or more (RFC 3629,
 * section 4), 0 where there is none. */
HIDDEN size_t utf8_length(const unsigned char *s, size_t left);

/* The code point of a well-formed sequence of this length. */
HIDDEN uint32_t utf8_point(const unsigned char *s, size_t length);

/* Writes a character as UTF-8: at most 4 bytes. Gives their number. */
HIDDEN size_t utf8_write(unsigned char *out, uint32_t point);

/* Control characters, those beyond ASCII included. */
HIDDEN bool is_control(uint32_t point);

/* White space beyond ASCII. */
HIDDEN bool is_wide_blank(uint32_t point);

/* Characters of copied text that take no room: zero width, joiners, marks of direction, the soft
 * hyphen, the byte-order mark. */
HIDDEN bool is_mark(uint32_t point);

/* Hyphens, en dashes and minus signs beyond ASCII. The longer dashes are left out, because they
 * also stand between two numbers. */
HIDDEN bool is_hyphen(uint32_t point);

/* Characters that show nothing, or change how the text around them shows: Unicode's format
 * characters (general category Cf), those that may be ignored in display
 * (Default_Ignorable_Code_Point), line and paragraph separators, and control characters. */
HIDDEN bool is_hidden(uint32_t point);

#endif
