/* heymarket.system: files, terminals, signals, clocks. */
#include "system.h"

#include <lualib.h> /* LUA_FILEHANDLE on Lua 5.1 */

FILE *system_check_file(lua_State *L, int index) {
#if LUA_VERSION_NUM >= 502
    luaL_Stream *stream = luaL_checkudata(L, index, LUA_FILEHANDLE);
    FILE *file = stream->closef != NULL ? stream->f : NULL;
#else
    FILE *file = *(FILE **)luaL_checkudata(L, index, LUA_FILEHANDLE);
#endif
    luaL_argcheck(L, file != NULL, index, "the file is closed");
    return file;
}

EXPORTED int luaopen_heymarket_system(lua_State *L);

int luaopen_heymarket_system(lua_State *L) {
    compat_check_version(L, "heymarket.system");
    lua_newtable(L);
    system_open_clock(L);
    system_open_files(L);
    system_open_signals(L);
    system_open_terminal(L);
    return 1;
}
