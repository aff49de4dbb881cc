/* What the parts of heymarket.core share. */
#ifndef HEYMARKET_CORE_H
#define HEYMARKET_CORE_H

#include "../lua_compat.h"

#include <curl/curl.h>
#include <sodium.h>
#include <stdatomic.h>

#if LIBCURL_VERSION_NUM < 0x075500
#error "heymarket needs libcurl 7.85 or later: install its newer development package"
#endif

/* Live objects of this process. */
enum { SIGNERS, POOLS, TRANSFERS, COUNTS };
extern HIDDEN atomic_int core_counts[COUNTS];

/* Makes sure that the thread ends before the process does, and that a forked child starts anew. To
 * be called once, after libcurl is set up: exit handlers run in reverse order. */
HIDDEN bool prepare_thread(void);

/* Sets up libcurl and libsodium once per process; raises a Lua error where that fails. */
HIDDEN void core_setup(lua_State *L);

/* These make the types of signers, and of pools and what they need. */
HIDDEN void core_prepare_signer(lua_State *L);
HIDDEN void core_prepare_pool(lua_State *L);

/* The functions of the module. */
HIDDEN int core_check_url(lua_State *L);
HIDDEN int core_parse_date(lua_State *L);
HIDDEN int core_inbox(lua_State *L);
HIDDEN int core_pool(lua_State *L);
HIDDEN int core_signer(lua_State *L);

#endif
