/* Simulates a disk that loses power, for a program that is started with this library in LD_PRELOAD.
 *
 * Each time the program syncs a file of the folder HUBBUB_POWER_DATA, the current state of the file is copied into the
 * folder HUBBUB_POWER_DISK before the sync returns. When the program is killed, that folder has the contents of a disk
 * that keeps only synced data. A file is replaced there atomically, and never by an older state of itself; a removed file
 * stays until the folder itself is synced. Any unexpected state aborts the program, so that no test passes because of it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t one_copy = PTHREAD_MUTEX_INITIALIZER;
static char buffer[1 << 20];

static void fail(const char *what) {
    perror(what);
    abort();
}

/* Copies the descriptor's file. It reads through the program's own descriptor, because opening and closing another one
 * would release the program's locks on the file. A write-only descriptor does not belong to a database. */
static void copy(int from, const char *path, const char *disk, const char *name) {
    if ((fcntl(from, F_GETFL) & O_ACCMODE) == O_WRONLY) {
        from = open(path, O_RDONLY | O_CLOEXEC);
        if (from < 0) fail(path);
        copy(from, path, disk, name);
        close(from);
        return;
    }
    char partial[PATH_MAX], whole[PATH_MAX];
    snprintf(partial, sizeof partial, "%s/.partial", disk);
    snprintf(whole, sizeof whole, "%s/%s", disk, name);
    int to = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (to < 0) fail(partial);
    off_t at = 0;
    ssize_t count;
    while ((count = pread(from, buffer, sizeof buffer, at)) > 0) {
        if (write(to, buffer, count) != count) fail(partial);
        at += count;
    }
    if (count < 0 || close(to) != 0 || rename(partial, whole) != 0) fail(whole);
}

/* Removes the files that the program has removed. */
static void forget(const char *data, const char *disk) {
    DIR *kept = opendir(disk);
    if (!kept) fail(disk);
    struct dirent *file;
    while ((file = readdir(kept))) {
        char theirs[PATH_MAX], ours[PATH_MAX];
        snprintf(theirs, sizeof theirs, "%s/%s", data, file->d_name);
        snprintf(ours, sizeof ours, "%s/%s", disk, file->d_name);
        if (file->d_name[0] != '.' && access(theirs, F_OK) != 0 && unlink(ours) != 0) fail(ours);
    }
    closedir(kept);
}

static void synced(int file) {
    const char *data = getenv("HUBBUB_POWER_DATA"), *disk = getenv("HUBBUB_POWER_DISK");
    if (!data || !disk) fail("HUBBUB_POWER_DATA and HUBBUB_POWER_DISK are needed");
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) fail(link);
    path[length] = 0;
    size_t folder = strlen(data);
    if (strncmp(path, data, folder) != 0) return;
    pthread_mutex_lock(&one_copy);
    if (path[folder] == 0) forget(data, disk);
    if (path[folder] == '/') copy(file, path, disk, path + folder + 1);
    pthread_mutex_unlock(&one_copy);
}

static int sync_by(const char *name, int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (!real) fail(name);
    int result = real(file);
    if (result == 0) synced(file);
    return result;
}

int fsync(int file) { return sync_by("fsync", file); }

int fdatasync(int file) { return sync_by("fdatasync", file); }
