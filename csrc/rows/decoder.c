/* Text in another encoding becomes UTF-8, a chunk at a time, by the system's iconv. */
#include "../buffer.h"
#include "rows.h"

#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TYPE "heymarket.decoder"

/* What stands for bytes that mean nothing in the encoding: no byte of UTF-8, so that whoever checks
 * the text finds it. */
#define INVALID "\xFF"

enum {
    ROOM = 4096,
    MAX_CHARACTER = 64, /* bytes of an unfinished character with its shifts */
};

struct decoder {
    iconv_t converter;
    bool is_open;
    bool is_busy; /* a finalizer must not call it while it is at work */
    size_t unit;  /* bytes that are passed over where they mean nothing */
    struct buffer in, out;
};

static void add(lua_State *L, struct buffer *buffer, const void *data, size_t length) {
    if (!buffer_add(buffer, data, length)) {
        luaL_error(L, "not enough memory");
    }
}

/* Converts what is in `in`, and leaves there a character that is not whole. At the end of the input
 * nothing is left. */
static void convert(lua_State *L, struct decoder *decoder, bool at_end) {
    char *at = decoder->in.data;
    size_t left = decoder->in.length;
    while (left > 0) {
        char room[ROOM], *to = room;
        size_t space = sizeof room;
        bool failed = iconv(decoder->converter, &at, &left, &to, &space) == (size_t)-1;
        int problem = failed ? errno : 0;
        add(L, &decoder->out, room, (size_t)(to - room));
        if (problem == EINVAL && !at_end && left <= MAX_CHARACTER) {
            break;
        } else if (problem == EINVAL || problem == EILSEQ) {
            size_t skipped = left < decoder->unit ? left : decoder->unit;
            add(L, &decoder->out, INVALID, 1);
            at += skipped;
            left -= skipped;
        } else if (problem != 0 && problem != E2BIG) {
            luaL_error(L, "iconv: %s", strerror(problem));
        }
    }
    if (left > 0) {
        memmove(decoder->in.data, at, left);
    }
    decoder->in.length = left;
    if (at_end) { /* some encodings hold a character back, because an accent may follow it */
        char room[ROOM], *to = room;
        size_t space = sizeof room;
        iconv(decoder->converter, NULL, NULL, &to, &space);
        add(L, &decoder->out, room, (size_t)(to - room));
    }
}

/* decoder:decode(chunk, at_end) -> UTF-8
 *
 * Bytes that mean nothing become the byte 0xFF. The start of a character is kept for the next
 * chunk. */
static int decode(lua_State *L) {
    struct decoder *decoder = luaL_checkudata(L, 1, TYPE);
    size_t length;
    const char *chunk = luaL_checklstring(L, 2, &length);
    luaL_argcheck(L, decoder->is_open && !decoder->is_busy, 1, "cannot be used now");
    decoder->is_busy = true; /* an error leaves it so */
    decoder->out.length = 0;
    add(L, &decoder->in, chunk, length);
    convert(L, decoder, lua_toboolean(L, 3));
    lua_pushlstring(L, decoder->out.length > 0 ? decoder->out.data : "", decoder->out.length);
    decoder->is_busy = false;
    return 1;
}

static int release(lua_State *L) {
    struct decoder *decoder = luaL_checkudata(L, 1, TYPE);
    if (decoder->is_open) {
        iconv_close(decoder->converter);
    }
    free(decoder->in.data);
    free(decoder->out.data);
    memset(decoder, 0, sizeof *decoder);
    return 0;
}

static bool begins_with(const char *name, const char *start) {
    return strncasecmp(name, start, strlen(start)) == 0;
}

/* Bytes of one unit of these encodings; characters are made of units. */
static size_t unit_of(const char *name) {
    static const struct {
        const char *start;
        size_t unit;
    } units[] = {{"UTF-16", 2}, {"UTF16", 2}, {"UCS-2", 2}, {"UCS2", 2}, {"UNICODE", 2},
                 {"UTF-32", 4}, {"UTF32", 4}, {"UCS-4", 4}, {"UCS4", 4}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (begins_with(name, units[i].start)) {
            return units[i].unit;
        }
    }
    return 1;
}

/* decoder(encoding) -> decoder | nil, "unknown_encoding" */
int rows_decoder(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    struct decoder *decoder = compat_newobject(L, TYPE, sizeof *decoder);
    /* A slash would begin iconv's own settings, such as //IGNORE. */
    decoder->converter =
        strchr(name, '/') == NULL && *name != '\0' ? iconv_open("UTF-8", name) : (iconv_t)-1;
    decoder->is_open = decoder->converter != (iconv_t)-1;
    decoder->unit = unit_of(name);
    if (!decoder->is_open) {
        lua_pushnil(L);
        lua_pushstring(L, "unknown_encoding");
        return 2;
    }
    return 1;
}

void rows_prepare_decoder(lua_State *L) {
    static const luaL_Reg methods[] = {{"decode", decode}, {NULL, NULL}};
    compat_newtype(L, TYPE, methods, release);
}
