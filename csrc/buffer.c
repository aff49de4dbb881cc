/* Bytes in memory of our own, which grows. */
#include "buffer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

bool buffer_reserve(struct buffer *buffer, size_t length) {
    if (length <= buffer->capacity - buffer->length) {
        return true;
    } else if (length > SIZE_MAX / 4 || buffer->length > SIZE_MAX / 4) {
        return false;
    }
    size_t needed = buffer->length + length;
    size_t doubled = buffer->capacity < 512 ? 1024 : buffer->capacity * 2;
    size_t capacity = doubled < needed ? needed : doubled;
    char *grown = realloc(buffer->data, capacity);
    if (grown == NULL) {
        return false;
    }
    buffer->data = grown;
    buffer->capacity = capacity;
    return true;
}

bool buffer_add(struct buffer *buffer, const void *data, size_t length) {
    if (!buffer_reserve(buffer, length)) {
        return false;
    }
    if (length > 0) {
        memcpy(buffer->data + buffer->length, data, length);
        buffer->length += length;
    }
    return true;
}
