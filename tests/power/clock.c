/* Simulates a machine with a wrong clock, for a program that is started with this library in LD_PRELOAD.
 *
 * CLOCK_REALTIME, and the functions that read it, are ahead by HUBBUB_CLOCK_AHEAD_S seconds, which may be negative. All other
 * clocks are right. Anything unexpected aborts the program.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
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

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += ahead();
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
