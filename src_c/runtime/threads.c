/* Teams of threads over OpenMP, and how many threads there are. */
#define _GNU_SOURCE
#include "threads.h"
#include "../include/cnncore.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#define CNN_PAUSE() _mm_pause()
#else
#define CNN_PAUSE() ((void)0)
#endif

/* What the others must know of a thread, each on its own cache line. */
typedef struct cnn_member {
    _Alignas(64) atomic_ullong left;  /* of its share of a work: the work's number, the first group of units and the one
                                         after the last */
    unsigned works;                   /* that the thread has begun */
    atomic_int processor;             /* that it was last seen on, counting from 1; 0: it has not begun */
    double waited;                    /* seconds at barriers after it had let go of its processor */
} cnn_member;

/* A sense-reversing barrier: the last thread to arrive opens the next phase. Each on its own cache line. */
struct cnn_team {
    _Alignas(64) atomic_int arrived;
    _Alignas(64) atomic_uint phase;
    atomic_int threads;
    cnn_member *members;              /* [threads] */
};

enum {
    SPINS = 4000
}; /* About 40 us of waiting before the processor is yielded to whoever else wants it. Sleeping (futex) instead costs
    * some 30 % of a step: operations take a millisecond, and waking up takes a good part of one. */

/* The processor that the thread is on, counting from 1; where the system does not tell, none that others are on. */
static int processor(int thread) {
#if defined(__linux__)
    (void)thread;
    return sched_getcpu() + 1;
#else
    return thread + 1;
#endif
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Where a thread of the team was last seen; 0: nowhere. */
static int seen_on(const cnn_team *team, int thread) {
    return atomic_load_explicit(&team->members[thread].processor, memory_order_relaxed);
}

/* Was another thread of the team last seen on this one's processor, or not seen yet? It can go on only when this one
 * lets go: there are more threads than processors, or the others are busy with something else, as when a process that
 * has just started its threads finds those of another library spinning. */
static int in_the_way(const cnn_team *team, int thread, int threads) {
    const int here = seen_on(team, thread);
    for (int other = 0; other < threads; other++)
        if (other != thread && (seen_on(team, other) == here || seen_on(team, other) == 0)) return 1;
    return 0;
}

void cnn_team_barrier(cnn_team *team, int thread) {
    const int threads = atomic_load_explicit(&team->threads, memory_order_relaxed);
    if (threads == 1) return;
    unsigned phase = atomic_load_explicit(&team->phase, memory_order_relaxed);
    atomic_store_explicit(&team->members[thread].processor, processor(thread), memory_order_relaxed);
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) == threads - 1) {
        atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&team->phase, phase + 1, memory_order_release);
        return;
    }
    double since = 0;
    for (int spin = 0; atomic_load_explicit(&team->phase, memory_order_acquire) == phase; spin++) {
        if (spin == SPINS / 16 && in_the_way(team, thread, threads)) spin = SPINS;
        if (spin < SPINS) {
            CNN_PAUSE();
        } else {
            if (since == 0) since = now();
            sched_yield();
        }
    }
    if (since > 0) team->members[thread].waited += now() - since;
}

/* ---- work ---- */

/* So many groups of units for each thread share out any work evenly enough. Each costs an atomic operation, which waits
 * until all that the thread has written has reached its cache or, where it is streamed, memory. */
enum { THREAD_GROUPS = 128 };
enum { GROUP_BITS = 20, GROUP_MASK = (1 << GROUP_BITS) - 1 };      /* numbers of works take the other 24 bits */
_Static_assert(THREAD_GROUPS * CNN_MAX_THREADS <= GROUP_MASK, "a number of groups must fit");

/* What is left of a share: the number of the work, and groups of units. */
typedef struct share { unsigned number; int64_t begin, end; } share;

static unsigned long long pack_share(share s) {
    return (unsigned long long)s.number << 2 * GROUP_BITS | (unsigned long long)s.begin << GROUP_BITS
           | (unsigned long long)s.end;
}

static share unpack_share(unsigned long long left) {
    return (share){.number = (unsigned)(left >> 2 * GROUP_BITS), .begin = (int64_t)(left >> GROUP_BITS & GROUP_MASK),
                   .end = (int64_t)(left & GROUP_MASK)};
}

