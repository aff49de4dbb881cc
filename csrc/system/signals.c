/* Signals that ask this process to end. */
#include "system.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

static int system_pid(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)getpid());
    return 1;
}

/* A reader that goes away must not end this process before it has reported: while the others are
 * counted, SIGPIPE is ignored, and writing fails instead. */
enum { WATCHED = 4 };
static const int watched[WATCHED] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
static struct sigaction former[WATCHED];
static bool watching;
static volatile sig_atomic_t interrupts;
static volatile sig_atomic_t keyboard_interrupts;

/* The second interrupt from the keyboard ends the process at once. */
static void on_interrupt(int number) {
    int saved = errno;
    interrupts++;
    if (number == SIGINT && ++keyboard_interrupts >= 2) {
        struct sigaction end = {.sa_handler = SIG_DFL};
        sigaction(SIGINT, &end, NULL);
        raise(SIGINT); /* takes effect as soon as this handler returns */
    }
    errno = saved;
}

static void watch(void) {
    struct sigaction action = {0}; /* without SA_RESTART: calls that wait return */
    interrupts = keyboard_interrupts = 0;
    compat_pin();
    for (int i = 0; i < WATCHED; i++) {
        action.sa_handler = watched[i] == SIGPIPE ? SIG_IGN : on_interrupt;
        sigaction(watched[i], &action, &former[i]);
        if (watched[i] == SIGHUP && former[i].sa_handler == SIG_IGN) {
            sigaction(SIGHUP, &former[i], NULL); /* nohup: the process outlives its terminal */
        }
    }
}

static void restore(void) {
    for (int i = 0; i < WATCHED; i++) {
        sigaction(watched[i], &former[i], NULL);
    }
}

/* interrupts(["count" | "restore"]) -> how many signals came since the first call. "restore" ends
 * the counting and brings the former handlers back. */
static int system_interrupts(lua_State *L) {
    static const char *const requests[] = {"count", "restore", NULL};
    bool count = luaL_checkoption(L, 1, "count", requests) == 0;
    if (count != watching) {
        (count ? watch : restore)();
        watching = count;
    }
    lua_pushinteger(L, interrupts);
    return 1;
}

const luaL_Reg system_signals[] = {
    {"interrupts", system_interrupts},
    {"pid", system_pid},
    {NULL, NULL},
};
