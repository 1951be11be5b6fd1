/* Running: one parallel region, all threads walk through the operations together, a barrier after each that has to do
 * with the next. */
#include "program.h"

#include <stdatomic.h>
#include <time.h>

typedef struct walk {
    const cnn_program *program;
    const cnn_run *run;
    atomic_llong stop;                /* operations from this number on are not run; see below */
    double start;                     /* of the run; a thread that wakes up late may find all work done */
    double asked;                     /* when cancelled() was last called */
    int cancelled;
} walk;

static const double SHORT_FLOPS = 2e9;    /* what takes a thread some 20 ms */
static const double SHORTEST_FLOPS = 5e7; /* what it does while others wake up */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int should_stop(walk *w) {
    double t = now();
    if (t - w->asked < 0.02) return 0;
    w->asked = t;
    return w->cancelled = w->run->cancelled(w->run->context) != 0;
}

static void walk_program(void *context, cnn_team *team, int thread, int threads) {
    walk *w = context;
    const cnn_program *p = w->program;
    const cnn_run *r = w->run;
    cnn_exec e = {.thread = thread,
                  .threads = threads,
                  .team = team,
                  .base = (char *const *)r->bases,
                  .seed = r->seed,
                  .step = r->step};
    char *arena = r->bases[CNN_ARENA], *prepared = r->bases[CNN_PREPARED];
    e.thread_workspace = arena + p->arena_bytes + p->thread_bytes * thread;
    const int packs = !p->trains && r->sections & CNN_PREPARE;
    double start = w->start;

    for (int64_t n = 0; n <= p->n_nodes; n++) {
        if (packs && (n == p->n_prepare || (n < p->n_prepare && p->nodes[n].packs))) {
            for (int64_t i = 0; i < p->n_nodes; i++) {
                const cnn_node *node = &p->nodes[i];
                if (!node->choice.packed_bytes || node->packed_before != n) continue;
                e.packed = prepared + node->packed_offset;
                node->op->pack(&node->call, &e);
            }
            cnn_team_barrier(team, thread);
            if (r->seconds && thread == 0) { double t = now(); r->seconds[p->n_nodes] += t - start; start = t; }
        }
        if (n == p->n_nodes) break;
        const cnn_node *node = &p->nodes[n];
        if (!(r->sections & node->section) || !node->op->run) continue;
        /* Thread 0 decides at the end of operation i that the run ends before i + 1 and says so before the barrier. A
         * thread that is still on its way to operation i reads a stop beyond i and goes on, so all threads leave at the
         * same place. */
        if (atomic_load_explicit(&w->stop, memory_order_acquire) <= n) return;
        e.workspace = arena + node->workspace_offset;
        e.packed = (p->trains ? arena : prepared) + node->packed_offset;
        if (p->trains && node->choice.packed_bytes) {
            node->op->pack(&node->call, &e);
            cnn_team_barrier(team, thread);
        }
        node->op->run(&node->call, &e);
        if (n + 1 == p->n_nodes && !r->seconds) return;  /* the region's end waits for all */
        if (thread == 0 && r->cancelled && node->section != CNN_UPDATE && !node->apart && should_stop(w))
            atomic_store_explicit(&w->stop, n + 1, memory_order_release);
        if (!node->apart) cnn_team_barrier(team, thread);
        if (r->seconds && thread == 0) { double t = now(); r->seconds[n] += t - start; start = t; }
    }
}

/* How many of `threads` threads a run takes. *timed: does it tell how fast the program is on so many? */
static int threads_for(const cnn_program *p, const cnn_run *r, int threads, int *timed) {
    *timed = 0;
    if (p->flops < SHORTEST_FLOPS && cnn_team_sleeps()) return 1;
    const int paced = r->seconds ? threads : cnn_pace_threads(p->pace, threads);
    /* A team that shares a processor waits for it again and again, a tick of the system's clock each time: for a short
     * run fewer threads are faster. A longer one goes on without the thread that waits. */
    const int fitting = p->flops < SHORT_FLOPS && paced > 1 ? cnn_team_fitting(threads) : threads;
    *timed = threads > 1 && fitting == threads && !r->seconds && (p->trains || !(r->sections & CNN_PREPARE));
    return paced < fitting ? paced : fitting;
}

int cnn_program_run(const cnn_program *p, const cnn_run *r, cnn_error *error) {
    if (!p->planned) return cnn_fail(error, "the program must be planned before it is run");
    int threads = r->threads ? r->threads : cnn_get_threads();
    if (threads < 1 || threads > CNN_MAX_THREADS)
        return cnn_fail(error, "threads must be 1 to %d, got %d", CNN_MAX_THREADS, threads);
    for (int64_t n = 0; n < p->n_nodes; n++) {
        if (!(r->sections & p->nodes[n].section)) continue;
        for (int i = 0; i < p->nodes[n].n_in + p->nodes[n].n_out; i++) {
            const cnn_tensor *t = p->nodes[n].operands[i];
            if (t && !r->bases[t->storage])
                return cnn_fail(error, "%s: storage %d has no memory", p->nodes[n].op->name, (int)t->storage);
        }
    }
    int timed;
    const int taken = threads_for(p, r, threads, &timed);
    walk w = {.program = p, .run = r, .stop = INT64_MAX, .start = now()};
    w.asked = w.start;
    cnn_team_run(taken, walk_program, &w);
    if (w.cancelled) return 1;
    if (timed) cnn_pace_took(p->pace, threads, now() - w.start);
    return 0;
}
