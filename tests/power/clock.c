/* Simulates a machine with a wrong clock, for a program that is started with this library in LD_PRELOAD.
 *
 * CLOCK_REALTIME, and the functions that read it, are ahead by HUBBUB_CLOCK_AHEAD_S seconds, which may be negative. Or they stand
 * still at the time that the file HUBBUB_CLOCK_FILE has in its first eight bytes, in seconds since 1970, until it is changed. All
 * other clocks are right. Anything unexpected aborts the program.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long ahead(void) {
    const char *text = getenv("HUBBUB_CLOCK_AHEAD_S");
    if (!text) {
        fprintf(stderr, "HUBBUB_CLOCK_AHEAD_S is needed\n");
        abort();
    }
    return atol(text);
}

/* The time in the file; NULL without one. */
static const volatile int64_t *standing;

__attribute__((constructor)) static void open_file(void) {
    const char *path = getenv("HUBBUB_CLOCK_FILE");
    if (!path) return;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    void *memory = mmap(NULL, sizeof *standing, PROT_READ, MAP_SHARED, file, 0);
    if (file < 0 || memory == MAP_FAILED) {
        fprintf(stderr, "HUBBUB_CLOCK_FILE can't be read\n");
        abort();
    }
    close(file);
    standing = memory;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return result;
    if (standing) {
        now->tv_sec = *standing;
        now->tv_nsec = 0;
    } else {
        now->tv_sec += ahead();
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    int result = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return result;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
