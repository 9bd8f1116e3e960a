// A disk that does not respond: a sync waits as long as the file HUBBUB_STUCK exists.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int when_it_responds(const char *name, int fd) {
    const char *file = getenv("HUBBUB_STUCK");
    while (file && access(file, F_OK) == 0) usleep(1000);
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}

int fsync(int fd) {
    return when_it_responds("fsync", fd);
}

int fdatasync(int fd) {
    return when_it_responds("fdatasync", fd);
}
