/* What a program is made of; shared by program.c (building), plan.c (kernels and memory), prepare.c (memory of what is
 * derived from the weights) and run.c. */
#ifndef CNN_RUNTIME_PROGRAM_H
#define CNN_RUNTIME_PROGRAM_H

#include "op.h"
#include "pace.h"

enum { CNN_UNWANTED = -2, CNN_ABSENT = -1 };     /* instead of a tensor's number */

typedef struct cnn_node {
    const cnn_op *op;
    int section, n_in, n_out;
    int32_t *ids;                                /* n_in inputs, then n_out outputs */
    double *attr;
    const cnn_tensor **operands;                 /* the tensors of ids, NULL where absent; set by the plan */
    cnn_call call;                               /* set by the plan */
    cnn_choice choice;
    /* Bytes in the arena; in the prepared storage, or in the arena where the program trains. */
    int64_t workspace_offset, packed_offset;
    int apart;                                   /* the next operation may begin before all threads are done with it */
    int packs;                                   /* before it weights are packed, so that it finds room */
    int packed_before;                           /* the number of the operation before which its weights are packed */
} cnn_node;

struct cnn_program {
    cnn_tensor *tensors;
    int32_t *keep;                               /* per tensor: 1 where it must survive the run */
    int64_t n_tensors, tensor_capacity, keep_capacity;
    cnn_node *nodes;
    int64_t n_nodes, node_capacity;
    int64_t n_prepare;                           /* how many of them, the first, are of the prepare section */
    int planned;
    int trains; /* it changes its weights: they are packed for each operation just before it, into memory that it
                   shares with the others */
    int64_t arena_bytes, prepared_bytes, thread_bytes;
    double flops;                                /* of a run */
    cnn_pace *pace;                              /* what runs have taken */
};

static inline const int32_t *cnn_node_outputs(const cnn_node *node) { return node->ids + node->n_in; }

/* Gives what is prepared its place. What is there for packing alone, such as folded weights, lies in the arena, which
 * nobody else needs by then, unless an operation that prepares does; where that has no room for all of it, some is
 * packed before the rest is made. After the rest of the plan. scratch: [n_tensors]. */
void cnn_plan_preparation(cnn_program *program, int *scratch);

double cnn_node_flops(const cnn_node *node);     /* of a planned one */
int cnn_check_shape(const cnn_tensor *tensor, cnn_error *error);

#endif
