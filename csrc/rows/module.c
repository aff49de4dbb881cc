/* heymarket.rows: contacts and texts to bytes. */
#include "rows.h"

EXPORTED int luaopen_heymarket_rows(lua_State *L);

int luaopen_heymarket_rows(lua_State *L) {
    compat_check_version(L, "heymarket.rows");
    lua_newtable(L);
    rows_open_characters(L);
    rows_open_encoder(L);
    rows_open_hash(L);
    rows_open_json_check(L);
    rows_open_json_string(L);
    rows_open_phone(L);
    rows_open_visible(L);
    return 1;
}
