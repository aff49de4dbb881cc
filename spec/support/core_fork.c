/* For tests only: fork, wait and descriptors, for Lua. Declares what it needs of Lua's API itself,
 * in the part that all versions share, so that it can be compiled without knowing where the headers
 * of the running Lua lie. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct lua_State lua_State;
typedef int (*lua_CFunction)(lua_State *L);
extern void lua_pushnumber(lua_State *L, double number);
extern double luaL_checknumber(lua_State *L, int index);
extern void lua_createtable(lua_State *L, int array, int hash);
extern void lua_pushcclosure(lua_State *L, lua_CFunction function, int upvalues);
extern void lua_setfield(lua_State *L, int index, const char *name);

static int fork_process(lua_State *L) {
    lua_pushnumber(L, (double)fork());
    return 1;
}

static int wait_process(lua_State *L) {
    int status = 0;
    pid_t process = (pid_t)luaL_checknumber(L, 1);
    waitpid(process, &status, 0);
    lua_pushnumber(L, WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status));
    return 1;
}

/* Without exit handlers: those belong to the test runner. */
static int exit_process(lua_State *L) {
    _exit((int)luaL_checknumber(L, 1));
}

/* Puts /dev/null in the place of a descriptor. */
static int replace_descriptor(lua_State *L) {
    int null = open("/dev/null", O_RDONLY), descriptor = (int)luaL_checknumber(L, 1);
    lua_pushnumber(L, (double)dup2(null, descriptor));
    close(null);
    return 1;
}

/* 1 where the descriptor is open. */
static int open_descriptor(lua_State *L) {
    lua_pushnumber(L, fcntl((int)luaL_checknumber(L, 1), F_GETFD) >= 0 ? 1 : 0);
    return 1;
}

int luaopen_core_fork(lua_State *L);

int luaopen_core_fork(lua_State *L) {
    lua_createtable(L, 0, 5);
    lua_pushcclosure(L, fork_process, 0);
    lua_setfield(L, -2, "fork");
    lua_pushcclosure(L, wait_process, 0);
    lua_setfield(L, -2, "wait");
    lua_pushcclosure(L, exit_process, 0);
    lua_setfield(L, -2, "exit");
    lua_pushcclosure(L, replace_descriptor, 0);
    lua_setfield(L, -2, "replace");
    lua_pushcclosure(L, open_descriptor, 0);
    lua_setfield(L, -2, "is_open");
    return 1;
}
