/* Clocks, waiting, and random numbers. */
#include "system.h"

#include <stdint.h>
#include <sys/random.h>
#include <time.h>

/* Seconds since some moment in the past; they never go back. */
static int system_monotonic(lua_State *L) {
    lua_pushnumber(L, compat_seconds(CLOCK_MONOTONIC));
    return 1;
}

/* Seconds since 1970. */
static int system_time(lua_State *L) {
    lua_pushnumber(L, compat_seconds(CLOCK_REALTIME));
    return 1;
}

/* A signal ends the wait: the caller looks at system.interrupts() then. */
static int system_sleep(lua_State *L) {
    double seconds = luaL_checknumber(L, 1);
    if (seconds > 0) {
        seconds = seconds < 1e9 ? seconds : 1e9;
        struct timespec length = {(time_t)seconds, 0};
        length.tv_nsec = (long)((seconds - (double)length.tv_sec) * 1e9);
        nanosleep(&length, NULL);
    }
    return 0;
}

/* A number from 0 up to and without 1: the 53 bits that a double holds. */
static int system_random(lua_State *L) {
    uint64_t bits;
    if (getentropy(&bits, sizeof bits) != 0) {
        return luaL_error(L, "the system gives no random bytes");
    }
    lua_pushnumber(L, (double)(bits >> 11) / 9007199254740992.0);
    return 1;
}

const luaL_Reg system_clock[] = {
    {"monotonic", system_monotonic}, {"time", system_time}, {"sleep", system_sleep},
    {"random", system_random},       {NULL, NULL},
};