cnn_work cnn_work_begin(cnn_team *team, int thread, int64_t count) {
    const int64_t most = (int64_t)THREAD_GROUPS * atomic_load_explicit(&team->threads, memory_order_relaxed);
    return (cnn_work){.team = team, .count = count, .grain = (count + most - 1) / most,
                      .number = ++team->members[thread].works, .thread = thread, .from = thread};
}

/* Takes a group of units from a share, from its beginning where it is the thread's own; -1 where none is left. A share
 * whose owner has not come to this work yet is what it will be, and whoever comes first says so; what is left of an
 * earlier work is nothing, as every thread saw to that before it went on. */
static int64_t take(cnn_work *w, int owner) {
    const int threads = atomic_load_explicit(&w->team->threads, memory_order_relaxed);
    const int64_t groups = w->count ? (w->count + w->grain - 1) / w->grain : 0;
    atomic_ullong *left = &w->team->members[owner].left;
    unsigned long long seen = atomic_load_explicit(left, memory_order_relaxed);
    for (;;) {
        share s = unpack_share(seen);
        if (s.number > w->number) return -1;           /* the owner is further */
        if (s.number < w->number) s = (share){w->number, groups * owner / threads, groups * (owner + 1) / threads};
        if (s.begin == s.end) return -1;
        const int64_t group = owner == w->thread ? s.begin++ : --s.end;
        if (atomic_compare_exchange_weak_explicit(left, &seen, pack_share(s), memory_order_relaxed,
                                                  memory_order_relaxed))
            return group;
    }
}

int64_t cnn_work_next(cnn_work *w) {
    if (w->at < w->stop) return w->at++;
    const int threads = atomic_load_explicit(&w->team->threads, memory_order_relaxed);
    for (int turn = 0; turn < threads; turn++, w->from = (w->from + 1) % threads) {
        const int64_t group = take(w, w->from);
        if (group < 0) continue;
        w->at = group * w->grain;
        w->stop = w->at + w->grain < w->count ? w->at + w->grain : w->count;
        return w->at++;
    }
    return -1;
}

int64_t cnn_work_coming(const cnn_work *w) {
    if (w->at < w->stop) return w->at;
    const share own = unpack_share(atomic_load_explicit(&w->team->members[w->thread].left, memory_order_relaxed));
    return own.number == w->number && own.begin < own.end ? own.begin * w->grain : -1;
}

#ifdef _OPENMP
/* After fork() the child has none of the OpenMP runtime's threads, and the runtime does not know: it would wait for
 * them for ever. The child therefore works on one thread. */
static int forked = 0;
static void in_child(void) { forked = 1; }
static pthread_once_t once = PTHREAD_ONCE_INIT;
static void watch_fork(void) { pthread_atfork(NULL, NULL, in_child); }
#endif

/* Floating-point mode: numbers below 1.2e-38 are taken as zero while the library computes. Gradients and moments of a
 * network that has converged are full of them, and each costs a processor some hundred cycles. */
#if defined(__x86_64__)
typedef unsigned float_mode;
static float_mode flush_to_zero(void) {
    const float_mode before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);                  /* FTZ: results; DAZ: operands */
    return before;
}
static void restore(float_mode before) { _mm_setcsr(before); }
#elif defined(__aarch64__)
typedef uint64_t float_mode;
static float_mode flush_to_zero(void) {
    float_mode before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | (float_mode)1 << 24));       /* FZ: both */
    return before;
}
static void restore(float_mode before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }
#else
typedef int float_mode;
static float_mode flush_to_zero(void) { return 0; }
static void restore(float_mode before) { (void)before; }
#endif

static void run_flushed(cnn_team_function function, void *context, cnn_team *team, int thread, int threads) {
    const float_mode before = flush_to_zero();
    function(context, team, thread, threads);
    restore(before);
}

/* ---- other programs ---- */

enum { LONG_WAIT_US = 1000, LOOK_AGAIN_US = 1000 };

