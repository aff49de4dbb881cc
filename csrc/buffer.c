/* Bytes in memory of our own, which grows. */
#include "buffer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool make_room(struct buffer *buffer, size_t length) {
    if (length <= buffer->capacity - buffer->length) {
        return true;
    }
    if (length > SIZE_MAX / 4 || buffer->length > SIZE_MAX / 4) {
        return false;
    }
    size_t capacity = buffer->capacity < 512 ? 1024 : buffer->capacity * 2;
    if (capacity < buffer->length + length) {
        capacity = buffer->length + length;
    }
    char *data = realloc(buffer->data, capacity);
    if (data != NULL) {
        buffer->data = data;
        buffer->capacity = capacity;
    }
    return data != NULL;
}

bool buffer_add(struct buffer *buffer, const void *data, size_t length) {
    if (!make_room(buffer, length)) {
        return false;
    }
    if (length > 0) {
        memcpy(buffer->data + buffer->length, data, length);
        buffer->length += length;
    }
    return true;
}
