/* A pool of threads: in_parts(parts, task, with) does task(with, 0), ..., task(with, parts - 1).
 *
 * The caller does part 0, then those that no worker has begun: one that has lost its core, or still
 * wakes up, is not waited for. A worker that has nothing to do looks for work for some microseconds,
 * then sleeps: training steps follow each other at once, and threads that spin take the core of
 * whoever else computes. The parts are the caller's choice and every part is done by itself, so that
 * results do not depend on who does it: a second Python thread that comes while the pool is at work
 * does its parts alone, one after the other. A forked child has no workers; it makes its own when it
 * first needs them.
 */
#include "engine.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { MOST = 256, LOOKS = 2000, PATIENCE = 1000 };    /* of some 15 ns each */

static pthread_mutex_t taken = PTHREAD_MUTEX_INITIALIZER;   /* by the caller at work */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;    /* of what sleepers wait for */
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int workers, sleepers;

static struct {
    void (*task)(void *, int);
    void *with;
} job;
static atomic_int unfinished;       /* parts */

/* A part's ticket is odd while the part is to be had, even before and after. Whoever changes it from
 * odd to even does the part; a worker looks at that of its own number. */
static struct {
    _Alignas(64) atomic_uint number;
} tickets[MOST + 1];

static int is_open(unsigned ticket) { return ticket & 1; }

ALWAYS_INLINE void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void do_if_open(int part, unsigned ticket) {
    if (!is_open(ticket) || !atomic_compare_exchange_strong(&tickets[part].number, &ticket, ticket + 1))
        return;
    job.task(job.with, part);       /* which stays what it is until all parts are done */
    atomic_fetch_sub_explicit(&unfinished, 1, memory_order_release);
}

static void *work(void *argument) {
    const int part = (int)(intptr_t)argument;
    for (;;) {
        unsigned ticket = atomic_load(&tickets[part].number);
        for (int looks = 0; !is_open(ticket) && looks < LOOKS; looks++) {
            pause_briefly();
            ticket = atomic_load_explicit(&tickets[part].number, memory_order_acquire);
        }
        if (!is_open(ticket)) {
            pthread_mutex_lock(&lock);
            sleepers++;
            while (!is_open(ticket = atomic_load(&tickets[part].number))) pthread_cond_wait(&wake, &lock);
            sleepers--;
            pthread_mutex_unlock(&lock);
        }
        do_if_open(part, ticket);
    }
    return NULL;
}

static void in_the_child(void) {
    workers = sleepers = 0;
    atomic_store(&unfinished, 0);
    for (int part = 0; part <= MOST; part++) atomic_store(&tickets[part].number, 0);
    pthread_mutex_init(&taken, NULL);
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&wake, NULL);
}

static void prepare_for_forks(void) { pthread_atfork(NULL, NULL, in_the_child); }

/* Let there be so many workers, if the system gives them; say how many there are. */
static int hire(int wanted) {
    pthread_once(&once, prepare_for_forks);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);    /* signals are for Python's threads */
    while (workers < MIN(wanted, MOST)) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, (void *)(intptr_t)(workers + 1)) != 0) break;
        pthread_detach(thread);
        workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return workers;
}

static void one_by_one(int parts, void (*task)(void *, int), void *with) {
    for (int part = 0; part < parts; part++) task(with, part);
}

void in_parts(int parts, void (*task)(void *, int), void *with) {
    if (parts <= 1 || pthread_mutex_trylock(&taken) != 0) {
        one_by_one(parts, task, with);
        return;
    }
    if (hire(parts - 1) < parts - 1) {
        pthread_mutex_unlock(&taken);
        one_by_one(parts, task, with);
        return;
    }
    job.task = task;
    job.with = with;
    atomic_store(&unfinished, parts - 1);
    pthread_mutex_lock(&lock);
    for (int part = 1; part < parts; part++) atomic_fetch_add(&tickets[part].number, 1);
    if (sleepers) pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&lock);
    task(with, 0);
    for (int part = 1; part < parts; part++) do_if_open(part, atomic_load(&tickets[part].number));
    for (int looks = 0; atomic_load_explicit(&unfinished, memory_order_acquire); looks++) {
        if (looks < PATIENCE) pause_briefly();
        else sched_yield();     /* a worker has lost its core: let it have this one */
    }
    pthread_mutex_unlock(&taken);
}

/* How many parts are worth waking threads for. */
int worth_parts(int threads, double work, double enough) {
    double most = work / enough;
    return most < 1 ? 1 : most < threads ? (int)most : MAX(threads, 1);
}