/* What is known of threads that run and are not of the last team, for all teams of the process. Where several run at
 * once they may overwrite what the other has found, which is as good. */
static atomic_int others, last_threads;
static _Atomic double looked;

/* Looks for them: threads that run, or would if they had a processor, but those of the last team, which do so as well
 * for a while after their work. None where the system does not tell. */
static void look_for_others(void) {
    int running = 0;
#if defined(__linux__)
    FILE *file = fopen("/proc/loadavg", "r");       /* "1.33 1.54 1.25 3/104 17446": three of 104 threads are running */
    if (file) {
        if (fscanf(file, "%*f %*f %*f %d", &running) != 1) running = 0;
        fclose(file);
    }
#endif
    const int found = running - atomic_load_explicit(&last_threads, memory_order_relaxed);
    atomic_store_explicit(&others, found > 0 ? found : 0, memory_order_relaxed);
    atomic_store_explicit(&looked, now(), memory_order_relaxed);
}

int cnn_team_fitting(int threads) {
    static atomic_flag asked = ATOMIC_FLAG_INIT;
    if (threads == 1) return 1;
    if (!atomic_flag_test_and_set(&asked)) {
        atomic_store_explicit(&last_threads, 1, memory_order_relaxed);
        look_for_others();
    } else if (atomic_load_explicit(&others, memory_order_relaxed) == 0) {
        return threads;
    } else if (now() - atomic_load_explicit(&looked, memory_order_relaxed) > 1e-6 * LOOK_AGAIN_US) {
        look_for_others();
    }
    const int there = atomic_load_explicit(&others, memory_order_relaxed);
    const int left = there ? (int)sysconf(_SC_NPROCESSORS_ONLN) - there : threads;
    return left < 1 ? 1 : left < threads ? left : threads;
}

/* ---- teams ---- */

enum { ASLEEP_MS = 20 };              /* threads without work spin for a while, which takes less time, and then sleep */
static _Atomic double last_end;       /* of a team of the process */

int cnn_team_sleeps(void) { return now() - atomic_load_explicit(&last_end, memory_order_relaxed) > 1e-3 * ASLEEP_MS; }

#ifdef _OPENMP
/* Says on which processor the thread begins. A system that wakes it up after a while without work may do so on that of
 * the thread that waits for it, where it runs when a tick of the clock ends the other's turn, in 4 or 8 ms: so it goes
 * to another one that it may run on and the others are not on, where there is one. */
static void begin(cnn_team *team, int thread, int threads) {
#if defined(__linux__)
    const int here = processor(thread);
    cpu_set_t allowed, elsewhere;
    int shared = 0;
    for (int other = 0; other < threads; other++)
        if (other != thread && seen_on(team, other) == here) shared = 1;
    if (shared && sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
        elsewhere = allowed;
        for (int other = 0; other < threads; other++)
            if (seen_on(team, other)) CPU_CLR(seen_on(team, other) - 1, &elsewhere);
        if (CPU_COUNT(&elsewhere) && sched_setaffinity(0, sizeof elsewhere, &elsewhere) == 0)
            (void)sched_setaffinity(0, sizeof allowed, &allowed);        /* it stays until the system moves it */
    }
#else
    (void)threads;
#endif
    atomic_store_explicit(&team->members[thread].processor, processor(thread), memory_order_relaxed);
}

/* Lets the others begin, which may need this thread's processor for it. */
static void wait_until_all_have_begun(const cnn_team *team, int threads) {
    for (int other = 0; other < threads; other++)
        while (seen_on(team, other) == 0) sched_yield();
}
#endif

