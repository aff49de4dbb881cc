/* Records of CSV (RFC 4180): where their cells are. */
#ifndef HEYMARKET_CSV_H
#define HEYMARKET_CSV_H

#include "rows.h"

/* What ends a record: LF or CR LF, CR as on an old Mac, or any of these as long as the header was
 * not read. */
enum csv_ending { CSV_LF, CSV_CR, CSV_ANY };

struct csv_format {
    char delimiter;
    enum csv_ending ending;
    /* Bytes that end a cell without quotes, or must not stand in it; and the zero byte, which
     * stands at the end of the buffer. */
    bool is_special[256];
};

struct csv_cell {
    const char *text; /* without its quotes */
    size_t length;
    bool is_doubled; /* quotes in it stand twice */
};

/* Length of the line end at `at`, 0 where there is none. */
HIDDEN size_t csv_line_end(const struct csv_format *format, const char *at, const char *end);

/* Reads {delimiter, ending} from two arguments. */
HIDDEN struct csv_format csv_check_format(lua_State *L, int delimiter, int ending);

/* Sound: all cells are in one line, and there is one for each column. Odd: it has to be looked at
 * cell by cell. Cut: the buffer ends before it. */
enum csv_state { CSV_SOUND, CSV_ODD, CSV_CUT };

/* Splits the record at `at` into so many cells. A zero byte stands at `end`, as behind every string
 * of Lua's. `*after` is where the next record begins, if this one is sound. */
HIDDEN enum csv_state csv_split(const struct csv_format *format, const char *at, const char *end,
                                struct csv_cell *cells, size_t width, const char **after);

#endif
