/* What the parts of heymarket.system share. */
#ifndef HEYMARKET_SYSTEM_H
#define HEYMARKET_SYSTEM_H

#include "../lua_compat.h"

#include <stdio.h>

/* The open file of Lua's at this index, else an argument error. */
HIDDEN FILE *system_check_file(lua_State *L, int index);

/* Each adds its functions to the module's table on top of the stack. */
HIDDEN void system_open_clock(lua_State *L);
HIDDEN void system_open_files(lua_State *L);
HIDDEN void system_open_signals(lua_State *L);
HIDDEN void system_open_terminal(lua_State *L);

#endif
