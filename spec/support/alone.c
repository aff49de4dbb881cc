/* Loaded before Lua, behind the sanitizer's library: what Lua then starts (python3, nginx, a shell)
 * is not ours to check and must not get that library. */
#define _POSIX_C_SOURCE 200112L
#include <stdlib.h>

__attribute__((constructor)) static void alone(void) {
    unsetenv("LD_PRELOAD");
}
