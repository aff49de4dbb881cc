/* For tests only: included first, it leaves out every lock. ThreadSanitizer must then complain. */
#include <pthread.h>
#define pthread_mutex_lock(mutex) ((void)(mutex), 0)
#define pthread_mutex_unlock(mutex) ((void)(mutex), 0)
