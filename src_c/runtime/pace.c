/* Cycles of runs: some are timed as the program runs, then as many the other way, then it runs as was faster. */
#include "pace.h"

enum {
    TIMED = 3,                        /* runs each way, of which the fastest counts: the first finds no warm caches */
    CYCLE = 1024, LONGEST_CYCLE = 8192,      /* runs; twice as many whenever the choice has stood a cycle */
};

static const double MOST_SECONDS = 2e-3;  /* longer runs are not tried on one thread, as all of them pay there */
static const double GAIN = 0.95;          /* the other way must take less than this for a change */

#define GET(field) atomic_load_explicit(&pace->field, memory_order_relaxed)
#define SET(field, value) atomic_store_explicit(&pace->field, value, memory_order_relaxed)

/* Does the next run go the other way? */
static int tries(const cnn_pace *pace) {
    const long long runs = GET(runs);
    return runs >= TIMED && runs < 2 * TIMED && (GET(alone) || GET(seconds[0]) < MOST_SECONDS);
}

int cnn_pace_threads(const cnn_pace *pace, int threads) {
    if (GET(all) != threads) return threads;
    return GET(alone) != tries(pace) ? 1 : threads;
}

static void begin_cycle(cnn_pace *pace, long long length) {
    SET(cycle, length);
    SET(runs, 0);
}

void cnn_pace_took(cnn_pace *pace, int threads, double seconds) {
    if (GET(all) != threads) {
        SET(all, threads);
        SET(alone, 0);
        begin_cycle(pace, CYCLE);
    }
    const long long runs = GET(runs);
    const int other = tries(pace);
    if ((runs < TIMED || other) && (runs % TIMED == 0 || seconds < GET(seconds[other]))) SET(seconds[other], seconds);
    SET(runs, runs + 1);
    if (other && runs + 1 == 2 * TIMED && GET(seconds[1]) < GAIN * GET(seconds[0])) {
        SET(alone, !GET(alone));
        begin_cycle(pace, CYCLE);
    } else if (runs + 1 >= GET(cycle)) {
        begin_cycle(pace, GET(cycle) < LONGEST_CYCLE ? 2 * GET(cycle) : LONGEST_CYCLE);
    }
}
