/* The kernel table: every leaf function, once per instruction set. A leaf is single-threaded, allocates nothing, cannot
 * fail and knows no tensors, only pointers and counts. Each family has its own header with a struct of function
 * pointers and its own .c file that fills the struct; table.c gathers the families of one instruction set. Operations
 * reach the table through cnn_call.kernels. */
#ifndef CNN_KERNELS_KERNELS_H
#define CNN_KERNELS_KERNELS_H

#include "augment.h"
#include "batchnorm.h"
#include "depthwise.h"
#include "depthwise_backward.h"
#include "depthwise_normalised.h"
#include "elementwise.h"
#include "few_rows.h"
#include "image.h"
#include "random.h"
#include "reduce.h"
#include "softmax.h"
#include "upsample.h"
#include "loss.h"
#include "optimizer.h"
#include "gemm.h"
#include "winograd.h"
#include "pool.h"
#include "preprocess.h"

typedef struct cnn_kernels {
    const char *isa;                  /* "avx2" */
    int vector;                       /* floats in a vector */
    const cnn_elementwise_kernels *elementwise;
    const cnn_random_kernels *random;
    const cnn_reduce_kernels *reduce;
    const cnn_softmax_kernels *softmax;
    const cnn_upsample_kernels *upsample;
    const cnn_loss_kernels *loss;
    const cnn_optimizer_kernels *optimizer;
    const cnn_gemm_kernels *gemm;
    const cnn_few_rows_kernels *few_rows;
    const cnn_winograd_kernels *winograd;
    const cnn_batchnorm_kernels *batchnorm;
    const cnn_pool_kernels *pool;
    const cnn_depthwise_kernels *depthwise;
    const cnn_depthwise_normalised_kernels *depthwise_normalised;
    const cnn_depthwise_backward_kernels *depthwise_backward;
    const cnn_augment_kernels *augment;
    const cnn_image_kernels *image;
    const cnn_preprocess_kernels *preprocess;
    double (*peak)(long rounds);      /* runs 10 * `rounds` dependent groups of multiply-adds; returns the FLOP count */
} cnn_kernels;

#endif
