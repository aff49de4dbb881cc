/* heymarket.rows: contacts and texts to bytes. */
#include "rows.h"

EXPORTED int luaopen_heymarket_rows(lua_State *L);

int luaopen_heymarket_rows(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"csv_record", rows_csv_record},
        {"csv_rows", rows_csv_rows},
        {"decoder", rows_decoder},
        {"encoder", rows_encoder},
        {"first_rows", rows_first_rows},
        {"hash", rows_hash},
        {"hmac_sha256", rows_hmac_sha256},
        {"json_check", rows_json_check},
        {"lot", rows_lot},
        {"phone", rows_phone},
        {"phones", rows_phones},
        {"quote", rows_quote},
        {"unseen", rows_unseen},
        {"visible", rows_visible},
        {NULL, NULL},
    };
    compat_newmodule(L, "heymarket.rows", functions);
    rows_prepare_csv_rows(L);
    rows_prepare_decoder(L);
    rows_prepare_first_rows(L);
    rows_prepare_json_check(L);
    rows_prepare_lot(L);
    rows_prepare_phones(L);
    return 1;
}
