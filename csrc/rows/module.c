/* heymarket.rows: contacts and texts to bytes. */
#include "rows.h"

EXPORTED int luaopen_heymarket_rows(lua_State *L);

int luaopen_heymarket_rows(lua_State *L) {
    compat_check_version(L, "heymarket.rows");
    lua_newtable(L);
    rows_open_text(L);
    rows_open_contact(L);
    rows_open_json(L);
    rows_open_hash(L);
    return 1;
}
