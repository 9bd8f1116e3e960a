// A disk that takes HUBBUB_SLOW_SYNC_US microseconds more for each sync.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int after_a_pause(const char *name, int fd) {
    const char *microseconds = getenv("HUBBUB_SLOW_SYNC_US");
    usleep(microseconds ? strtoul(microseconds, NULL, 10) : 0);
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}

int fsync(int fd) {
    return after_a_pause("fsync", fd);
}

int fdatasync(int fd) {
    return after_a_pause("fdatasync", fd);
}
