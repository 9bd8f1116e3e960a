/* Simulates a disk that can't be read, for a program that is started with this library in LD_PRELOAD.
 *
 * While the file HUBBUB_UNREADABLE_COUNT has bytes, each read of the file HUBBUB_UNREADABLE_FILE removes one of them and fails
 * with EIO. Any unexpected state aborts the program.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fails(int file) {
    const char *ours = getenv("HUBBUB_UNREADABLE_FILE"), *count = getenv("HUBBUB_UNREADABLE_COUNT");
    struct stat is;
    if (!ours || !count || stat(count, &is) != 0 || is.st_size == 0) return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (strcmp(path, ours) != 0) return 0;
    if (truncate(count, is.st_size - 1) != 0 && errno != ENOENT) {
        perror(count);
        abort();
    }
    errno = EIO;
    return 1;
}

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        perror(name);
        abort();
    }
    return found;
}

ssize_t pread(int file, void *to, size_t size, off_t at) {
    return fails(file) ? -1 : ((ssize_t(*)(int, void *, size_t, off_t))real("pread"))(file, to, size, at);
}

ssize_t pread64(int file, void *to, size_t size, off64_t at) {
    return fails(file) ? -1 : ((ssize_t(*)(int, void *, size_t, off64_t))real("pread64"))(file, to, size, at);
}
