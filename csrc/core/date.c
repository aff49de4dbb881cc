/* Dates in the headers of a response. */
#include "core.h"

#include <string.h>

/* parse_date(text) -> seconds since 1970 | nil. libcurl's reader takes the three forms of HTTP
 * (RFC 9110, section 5.6.7) and similar ones: a date with its month as a word or as 20240416, the
 * time of day, a zone by name or as +0200, in any order. It gives nil for anything else. A
 * day that a month does not have counts on into the next month, a date before 1970 is 0 or nil, and
 * a year of two digits is one from 1971 to 2070. */
int core_parse_date(lua_State *L) {
    size_t length;
    const char *text = luaL_checklstring(L, 1, &length);
    time_t seconds = strlen(text) == length ? curl_getdate(text, NULL) : -1;
    if (seconds >= 0) {
        lua_pushinteger(L, (lua_Integer)seconds);
    } else {
        lua_pushnil(L);
    }
    return 1;
}
