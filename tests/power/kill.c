/* Kills a program that is started with this library in LD_PRELOAD, just before its HUBBUB_KILL_AT-th change of a file.
 * Renames, removals, truncations and syncs count, and every 64th write.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static int changes, writes;

static void *real(const char *name) {
    void *function = dlsym(RTLD_NEXT, name);
    if (!function) abort();
    return function;
}

static void change(void) {
    const char *at = getenv("HUBBUB_KILL_AT");
    if (!at) abort();
    if (__sync_add_and_fetch(&changes, 1) == atoi(at)) kill(getpid(), SIGKILL);
}

static void wrote(void) {
    if (__sync_add_and_fetch(&writes, 1) % 64 == 0) change();
}

int rename(const char *from, const char *to) {
    change();
    return ((int (*)(const char *, const char *))real("rename"))(from, to);
}

int unlink(const char *path) {
    change();
    return ((int (*)(const char *))real("unlink"))(path);
}

int fsync(int file) {
    change();
    return ((int (*)(int))real("fsync"))(file);
}

int fdatasync(int file) {
    change();
    return ((int (*)(int))real("fdatasync"))(file);
}

int ftruncate64(int file, off64_t length) {
    change();
    return ((int (*)(int, off64_t))real("ftruncate64"))(file, length);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    wrote();
    return ((ssize_t(*)(int, const void *, size_t, off64_t))real("pwrite64"))(file, bytes, count, at);
}
