/* The one thread layer: teams of OpenMP threads, a barrier, work that is shared out among them, and the number of
 * threads. Nothing else in the library knows OpenMP. */
#ifndef CNN_RUNTIME_THREADS_H
#define CNN_RUNTIME_THREADS_H

#include <stdint.h>

typedef struct cnn_team cnn_team;
typedef void (*cnn_team_function)(void *context, cnn_team *team, int thread, int threads);

/* Calls `function` on `threads` threads at once (fewer where the system grants fewer), the caller being thread 0;
 * returns when all have ended. */
void cnn_team_run(int threads, cnn_team_function function, void *context);

/* How many of `threads` threads find a processor of their own, at least 1, as far as is known: other programs are
 * looked for before the process's first team, after a team whose threads have waited long for one of them, and from
 * then on every millisecond until there are none. For work that is shorter than the time that the system lets a program
 * run. */
int cnn_team_fitting(int threads);

/* Has the process had no team for so long that its threads sleep? To wake them up takes 0.1 to 0.2 ms. */
int cnn_team_sleeps(void);

/* Waits until all threads of the team have come here. Spins for some microseconds, then yields the processor. */
void cnn_team_barrier(cnn_team *team, int thread);

/* Units of work, 0 .. count - 1, shared out among the team. Each thread walks through a contiguous share of its own,
 * the same in every operation, so that it finds its images in its own cache; one that is done takes units from the
 * ends of the others' shares, so that nobody waits for a thread whose processor is busy with something else. Who
 * does a unit must not matter: its result has a place of its own.
 *
 * All threads of the team begin the same works in the same order; a thread is through with one when next() says so. No
 * barrier is needed between works. */
typedef struct cnn_work {
    cnn_team *team;
    int64_t count, grain;             /* units, and how many of them are taken at once */
    int64_t at, stop;                 /* of those taken last */
    unsigned number;                  /* of the work, counted by every thread */
    int thread, from;                 /* from: whose share is taken from */
} cnn_work;

cnn_work cnn_work_begin(cnn_team *team, int thread, int64_t count);
int64_t cnn_work_next(cnn_work *work);     /* a unit that nobody else gets, or -1 */
/* What next() will say unless another thread is faster, for asking memory for it; -1 where that is not known. */
int64_t cnn_work_coming(const cnn_work *work);

#endif
