/* What the parts of heymarket.system share. */
#ifndef HEYMARKET_SYSTEM_H
#define HEYMARKET_SYSTEM_H

#include "../lua_compat.h"

#include <stdio.h>

/* The open file of Lua's at this index, else an argument error. */
HIDDEN FILE *system_check_file(lua_State *L, int index);

/* The functions of the module. */
extern HIDDEN const luaL_Reg system_clock[], system_files[], system_signals[];

#endif
