/* Signals that ask this process to end. */
#include "system.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static int system_pid(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)getpid());
    return 1;
}

/* Whoever wants to end in order must not be ended by a reader that went away: SIGPIPE is ignored
 * meanwhile, and writing fails instead. */
enum { WATCHED = 4 };
static const int watched[WATCHED] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
static struct sigaction former[WATCHED];
static bool watching;
static volatile sig_atomic_t interrupts;
static volatile sig_atomic_t keyboard_interrupts;

static void on_interrupt(int number) {
    int saved = errno;
    interrupts++;
    if (number == SIGINT && ++keyboard_interrupts >= 2) {
        struct sigaction end;
        memset(&end, 0, sizeof end);
        end.sa_handler = SIG_DFL;
        sigaction(SIGINT, &end, NULL);
        raise(SIGINT); /* takes effect as soon as this handler returns */
    }
    errno = saved;
}

static void watch(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask); /* and no SA_RESTART: waiting calls shall return */
    interrupts = 0;
    keyboard_interrupts = 0;
    compat_pin();
    for (int i = 0; i < WATCHED; i++) {
        action.sa_handler = watched[i] == SIGPIPE ? SIG_IGN : on_interrupt;
        sigaction(watched[i], &action, &former[i]);
        if (watched[i] == SIGHUP && former[i].sa_handler == SIG_IGN) {
            sigaction(SIGHUP, &former[i], NULL); /* nohup: the terminal may go, this goes on */
        }
    }
    watching = true;
}

static int system_interrupts(lua_State *L) {
    static const char *const requests[] = {"count", "restore", NULL};
    bool restore = luaL_checkoption(L, 1, "count", requests) == 1;
    if (!restore && !watching) {
        watch();
    } else if (restore && watching) {
        for (int i = 0; i < WATCHED; i++) {
            sigaction(watched[i], &former[i], NULL);
        }
        watching = false;
    }
    lua_pushinteger(L, interrupts);
    return 1;
}

void system_open_signals(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"interrupts", system_interrupts},
        {"pid", system_pid},
        {NULL, NULL},
    };
    compat_setfuncs(L, functions);
}
