/* A disk that fails on demand: preloaded into a server (LD_PRELOAD), it stands between the process and libc.
 *
 *   FAULT_DIRECTORY      only files below this directory are meddled with
 *   FAULT_LOG            a line is appended for every sync and for every write that was made to fail:
 *                          KIND START END ERRNO PATH
 *                        KIND is sync or write; START and END are nanoseconds of CLOCK_MONOTONIC; ERRNO is 0 for success
 *   FAULT_SYNC_DELAY_MS  every sync takes so much longer
 *   FAULT_CONTROL        while this file exists, its text names the fault: KIND ERROR [once] [path=SUFFIX]
 *                          sync EIO, sync ENOSPC    the sync is not made and fails
 *                          write EIO, write ENOSPC  nothing is written and the write fails
 *                          write SHORT              half is written; a single byte fails with ENOSPC, as on a full disk
 *                          once                     only the first time: the file is removed then
 *                          path=SUFFIX              only files whose name ends so
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NO_FAULT = 0, SHORT_WRITE = -1 }; /* or an errno */

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Whether fd is a file below FAULT_DIRECTORY; its path is left in `path`. */
static int watched(int fd, char path[PATH_MAX]) {
    const char *directory = getenv("FAULT_DIRECTORY");
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = directory ? readlink(link, path, PATH_MAX - 1) : -1;
    if (n < 0) return 0;
    path[n] = 0;
    return !strncmp(path, directory, strlen(directory));
}

static int ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

/* The fault that is on for `kind` and `path`. */
static int fault(const char *kind, const char *path) {
    const char *control = getenv("FAULT_CONTROL");
    int fd = control ? open(control, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return NO_FAULT;
    char text[256], *rest;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n < 0 ? 0 : n] = 0;
    char *word = strtok_r(text, " \n", &rest);
    if (!word || strcmp(word, kind) || !(word = strtok_r(NULL, " \n", &rest))) return NO_FAULT;
    int error = !strcmp(word, "SHORT") ? SHORT_WRITE : !strcmp(word, "ENOSPC") ? ENOSPC : EIO;
    int once = 0;
    while ((word = strtok_r(NULL, " \n", &rest))) {
        if (!strcmp(word, "once")) once = 1;
        else if (!strncmp(word, "path=", 5) && !ends_with(path, word + 5)) return NO_FAULT;
    }
    return once && unlink(control) ? NO_FAULT : error; /* of two threads only one removes it */
}

/* Append one line to the log; by system call, because write() is the function below. */
static void note(const char *kind, long long start, int error, const char *path) {
    const char *log = getenv("FAULT_LOG");
    int fd = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0) return;
    char line[PATH_MAX + 100];
    int n = snprintf(line, sizeof line, "%s %lld %lld %d %s\n", kind, start, now(), error, path);
    syscall(SYS_write, fd, line, (size_t)n);
    close(fd);
}

static int sync_file(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    char path[PATH_MAX];
    if (!watched(fd, path)) return real(fd);
    long long start = now();
    const char *delay = getenv("FAULT_SYNC_DELAY_MS");
    if (delay) usleep(atoi(delay) * 1000);
    int error = fault("sync", path);
    if (!error && real(fd)) error = errno;
    note("sync", start, error, path);
    errno = error;
    return error ? -1 : 0;
}

int fsync(int fd) { return sync_file("fsync", fd); }
int fdatasync(int fd) { return sync_file("fdatasync", fd); }

/* What is left to write of `size` bytes: all, half for a short write; or -1 with errno set. */
static ssize_t allowed(int fd, size_t size) {
    char path[PATH_MAX];
    int saved = errno;
    int error = watched(fd, path) ? fault("write", path) : NO_FAULT;
    if (error == SHORT_WRITE && size < 2) error = ENOSPC;
    if (error) note("write", now(), error, path);
    errno = error > 0 ? error : saved;
    return error > 0 ? -1 : error == SHORT_WRITE ? (ssize_t)(size / 2) : (ssize_t)size;
}

ssize_t write(int fd, const void *data, size_t size) {
    ssize_t (*real)(int, const void *, size_t) = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    ssize_t n = allowed(fd, size);
    return n < 0 ? n : real(fd, data, (size_t)n);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    ssize_t (*real)(int, const void *, size_t, off_t) =
        (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
    ssize_t n = allowed(fd, size);
    return n < 0 ? n : real(fd, data, (size_t)n, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    ssize_t (*real)(int, const void *, size_t, off64_t) =
        (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    ssize_t n = allowed(fd, size);
    return n < 0 ? n : real(fd, data, (size_t)n, at);
}
