/* A wall clock that can be set: preloaded into a server (LD_PRELOAD), it moves the dates and leaves the durations.
 *
 *   WALL_FILE   eight bytes: the microseconds that are added to the wall clock of the machine. The file is mapped, so that a
 *               change counts from the next look at the clock.
 *
 * CLOCK_MONOTONIC, epoll, sleeps and timeouts go on as they do when somebody sets the clock of a machine. What waits until a
 * moment of the wall clock (sem_timedwait, with which some builds of Python wait for a lock) waits until this one shows it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000LL

static const volatile long long *added;
static int (*real_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("WALL_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *map = mmap(NULL, sizeof *added, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED) added = map;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
    if (!real_clock) real_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real_clock(clock, t);
    if (result || !added || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return result;
    long long n = t->tv_sec * SECOND + t->tv_nsec / 1000 + *added;
    t->tv_sec = n / SECOND - (n % SECOND < 0);
    t->tv_nsec = (n % SECOND + SECOND) % SECOND * 1000 + t->tv_nsec % 1000;
    return 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until) {
    struct timespec now, nap = {0, 5000000};
    while (sem_trywait(semaphore)) {
        if (errno != EAGAIN) return -1;
        clock_gettime(CLOCK_REALTIME, &now);
        if (now.tv_sec > until->tv_sec || (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec)) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (nanosleep(&nap, NULL)) return -1;
    }
    return 0;
}
