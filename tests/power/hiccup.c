/* Simulates a disk that fails once, for a program that is started with this library in LD_PRELOAD.
 *
 * Each time the program syncs the file HUBBUB_HICCUP_FILE, the file is copied to HUBBUB_HICCUP_SYNCED, which has the contents
 * of the disk. If the file HUBBUB_HICCUP_NOW exists, the next sync fails: it removes that file, restores the contents of the
 * disk, with zeros up to the file's length, and returns EIO. Linux behaves like this: it reports a failed write once, and then
 * treats the pages as clean. All later syncs succeed. Any unexpected state aborts the program.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static char buffer[1 << 20];

static void fail(const char *what) {
    perror(what);
    abort();
}

/* Copies the contents of one file to the other, followed by zeros up to the length. It uses descriptors that are already
 * open, because closing another descriptor of the program's file would release the program's locks. */
static void copy(int from, int to, off_t length) {
    for (off_t at = 0; at < length;) {
        ssize_t count = pread(from, buffer, sizeof buffer, at);
        if (count < 0) fail("pread");
        if (count == 0) {
            memset(buffer, 0, sizeof buffer);
            count = sizeof buffer;
        }
        if (count > length - at) count = length - at;
        if (pwrite(to, buffer, count, at) != count) fail("pwrite");
        at += count;
    }
}

static int sync_by(const char *name, int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    const char *ours = getenv("HUBBUB_HICCUP_FILE"), *synced = getenv("HUBBUB_HICCUP_SYNCED");
    const char *now = getenv("HUBBUB_HICCUP_NOW");
    if (!real || !ours || !synced || !now) fail("HUBBUB_HICCUP_FILE, _SYNCED and _NOW are needed");
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) fail(link);
    path[length] = 0;
    /* A write-only descriptor only lays the file out. */
    if (strcmp(path, ours) != 0 || (fcntl(file, F_GETFL) & O_ACCMODE) == O_WRONLY) return real(file);
    pthread_mutex_lock(&one);
    struct stat is;
    if (fstat(file, &is) != 0) fail(path);
    int disk = open(synced, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (disk < 0) fail(synced);
    int result = 0;
    if (unlink(now) == 0) {
        copy(disk, file, is.st_size);
        result = -1;
    } else {
        copy(file, disk, is.st_size);
        if (ftruncate(disk, is.st_size) != 0) fail(synced);
    }
    close(disk);
    pthread_mutex_unlock(&one);
    if (result != 0) errno = EIO;
    return result;
}

int fsync(int file) { return sync_by("fsync", file); }

int fdatasync(int file) { return sync_by("fdatasync", file); }
