/* Is a program faster on one thread or on all of them? Where operations are short, barriers and what threads read from
 * each other's caches can cost more than a second thread does: on some machines and at some times, which nothing but
 * the clock tells. So a program is timed on both now and then; its results are the same bits on either. */
#ifndef CNN_RUNTIME_PACE_H
#define CNN_RUNTIME_PACE_H

#include <stdatomic.h>

/* Of a program, zeros at first. Several runs of the program at once may change it, and may lose each other's times. */
typedef struct cnn_pace {
    atomic_int all;                   /* how many threads "all of them" are */
    atomic_int alone;                 /* is one thread the faster? */
    atomic_llong runs, cycle;         /* in this cycle, and how many it has */
    _Atomic double seconds[2];        /* least of the cycle: as it runs, and the other way */
} cnn_pace;

/* How many threads the next run takes, of `threads`: 1 or all. */
int cnn_pace_threads(const cnn_pace *pace, int threads);

/* The run that was asked about took so long. */
void cnn_pace_took(cnn_pace *pace, int threads, double seconds);

#endif
