/* The one thread layer: teams of OpenMP threads, a barrier, and the number of threads. Nothing else in the library
 * knows OpenMP. */
#ifndef CNN_RUNTIME_THREADS_H
#define CNN_RUNTIME_THREADS_H

#include <stdint.h>

typedef struct cnn_team cnn_team;
typedef void (*cnn_team_function)(void *context, cnn_team *team, int thread, int threads);

/* Calls `function` on `threads` threads at once (fewer where the system grants fewer), the caller being thread 0;
 * returns when all have ended. */
void cnn_team_run(int threads, cnn_team_function function, void *context);

/* Waits until all threads of the team have come here. Spins for some microseconds, then yields the processor. */
void cnn_team_barrier(cnn_team *team, int thread);

#endif
