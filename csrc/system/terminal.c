/* What a terminal is like. */
#include "system.h"

#include <sys/ioctl.h>
#include <unistd.h>

static int system_isatty(lua_State *L) {
    lua_pushboolean(L, isatty(fileno(system_check_file(L, 1))));
    return 1;
}

/* columns(file) -> the width of a terminal, nil where the file is none */
static int system_columns(lua_State *L) {
    struct winsize size = {0};
    if (ioctl(fileno(system_check_file(L, 1)), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        lua_pushinteger(L, size.ws_col);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

const luaL_Reg system_terminal[] = {
    {"isatty", system_isatty},
    {"columns", system_columns},
    {NULL, NULL},
};
