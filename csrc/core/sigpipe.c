/* SIGPIPE stays away from the process while libcurl writes. */
#include "pool.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

void guard_pipe(struct pipe_guard *guard) {
    sigset_t pipe_only, pending;
    struct sigaction present;
    /* Servers such as nginx ignore the signal anyway: nothing to guard against then. */
    guard->needed = sigaction(SIGPIPE, NULL, &present) != 0 || present.sa_handler != SIG_IGN;
    if (!guard->needed) {
        return;
    }
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigemptyset(&pending);
    sigpending(&pending);
    guard->pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_only, &guard->former);
}

void unguard_pipe(const struct pipe_guard *guard) {
    sigset_t pending;
    if (!guard->needed) {
        return;
    }
    sigemptyset(&pending);
    if (!guard->pending && sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1) {
        sigset_t pipe_only;
        sigemptyset(&pipe_only);
        sigaddset(&pipe_only, SIGPIPE);
        struct timespec at_once = {0, 0};
        sigtimedwait(&pipe_only, NULL, &at_once);
    }
    pthread_sigmask(SIG_SETMASK, &guard->former, NULL);
}