void cnn_team_run(int threads, cnn_team_function function, void *context) {
#ifdef _OPENMP
    pthread_once(&once, watch_fork);
    if (forked) threads = 1;
    if (threads > 1) {
        cnn_member members[threads];
        memset(members, 0, sizeof members);
        cnn_team team = {.threads = 0, .members = members};
        double done = 0;
        #pragma omp parallel num_threads(threads)
        {
            /* Every thread says how many they are, so that none waits for the others before it begins. */
            const int granted = omp_get_num_threads();
            atomic_store_explicit(&team.threads, granted, memory_order_relaxed);
            begin(&team, omp_get_thread_num(), granted);
            run_flushed(function, context, &team, omp_get_thread_num(), granted);
            if (omp_get_thread_num() == 0) done = now();
            wait_until_all_have_begun(&team, granted);       /* at the region's end nobody yields */
        }
        const int granted = atomic_load_explicit(&team.threads, memory_order_relaxed);
        const double end = now();
        double waited = end - done;
        for (int i = 0; i < granted; i++) if (members[i].waited > waited) waited = members[i].waited;
        atomic_store_explicit(&last_threads, granted, memory_order_relaxed);
        atomic_store_explicit(&last_end, end, memory_order_relaxed);
        if (waited > 1e-6 * LONG_WAIT_US) look_for_others();
        return;
    }
#else
    (void)threads;
#endif
    atomic_store_explicit(&last_threads, 1, memory_order_relaxed);
    cnn_member member = {0};
    cnn_team alone = {.threads = 1, .members = &member};
    run_flushed(function, context, &alone, 0, 1);
    atomic_store_explicit(&last_end, now(), memory_order_relaxed);
}

int cnn_has_openmp(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

#ifdef _OPENMP
/* Processors granted by the container's quota; a large number where there is none. */
static int quota(void) {
    long long limit = -1, period = 100000;
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "r"); /* version 2: "max 100000" or "150000 100000" */
    if (file) {
        if (fscanf(file, "%lld %lld", &limit, &period) != 2) limit = -1;
        fclose(file);
    } else if ((file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r"))) {   /* version 1 */
        if (fscanf(file, "%lld", &limit) != 1) limit = -1;
        fclose(file);
        if ((file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r"))) {
            if (fscanf(file, "%lld", &period) != 1) period = 100000;
            fclose(file);
        }
    }
    if (limit <= 0 || period <= 0) return CNN_MAX_THREADS;
    long long processors = (limit + period - 1) / period;
    return processors < CNN_MAX_THREADS ? (int)processors : CNN_MAX_THREADS;
}

#if defined(__linux__)
/* Is it the first of those logical processors of its core that may be used? Where the system does not tell it is. */
static int first_of_core(int processor, const cpu_set_t *allowed) {
    char path[80];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", processor);
    FILE *file = fopen(path, "r");                   /* "0,64" or "0-1": ranges that ascend */
    if (!file) return 1;
    int first = -1, from, to;
    while (first < 0 && fscanf(file, "%d", &from) == 1) {
        if (fscanf(file, "-%d", &to) != 1) to = from;
        while (from <= to && !CPU_ISSET(from, allowed)) from++;
        if (from <= to) first = from;
        else if (fgetc(file) != ',') break;
    }
    fclose(file);
    return first < 0 || first == processor;
}
#endif

/* Cores that may be used: a second thread on a core would only share its multiply-adds, which one keeps busy, and its
 * caches. */
static int cores(void) {
#if defined(__linux__)
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
        int count = 0;
        for (int i = 0; i < CPU_SETSIZE; i++) if (CPU_ISSET(i, &allowed)) count += first_of_core(i, &allowed);
        return count;
    }
#endif
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

static int default_threads(void) {
    const char *text = getenv("CNNCORE_NUM_THREADS");
    if (!text || !*text) text = getenv("OMP_NUM_THREADS");
    if (text) {
        char *end;
        long value = strtol(text, &end, 10);
        if (end != text && *end == 0 && value >= 1 && value <= CNN_MAX_THREADS)
            return (int)value; /* anything else is reported by the Python layer */
    }
    int threads = cores(), limit = quota();
    if (threads > limit) threads = limit;
    return threads < 1 ? 1 : threads > CNN_MAX_THREADS ? CNN_MAX_THREADS : threads;
}
#else
static int default_threads(void) { return 1; }
#endif

static int threads_in_use = 0;

int cnn_get_threads(void) {
    if (threads_in_use == 0) threads_in_use = default_threads();
    return threads_in_use;
}

int cnn_set_threads(int threads) {
    if (threads < 0 || threads > CNN_MAX_THREADS) return -1;
    threads_in_use = threads;
    return 0;
}
