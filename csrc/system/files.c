/* Files that are durable, exclusive and only for their owner. */
#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void push_reason(lua_State *L, int reason) {
    char text[128];
    text[0] = '\0';
    if (reason == EWOULDBLOCK) {
        lua_pushstring(L, "in use by another process");
    } else {
        /* strerror alone may share its text between threads. */
#if defined(__GLIBC__)
        lua_pushstring(L, strerror_r(reason, text, sizeof text));
#else
        strerror_r(reason, text, sizeof text);
        lua_pushstring(L, text);
#endif
    }
}

/* true, or nil and the reason of the system call that just failed. */
static int outcome(lua_State *L, bool good, int reason) {
    if (good) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushnil(L);
    push_reason(L, reason);
    return 2;
}

/* nil, a code for programs, and the reason of the system call that just failed. */
static int refused(lua_State *L, const char *code, int reason) {
    lua_pushnil(L);
    lua_pushstring(L, code);
    push_reason(L, reason);
    return 3;
}

static int not_regular(lua_State *L) {
    lua_pushnil(L);
    lua_pushstring(L, "not_regular");
    lua_pushstring(L, "it is not a plain file");
    return 3;
}

static int system_sync(lua_State *L) {
    FILE *file = system_check_file(L, 1);
#if defined(__APPLE__)
    bool good = fflush(file) == 0 && fsync(fileno(file)) == 0;
#else
    bool good = fflush(file) == 0 && fdatasync(fileno(file)) == 0;
#endif
    return outcome(L, good, errno);
}

/* For a file that holds people's data: it must be a regular file, only its owner can read it from
 * now on, and no program that is started from here gets the open handle. */
