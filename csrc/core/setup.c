/* One-time setup of libcurl and libsodium. */
#include "core.h"

#include <pthread.h>

static pthread_once_t setup_once = PTHREAD_ONCE_INIT;
static const char *setup_problem;

static void setup(void) {
    compat_pin();
    if (sodium_init() < 0) {
        setup_problem = "libsodium cannot start";
    } else if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        setup_problem = "libcurl cannot start";
    } else if (!prepare_thread()) {
        setup_problem = "no handler for the end of the process can be set";
    }
}

void core_setup(lua_State *L) {
    if (pthread_once(&setup_once, setup) != 0) {
        luaL_error(L, "libcurl and libsodium cannot be set up");
    }
    if (setup_problem != NULL) {
        luaL_error(L, "%s", setup_problem);
    }
}
