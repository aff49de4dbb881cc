/* With CURLOPT_NOSIGNAL libcurl leaves SIGPIPE to its user, and some TLS libraries write without
 * MSG_NOSIGNAL. Without this guard a lost connection would end the process. */
#include "pool.h"

#include <pthread.h>
#include <time.h>

static sigset_t only_sigpipe(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    return set;
}

static bool is_pending(void) {
    sigset_t pending;
    sigemptyset(&pending);
    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

void sigpipe_block(struct sigpipe *guard) {
    struct sigaction present;
    /* Servers such as nginx ignore the signal: nothing to guard against then. */
    guard->guarded = sigaction(SIGPIPE, NULL, &present) != 0 || present.sa_handler != SIG_IGN;
    if (guard->guarded) {
        sigset_t set = only_sigpipe();
        guard->pending = is_pending();
        pthread_sigmask(SIG_BLOCK, &set, &guard->former_mask);
    }
}

void sigpipe_restore(const struct sigpipe *guard) {
    if (guard->guarded) {
        if (!guard->pending && is_pending()) {
            sigset_t set = only_sigpipe();
            sigtimedwait(&set, NULL, &(struct timespec){0, 0});
        }
        pthread_sigmask(SIG_SETMASK, &guard->former_mask, NULL);
    }
}