static int system_protect(lua_State *L) {
    int file = fileno(system_check_file(L, 1));
    struct stat state;
    int flags = fcntl(file, F_GETFD);
    if (flags < 0 || fcntl(file, F_SETFD, flags | FD_CLOEXEC) < 0 || fstat(file, &state) != 0) {
        return refused(L, "system", errno);
    } else if (!S_ISREG(state.st_mode)) {
        return not_regular(L);
    } else if ((state.st_mode & 07777) != (S_IRUSR | S_IWUSR) &&
               fchmod(file, S_IRUSR | S_IWUSR) != 0) {
        int reason = errno;
        return refused(L, reason == EPERM ? "not_owner" : "system", reason);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* Looks whether a path is a regular file, without waiting for a pipe's other end, and makes an
 * empty one for its owner only where there is nothing, also at the end of a symbolic link. */
static int system_prepare(lua_State *L) {
    const char *path = luaL_checklstring(L, 1, NULL);
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOCTTY,
                    S_IRUSR | S_IWUSR);
    int reason = errno;
    if (file < 0) {
        bool odd = reason == ENXIO || reason == EISDIR || reason == ENODEV;
        return odd ? not_regular(L) : refused(L, "system", reason);
    }
    struct stat state;
    bool known = fstat(file, &state) == 0;
    reason = errno;
    close(file);
    if (!known) {
        return refused(L, "system", reason);
    } else if (!S_ISREG(state.st_mode)) {
        return not_regular(L);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* Makes sure that a file which was created is still there after a power cut: its name stands in the
 * directory. Where the path is a link, the directory of the file itself counts. */
static int system_sync_directory(lua_State *L) {
    const char *path = luaL_checklstring(L, 1, NULL);
    char resolved[PATH_MAX];
    if (realpath(path, resolved) == NULL) {
        return outcome(L, false, errno);
    }
    int directory = open(dirname(resolved), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        return outcome(L, false, errno);
    }
    /* Some file systems cannot sync a directory, and say so. */
    bool good = fsync(directory) == 0 || errno == EINVAL || errno == ENOTSUP;
    int reason = errno;
    close(directory);
    return outcome(L, good, reason);
}

/* The size of an open file, in bytes; nil and "replaced" or "gone" where the path is another file
 * by now, or none. */
static int system_size(lua_State *L) {
    int file = fileno(system_check_file(L, 1));
    const char *path = luaL_checklstring(L, 2, NULL);
    struct stat ours, there;
    if (fstat(file, &ours) != 0) {
        return refused(L, "system", errno);
    } else if (stat(path, &there) != 0) {
        int reason = errno;
        return refused(L, reason == ENOENT || reason == ENOTDIR ? "gone" : "system", reason);
    } else if (ours.st_dev != there.st_dev || ours.st_ino != there.st_ino) {
        lua_pushnil(L);
        lua_pushstring(L, "replaced");
        return 2;
    }
    lua_pushnumber(L, (lua_Number)ours.st_size);
    return 1;
}

/* Cuts a file off after so many bytes. */
static int system_truncate(lua_State *L) {
    FILE *file = system_check_file(L, 1);
    double size = compat_checkwhole(L, 2);
    bool good = fflush(file) == 0 && ftruncate(fileno(file), (off_t)size) == 0;
    return outcome(L, good, errno);
}

static int system_lock(lua_State *L) {
    bool good = flock(fileno(system_check_file(L, 1)), LOCK_EX | LOCK_NB) == 0;
    return outcome(L, good, errno);
}

static const char *kind_of(mode_t mode) {
    if (S_ISREG(mode)) {
        return "file";
    } else if (S_ISDIR(mode)) {
        return "directory";
    }
    return S_ISFIFO(mode) || S_ISSOCK(mode) ? "pipe" : "device";
}

/* Which file an open file or a path is, and of what kind: two names of one file, whatever links
 * lead there, have the same identity. Nothing is opened. For a path a third value says whether it
 * is a symbolic link. nil and the reason where there is nothing. */
static int system_identity(lua_State *L) {
    struct stat state;
    bool good, link = false;
    if (lua_type(L, 1) == LUA_TSTRING) {
        const char *path = luaL_checklstring(L, 1, NULL);
        good = lstat(path, &state) == 0;
        link = good && S_ISLNK(state.st_mode);
        good = link ? stat(path, &state) == 0 : good;
    } else {
        good = fstat(fileno(system_check_file(L, 1)), &state) == 0;
    }
    if (!good) {
        return outcome(L, false, errno);
    }
    char identity[48];
    snprintf(identity, sizeof identity, "%llx:%llx", (unsigned long long)state.st_dev,
             (unsigned long long)state.st_ino);
    lua_pushstring(L, identity);
    lua_pushstring(L, kind_of(state.st_mode));
    lua_pushboolean(L, link);
    return 3;
}

/* Copies all that a descriptor can read from its start. */
static bool copy_bytes(int from, int to) {
    char buffer[65536];
    off_t at = 0;
    for (;;) {
        ssize_t size = pread(from, buffer, sizeof buffer, at);
        if (size <= 0) {
            if (size < 0 && errno == EINTR) {
                continue;
            }
            return size == 0;
        }
        for (ssize_t done = 0; done < size;) {
            ssize_t written = write(to, buffer + done, (size_t)(size - done));
            if (written < 0 && errno != EINTR) {
                return false;
            }
            done += written > 0 ? written : 0;
        }
        at += size;
    }
}

/* Copies an open file to a path where nothing is yet, not even a link; only the owner can read the
 * copy, and it is on the disk when this returns. nil, "exists" or "system", and the reason. */
static int system_copy(lua_State *L) {
    FILE *file = system_check_file(L, 1);
    const char *path = luaL_checklstring(L, 2, NULL);
    if (fflush(file) != 0) {
        return refused(L, "system", errno);
    }
    int copy = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, S_IRUSR | S_IWUSR);
    if (copy < 0) {
        int reason = errno;
        return refused(L, reason == EEXIST ? "exists" : "system", reason);
    }
    bool good = copy_bytes(fileno(file), copy) && fsync(copy) == 0;
    int reason = errno;
    if (close(copy) != 0 && good) {
        good = false;
        reason = errno;
    }
    if (!good) {
        unlink(path); /* what was made here is half a copy */
        return refused(L, "system", reason);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* The nanoseconds (within its second) of the time when an open file was last changed; with a second
 * argument it sets that time to now, with these nanoseconds. */
static int system_nanoseconds(lua_State *L) {
    FILE *file = system_check_file(L, 1);
    if (!lua_isnoneornil(L, 2)) {
        double wanted = compat_checkwhole(L, 2);
        luaL_argcheck(L, wanted < 1e9, 2, "must be less than a second");
        struct timespec times[2] = {{0, UTIME_OMIT}, {time(NULL), (long)wanted}};
        bool good = fflush(file) == 0 && futimens(fileno(file), times) == 0;
        return outcome(L, good, errno);
    }
    struct stat state;
    if (fflush(file) != 0 || fstat(fileno(file), &state) != 0) {
        return outcome(L, false, errno);
    }
#if defined(__APPLE__)
    lua_pushinteger(L, (lua_Integer)state.st_mtimespec.tv_nsec);
#else
    lua_pushinteger(L, (lua_Integer)state.st_mtim.tv_nsec);
#endif
    return 1;
}

void system_open_files(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"sync", system_sync},
        {"prepare", system_prepare},
        {"protect", system_protect},
        {"size", system_size},
        {"sync_directory", system_sync_directory},
        {"truncate", system_truncate},
        {"lock", system_lock},
        {"identity", system_identity},
        {"copy", system_copy},
        {"nanoseconds", system_nanoseconds},
        {NULL, NULL},
    };
    compat_setfuncs(L, functions);
}
