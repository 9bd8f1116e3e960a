// A system that refuses threads: pthread_create fails with EAGAIN while the file HUBBUB_THREADS_NOW exists, and while
// HUBBUB_THREADS_MAX threads that were created so are running, as with RLIMIT_NPROC, which does not apply to root.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_ulong running;

struct job {
    void *(*body)(void *);
    void *argument;
};

static void *run(void *pointer) {
    struct job job = *(struct job *)pointer;
    free(pointer);
    void *result = job.body(job.argument);
    atomic_fetch_sub(&running, 1);
    return result;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(RTLD_NEXT, "pthread_create");
    const char *now = getenv("HUBBUB_THREADS_NOW"), *max = getenv("HUBBUB_THREADS_MAX");
    if (now && access(now, F_OK) == 0) {
        return EAGAIN;
    }
    struct job *job = malloc(sizeof *job);
    if (!job) {
        return EAGAIN;
    }
    *job = (struct job){body, argument};
    int failed = EAGAIN;
    if (atomic_fetch_add(&running, 1) < (max ? strtoul(max, NULL, 10) : (unsigned long)-1)) {
        failed = real(thread, attributes, run, job);
    }
    if (failed) {
        atomic_fetch_sub(&running, 1);
        free(job);
    }
    return failed;
}
