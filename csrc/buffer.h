/* Bytes in memory of our own, which grows. */
#ifndef HEYMARKET_BUFFER_H
#define HEYMARKET_BUFFER_H

#include "lua_compat.h"

/* Zeroed it is empty. The owner frees `data`. */
struct buffer {
    char *data;
    size_t length;
    size_t capacity;
};

/* Makes room for so many more bytes. False where there is not enough memory; the buffer is as
 * before then. */
HIDDEN bool buffer_reserve(struct buffer *buffer, size_t length);

/* The same, and adds them. */
HIDDEN bool buffer_add(struct buffer *buffer, const void *data, size_t length);

#endif
