/* Files that are durable, locked, and only for their owner; and files that are terminals.
 *
 * What fails gives nil, a code, and the system's own words for its reason. The code is "system", or
 * a reason that callers tell apart: "in_use", "exists", "gone", "not_owner". A file that is not the
 * expected one gives nil and "not_regular" or "replaced". */
#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { OWNER_ONLY = S_IRUSR | S_IWUSR };

static int push_true(lua_State *L) {
    lua_pushboolean(L, 1);
    return 1;
}

static int push_code(lua_State *L, const char *code) {
    lua_pushnil(L);
    lua_pushstring(L, code);
    return 2;
}

/* nil, a code, and the reason of the system call that failed. In glibc since 2.32 and in musl each
 * thread has its own text from strerror. */
static int push_failure(lua_State *L, const char *code, int reason) {
    push_code(L, code);
    lua_pushstring(L, strerror(reason));
    return 3;
}

static int push_outcome(lua_State *L, bool ok) {
    return ok ? push_true(L) : push_failure(L, "system", errno);
}

static int system_sync(lua_State *L) {
    FILE *file = system_check_file(L, 1);
    return push_outcome(L, fflush(file) == 0 && fdatasync(fileno(file)) == 0);
}

static bool close_on_exec(int file) {
    int flags = fcntl(file, F_GETFD);
    return flags >= 0 && fcntl(file, F_SETFD, flags | FD_CLOEXEC) == 0;
}

/* From now on no program that is started from here gets this open file. */
static int system_close_on_exec(lua_State *L) {
    return push_outcome(L, close_on_exec(fileno(system_check_file(L, 1))));
}

/* For a file that holds people's data: it must be a regular file, only its owner can read it from
 * now on, and no program that is started from here gets the open handle. */
static int system_protect(lua_State *L) {
    int file = fileno(system_check_file(L, 1));
    struct stat state;
    if (!close_on_exec(file) || fstat(file, &state) != 0) {
        return push_failure(L, "system", errno);
    } else if (!S_ISREG(state.st_mode)) {
        return push_code(L, "not_regular");
    } else if ((state.st_mode & 07777) != OWNER_ONLY && fchmod(file, OWNER_ONLY) != 0) {
        return push_failure(L, errno == EPERM ? "not_owner" : "system", errno);
    }
    return push_true(L);
}

/* Looks whether a path is a regular file, without waiting for a pipe's other end, and makes an
 * empty one for its owner only where there is nothing, also at the end of a symbolic link. */
static int system_prepare(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    int file =
        open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, OWNER_ONLY);
    if (file < 0) {
        bool is_special = errno == ENXIO || errno == EISDIR || errno == ENODEV;
        return is_special ? push_code(L, "not_regular") : push_failure(L, "system", errno);
    }
    struct stat state;
    int reason = fstat(file, &state) == 0 ? 0 : errno;
    close(file);
    return reason != 0              ? push_failure(L, "system", reason)
           : S_ISREG(state.st_mode) ? push_true(L)
                                    : push_code(L, "not_regular");
}

/* Makes sure that a new file is still there after a power cut: its name stands in the directory.
 * Where the path is a link, the directory of the file itself counts. */
