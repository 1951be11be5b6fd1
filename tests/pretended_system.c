/* Drives src_c/runtime/threads.c and pace.c on a system that is pretended, so that what they do does not depend on what
 * else runs: linked with --wrap for the functions below, which they ask for processors and for other programs. Prints
 * what they did, which tests/test_threads.py compares.
 *     pretended_system begin THREADS   threads that all wake up on the first of three processors, one by one
 *     pretended_system fitting         how many of four threads find a processor, as other programs come and go
 *     pretended_system default MASK    how many threads there are by default where some of six processors, bits of the
 *                                      mask, may be used: 0 and 3 are a core, 1, 4 and 5 are, of 2 it does not tell
 *     pretended_system pace PHASE...   how many runs of a program take one thread; a phase is THREADS,RUNS,A,B: with up
 *                                      to THREADS threads so many runs, that take A us on all and B us on one */
#define _GNU_SOURCE
#include "../src_c/include/cnncore.h"
#include "../src_c/runtime/pace.h"
#include "../src_c/runtime/threads.h"

#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSORS = 6, MOST_THREADS = 8 };
static const char *const siblings[PROCESSORS] = {"0,3\n", "1,4-5\n", NULL, "0,3\n", "1,4-5\n", "1,4-5\n"};

static int programs_running = 1;                  /* that the system tells of, this one among them */
static int times_looked;
static _Atomic double clock_s;                    /* stands still unless it is set on */
static atomic_int clock_read;                     /* so many times */
static atomic_int begun;                          /* threads of the team */
static _Thread_local int allowed = 7, on_processor = 0;     /* allowed: as bits */
static _Thread_local int moves[4], move_count;    /* what the thread let the system choose from, as bits */

long __real_sysconf(int name);

/* A thread asks for its processor only when those before it have begun: they wake up one by one. */
int __wrap_sched_getcpu(void) {
    while (atomic_load(&begun) < omp_get_thread_num()) sched_yield();
    return on_processor;
}

int __wrap_sched_getaffinity(pid_t thread, size_t size, cpu_set_t *set) {
    (void)thread, (void)size;
    CPU_ZERO(set);
    for (int i = 0; i < PROCESSORS; i++) if (allowed >> i & 1) CPU_SET(i, set);
    return 0;
}

int __wrap_sched_setaffinity(pid_t thread, size_t size, const cpu_set_t *set) {
    (void)thread, (void)size;
    allowed = 0;
    for (int i = 0; i < PROCESSORS; i++) if (CPU_ISSET(i, set)) allowed |= 1 << i;
    if (move_count < (int)(sizeof moves / sizeof *moves)) moves[move_count] = allowed;
    move_count++;
    while (!(allowed >> on_processor & 1)) on_processor = (on_processor + 1) % PROCESSORS;
    return 0;
}

FILE *__wrap_fopen(const char *path, const char *mode) {
    static char text[64];
    int processor;
    if (!strcmp(path, "/proc/loadavg")) {
        times_looked++;
        snprintf(text, sizeof text, "1.33 1.54 1.25 %d/104 17446\n", programs_running);
    } else if (sscanf(path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", &processor) == 1) {
        if (!siblings[processor]) return NULL;
        snprintf(text, sizeof text, "%s", siblings[processor]);
    } else {
        return NULL;                               /* no quota */
    }
    return fmemopen(text, strlen(text), mode);
}

long __wrap_sysconf(int name) { return name == _SC_NPROCESSORS_ONLN ? 4 : __real_sysconf(name); }

int __wrap_clock_gettime(clockid_t clock, struct timespec *t) {
    (void)clock;
    const double s = atomic_load(&clock_s);
    *t = (struct timespec){(time_t)s, (long)(1e9 * (s - (double)(time_t)s))};
    atomic_fetch_add(&clock_read, 1);
    return 0;
}

static void set_clock_on(double seconds) { atomic_store(&clock_s, atomic_load(&clock_s) + seconds); }

typedef struct begun_thread { int processor, allowed, move_count, moves[4]; } begun_thread;

static void tell(void *context, cnn_team *team, int thread, int threads) {
    (void)team, (void)threads;
    begun_thread *told = (begun_thread *)context + thread;
    *told = (begun_thread){on_processor, allowed, move_count, {0}};
    memcpy(told->moves, moves, sizeof moves);
    atomic_fetch_add(&begun, 1);
}

static void begin(int threads) {
    begun_thread told[MOST_THREADS];
    cnn_team_run(threads, tell, told);
    for (int i = 0; i < threads; i++) {
        printf("%d on %d of %d after", i, told[i].processor, told[i].allowed);
        for (int j = 0; j < told[i].move_count; j++) printf(" %d", told[i].moves[j]);
        printf("\n");
    }
}

static void nothing(void *context, cnn_team *team, int thread, int threads) {
    (void)context, (void)team, (void)thread, (void)threads;
    atomic_fetch_add(&begun, 1);
}

/* The first thread waits for the last one, which comes 20 ms after the first has looked at the clock for the first time
 * while it waits. */
static void one_is_late(void *context, cnn_team *team, int thread, int threads) {
    (void)context;
    atomic_fetch_add(&begun, 1);
    if (thread == threads - 1) {
        while (atomic_load(&clock_read) == 0) sched_yield();
        set_clock_on(0.020);
    }
    cnn_team_barrier(team, thread);
}

static void fitting(const char *when, int running) {
    programs_running = running;
    set_clock_on(0.002);                           /* it looks again after one millisecond */
    const int looked = times_looked, found = cnn_team_fitting(4);
    printf("%s: %d, looked %d\n", when, found, times_looked - looked);
}

static void other_programs(void) {
    fitting("at first, beside five", 6);
    fitting("beside three", 4);
    fitting("beside one", 2);
    fitting("alone", 1);
    fitting("beside five again, unnoticed", 6);
    cnn_team_run(2, nothing, NULL);
    fitting("after a team that did not wait", 6);
    atomic_store(&begun, 0);
    atomic_store(&clock_read, 0);
    cnn_team_run(2, one_is_late, NULL);            /* looks at its end, while its two threads may still run */
    fitting("after a team that waited", 6);
    fitting("its two threads alone", 2);
    printf("asleep: %d", cnn_team_sleeps());
    set_clock_on(0.050);
    printf(", then %d\n", cnn_team_sleeps());
}

static void default_threads(int processors) {
    allowed = processors;
    printf("%d\n", cnn_get_threads());
}

/* Returns 2 where a phase is not understood. */
static int pace(int phases, char **phase) {
    cnn_pace pace = {0};
    for (int i = 0; i < phases; i++) {
        int threads, runs, all, one, alone = 0;
        if (sscanf(phase[i], "%d,%d,%d,%d", &threads, &runs, &all, &one) != 4) return 2;
        for (int run = 0; run < runs; run++) {
            const int taken = cnn_pace_threads(&pace, threads);
            alone += taken == 1;
            cnn_pace_took(&pace, threads, 1e-6 * (taken == 1 ? one : all));
        }
        printf("%d\n", alone);
    }
    return 0;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    const char *command = argc > 1 ? argv[1] : "";
    if (!strcmp(command, "begin") && argc == 3 && atoi(argv[2]) <= MOST_THREADS) begin(atoi(argv[2]));
    else if (!strcmp(command, "fitting") && argc == 2) other_programs();
    else if (!strcmp(command, "default") && argc == 3) default_threads(atoi(argv[2]));
    else if (!strcmp(command, "pace") && argc > 2) return pace(argc - 2, argv + 2);
    else return 2;
    return 0;
}
