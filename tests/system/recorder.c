/* Records what a process asks of the disk: preloaded into it (LD_PRELOAD), it stands between the process and libc.
 *
 *   RECORD_DIRECTORY      only what is below this directory is recorded
 *   RECORD_LOG            where to: records are appended, those of later processes too
 *   RECORD_SYNC_DELAY_MS  every sync takes so much longer, so that an acknowledgement that does not wait for it is seen
 *
 * A record is the structure below, then the path, a second path (rename), and the bytes (write). It is appended before
 * the thing is done, and one mutex holds all others back until it is done; only a sync lets them pass, and has two
 * records, one at either end. The second one is missing when it failed. disk_model.py reads it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { CREATE = 1, WRITE, TRUNCATE, SYNC_BEGINS, SYNC_ENDS, RENAME, UNLINK, MKDIR };

struct record {
    uint64_t time, inode, a, b; /* WRITE: a is the offset; TRUNCATE: the size; SYNC: a tells them apart */
    uint32_t kind, path, second, data;
};

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static int below(const char *path) {
    const char *directory = getenv("RECORD_DIRECTORY");
    size_t n = directory ? strlen(directory) : 0;
    return n && !strncmp(path, directory, n) && (!path[n] || path[n] == '/');
}

static int watched(int fd, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return below(path);
}

/* The absolute form of `path`; what it names need not exist. */
static int watched_name(int at, const char *path, char whole[PATH_MAX]) {
    if (path[0] == '/') snprintf(whole, PATH_MAX, "%s", path);
    else {
        char base[PATH_MAX / 2];
        if (at == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) return 0;
        } else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", at);
            ssize_t n = readlink(link, base, sizeof base - 1);
            if (n < 0) return 0;
            base[n] = 0;
        }
        if (snprintf(whole, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return 0;
    }
    return below(whole);
}

static uint64_t inode(int fd) {
    struct stat status;
    return fstat(fd, &status) ? 0 : status.st_ino;
}

static uint64_t inode_of(const char *path) {
    struct stat status;
    return lstat(path, &status) ? 0 : status.st_ino;
}

/* By system call, because write() is a function below. A recording with a hole would accuse the server of it. */
static void note(uint32_t kind, uint64_t inode, uint64_t a, const char *path, const char *second, const void *data,
                 size_t size) {
    const char *log = getenv("RECORD_LOG");
    int fd = log ? (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    struct record r = {now(), inode, a, 0, kind, strlen(path), second ? strlen(second) : 0, size};
    struct iovec parts[] = {
        {&r, sizeof r}, {(void *)path, r.path}, {(void *)second, r.second}, {(void *)data, size}};
    ssize_t whole = sizeof r + r.path + r.second + size;
    if (fd < 0 || syscall(SYS_writev, fd, parts, 4) != whole) {
        static const char text[] = "recorder: cannot write the recording\n";
        syscall(SYS_write, 2, text, sizeof text - 1);
        _exit(70);
    }
    close(fd);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define BEGIN pthread_mutex_lock(&turn)
#define END pthread_mutex_unlock(&turn)

/* -- names ---------------------------------------------------------------------------------------------------------- */

static int open_recorded(const char *name, int at, const char *path, int flags, mode_t mode) {
    char whole[PATH_MAX];
    int (*real)(int, const char *, int, ...) = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, name);
    int interesting = (flags & (O_CREAT | O_TRUNC)) && watched_name(at, path, whole);
    if (!interesting) return real(at, path, flags, mode);
    BEGIN;
    uint64_t before = inode_of(whole);
    int fd = real(at, path, flags, mode);
    int saved = errno;
    if (fd >= 0 && !before) note(CREATE, inode(fd), 0, whole, NULL, NULL, 0);
    else if (fd >= 0 && flags & O_TRUNC) note(TRUNCATE, inode(fd), 0, whole, NULL, NULL, 0);
    END;
    errno = saved;
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if (flags & O_CREAT) { \
        va_list list; \
        va_start(list, flags); \
        mode = va_arg(list, mode_t); \
        va_end(list); \
    }

int open(const char *path, int flags, ...) { MODE(flags) return open_recorded("openat", AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_recorded("openat64", AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return open_recorded("openat", at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) {
    MODE(flags) return open_recorded("openat64", at, path, flags, mode);
}

/* The four that take a name and change it: the record first, then the deed. One that fails is told nobody: the
 * programs that are recorded do not rename or delete in vain, and disk_model.py compares the end with the disk. */
int rename(const char *from, const char *to) {
    char a[PATH_MAX], b[PATH_MAX];
    if (!watched_name(AT_FDCWD, from, a) || !watched_name(AT_FDCWD, to, b) || !inode_of(a)) return REAL(rename)(from, to);
    BEGIN;
    note(RENAME, 0, 0, a, b, NULL, 0);
    int result = REAL(rename)(from, to);
    END;
    return result;
}

int unlink(const char *path) {
    char whole[PATH_MAX];
    if (!watched_name(AT_FDCWD, path, whole) || !inode_of(whole)) return REAL(unlink)(path);
    BEGIN;
    note(UNLINK, 0, 0, whole, NULL, NULL, 0);
    int result = REAL(unlink)(path);
    END;
    return result;
}

int mkdir(const char *path, mode_t mode) {
    char whole[PATH_MAX];
    if (!watched_name(AT_FDCWD, path, whole) || inode_of(whole)) return REAL(mkdir)(path, mode);
    BEGIN;
    int result = REAL(mkdir)(path, mode);
    int saved = errno;
    if (!result) note(MKDIR, 0, 0, whole, NULL, NULL, 0);
    END;
    errno = saved;
    return result;
}

/* -- contents ------------------------------------------------------------------------------------------------------- */

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    char path[PATH_MAX];
    if (!watched(fd, path)) return REAL(pwrite64)(fd, data, size, at);
    BEGIN;
    note(WRITE, inode(fd), at, path, NULL, data, size);
    ssize_t n = REAL(pwrite64)(fd, data, size, at);
    END;
    return n;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }

ssize_t write(int fd, const void *data, size_t size) {
    char path[PATH_MAX];
    if (!watched(fd, path)) return REAL(write)(fd, data, size);
    BEGIN;
    off_t at = lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    note(WRITE, inode(fd), at, path, NULL, data, size);
    ssize_t n = REAL(write)(fd, data, size);
    END;
    return n;
}

int ftruncate64(int fd, off64_t size) {
    char path[PATH_MAX];
    if (!watched(fd, path)) return REAL(ftruncate64)(fd, size);
    BEGIN;
    note(TRUNCATE, inode(fd), size, path, NULL, NULL, 0);
    int result = REAL(ftruncate64)(fd, size);
    END;
    return result;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

/* -- syncs ---------------------------------------------------------------------------------------------------------- */

static int sync_recorded(const char *name, int fd) {
    static uint64_t count;
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    char path[PATH_MAX];
    if (!watched(fd, path)) return real(fd);
    BEGIN;
    uint64_t number = (uint64_t)getpid() << 32 | ++count;
    note(SYNC_BEGINS, inode(fd), number, path, NULL, NULL, 0);
    END;
    const char *delay = getenv("RECORD_SYNC_DELAY_MS");
    if (delay) usleep(atof(delay) * 1000);
    int result = real(fd), saved = errno;
    if (!result) {
        BEGIN;
        note(SYNC_ENDS, inode(fd), number, path, NULL, NULL, 0);
        END;
    }
    errno = saved;
    return result;
}

int fsync(int fd) { return sync_recorded("fsync", fd); }
int fdatasync(int fd) { return sync_recorded("fdatasync", fd); }