static int system_sync_directory(lua_State *L) {
    char resolved[PATH_MAX];
    int directory = realpath(luaL_checkstring(L, 1), resolved) != NULL
                        ? open(dirname(resolved), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                        : -1;
    if (directory < 0) {
        return push_failure(L, "system", errno);
    }
    /* Some file systems cannot sync a directory, and say so. */
    int reason = fsync(directory) == 0 || errno == EINVAL || errno == ENOTSUP ? 0 : errno;
    close(directory);
    return reason == 0 ? push_true(L) : push_failure(L, "system", reason);
}

/* size(file, path) -> the size of an open file in bytes. "replaced" or "gone" where the path is
 * another file by now, or none. */
static int system_size(lua_State *L) {
    int file = fileno(system_check_file(L, 1));
    const char *path = luaL_checkstring(L, 2);
    struct stat ours, there;
    if (fstat(file, &ours) != 0) {
        return push_failure(L, "system", errno);
    } else if (stat(path, &there) != 0) {
        return push_failure(L, errno == ENOENT || errno == ENOTDIR ? "gone" : "system", errno);
    } else if (ours.st_dev != there.st_dev || ours.st_ino != there.st_ino) {
        return push_code(L, "replaced");
    }
    lua_pushnumber(L, (lua_Number)ours.st_size);
    return 1;
}

/* truncate(file, size): cuts a file off after so many bytes. */
static int system_truncate(lua_State *L) {
    FILE *file = system_check_file(L, 1);
    off_t size = (off_t)compat_checkwhole(L, 2);
    return push_outcome(L, fflush(file) == 0 && ftruncate(fileno(file), size) == 0);
}

/* Locks a file for this open handle, without waiting. */
static int system_lock(lua_State *L) {
    return flock(fileno(system_check_file(L, 1)), LOCK_EX | LOCK_NB) == 0
               ? push_true(L)
               : push_failure(L, errno == EWOULDBLOCK ? "in_use" : "system", errno);
}

static const char *kind_of(mode_t mode) {
    return S_ISREG(mode)                      ? "file"
           : S_ISDIR(mode)                    ? "directory"
           : S_ISFIFO(mode) || S_ISSOCK(mode) ? "pipe"
                                              : "device";
}

/* Which file an open file or a path is, and of what kind: two names of one file, whatever links
 * lead there, have the same identity. Nothing is opened. For a path a third value says whether it
 * is a symbolic link. */
static int system_identity(lua_State *L) {
    struct stat state;
    bool found, link = false;
    if (lua_type(L, 1) == LUA_TSTRING) {
        const char *path = lua_tostring(L, 1);
        link = lstat(path, &state) == 0 && S_ISLNK(state.st_mode);
        found = stat(path, &state) == 0;
    } else {
        found = fstat(fileno(system_check_file(L, 1)), &state) == 0;
    }
    if (!found) {
        return push_failure(L, "system", errno);
    }
    char identity[48];
    snprintf(identity, sizeof identity, "%llx:%llx", (unsigned long long)state.st_dev,
             (unsigned long long)state.st_ino);
    lua_pushstring(L, identity);
    lua_pushstring(L, kind_of(state.st_mode));
    lua_pushboolean(L, link);
    return 3;
}

/* Copies all that a descriptor can read from its start. Not every file system can do this with
 * sendfile or copy_file_range. */
static bool copy_bytes(int from, int to) {
    char bytes[16384];
    ssize_t size;
    off_t at = 0;
    do {
        size = pread(from, bytes, sizeof bytes, at);
        size = size > 0 ? write(to, bytes, (size_t)size) : size;
        at += size > 0 ? size : 0;
    } while (size > 0 || (size < 0 && errno == EINTR));
    return size == 0;
}

/* Copies an open file to a path where nothing is yet, not even a link; only the owner can read the
 * copy, and it is on the disk when this returns. "exists" where there is something. */
static int system_copy(lua_State *L) {
    FILE *file = system_check_file(L, 1);
    const char *path = luaL_checkstring(L, 2);
    int copy = fflush(file) == 0
                   ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, OWNER_ONLY)
                   : -1;
    if (copy < 0) {
        return push_failure(L, errno == EEXIST ? "exists" : "system", errno);
    }
    int reason = copy_bytes(fileno(file), copy) && fsync(copy) == 0 ? 0 : errno;
    if (close(copy) != 0 && reason == 0) {
        reason = errno;
    }
    if (reason == 0) {
        return push_true(L);
    }
    unlink(path); /* half a copy is of no use */
    return push_failure(L, "system", reason);
}

/* The nanoseconds (within its second) of the time when an open file was last changed; with a second
 * argument it sets that time to now, with these nanoseconds. */
static int system_nanoseconds(lua_State *L) {
    FILE *file = system_check_file(L, 1);
    struct stat state;
    if (!lua_isnoneornil(L, 2)) {
        double wanted = compat_checkwhole(L, 2);
        luaL_argcheck(L, wanted < 1e9, 2, "must be less than a second");
        struct timespec times[2] = {{0, UTIME_OMIT}, {time(NULL), (long)wanted}};
        return push_outcome(L, fflush(file) == 0 && futimens(fileno(file), times) == 0);
    } else if (fflush(file) != 0 || fstat(fileno(file), &state) != 0) {
        return push_failure(L, "system", errno);
    }
    lua_pushinteger(L, (lua_Integer)state.st_mtim.tv_nsec);
    return 1;
}

static int system_isatty(lua_State *L) {
    lua_pushboolean(L, isatty(fileno(system_check_file(L, 1))));
    return 1;
}

/* columns(file) -> the width of a terminal, nil where the file is none */
static int system_columns(lua_State *L) {
    struct winsize size = {0};
    if (ioctl(fileno(system_check_file(L, 1)), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        lua_pushinteger(L, size.ws_col);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

const luaL_Reg system_files[] = {
    {"sync", system_sync},
    {"prepare", system_prepare},
    {"protect", system_protect},
    {"close_on_exec", system_close_on_exec},
    {"size", system_size},
    {"sync_directory", system_sync_directory},
    {"truncate", system_truncate},
    {"lock", system_lock},
    {"identity", system_identity},
    {"copy", system_copy},
    {"nanoseconds", system_nanoseconds},
    {"isatty", system_isatty},
    {"columns", system_columns},
    {NULL, NULL},
};
