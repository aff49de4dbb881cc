/* heymarket.system: files and terminals, signals, clocks. */
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
    compat_newmodule(L, "heymarket.system", system_clock);
    compat_setfuncs(L, system_files);
    compat_setfuncs(L, system_signals);
    return 1;
}
