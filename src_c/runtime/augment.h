/* Augmentation of batches of small images: bytes become float32, moved, cut out, mixed and normalised in one reading.
 *
 * WHAT IS DONE. Each image is surrounded by a border of pad_h and pad_w pixels on both sides, a window of out_h x out_w
 * is cut out of it at a random place, flipped, converted, normalised, partly erased, and blended with another image
 * that went the same way:
 *
 *     y = share * erase(scale * flip(window(image)) + offset) + (1 - share) * the same of the partner
 *
 * RANDOM NUMBERS. What happens to an image is a function of (seed, epoch, number of the image) alone: of its 64 words,
 * which are the elements 64 * number + k of the stream CNN_AUGMENT_STREAM at step = epoch (kernels/philox.h). A word
 * below p 2^32 is an event of probability p; floor(word k / 2^32) is a whole number below k. So neither the order of
 * the images, nor the cut into batches, nor threads change anything.
 *
 *     word 0, 1   flipped left-right, up-down?
 *     word 2, 3   top, left of the window
 *     word 4      erased?
 *     word 5, 6   row, column of the erased box's centre
 *     word 7      number of the partner
 *     word 8, 9   share = (1 + c / sqrt(1 / (u^(-1/alpha) - 1) + c^2)) / 2 with u = (word 8 + 1/2) / 2^32 and
 *                 c = cos(2 pi word 9 / 2^32), which has the distribution Beta(alpha, alpha)
 *                 (Devroye 1996, Random variate generation in one line of code) */
#ifndef CNN_RUNTIME_AUGMENT_H
#define CNN_RUNTIME_AUGMENT_H

#include <stdint.h>
#include "../include/cnncore.h"

#define CNN_AUGMENT_STREAM 0xffffffffu

/* How the border is filled: with one value, or aaa|abcd|ddd, dcb|abcd|cba, cba|abcd|dcb, bcd|abcd|abc. */
enum { CNN_BORDER_CONSTANT, CNN_BORDER_EDGE, CNN_BORDER_REFLECT, CNN_BORDER_SYMMETRIC, CNN_BORDER_WRAP };

typedef struct cnn_augment_recipe {
    int dtype;                        /* of the images: CNN_U8 or CNN_F32 */
    int border;
    int64_t h, w, c;                  /* of an image */
    int64_t pad_h, pad_w;             /* at most h - 1 and w - 1 for reflect, h and w for symmetric and wrap */
    int64_t out_h, out_w;             /* at most h + 2 pad_h and w + 2 pad_w */
    double flip, flip_vertical;       /* probabilities */
    double cutout;                    /* probability */
    int64_t cutout_h, cutout_w;       /* of the erased box: its centre lies in the window, what hangs over is cut off */
    double mixup;                     /* alpha of Beta(alpha, alpha); 0: none */
    const float *scale, *offset;      /* c of each */
    const float *border_value;        /* c, before scale and offset; read where border is constant */
    const float *cutout_value;        /* c, of the result */
} cnn_augment_recipe;

/* What was drawn for one image. The erased box is rows [cut_top, cut_bottom), columns [cut_left, cut_right) of the
 * window. */
typedef struct cnn_augment_draw {
    int64_t number;
    int32_t flip, flip_vertical, top, left, cut_top, cut_left, cut_bottom, cut_right;
    int64_t partner;                  /* -1 without mixup */
    float share;                      /* of this image in the result; 1 without mixup */
    int32_t unused;
} cnn_augment_draw;

/* The size of the memory that a call works in; 0 < threads. */
int64_t cnn_augment_workspace_bytes(const cnn_augment_recipe *recipe, int threads);

/* Augments images[numbers[i]] into y + i out_h out_w c for i < n. images: `count` <= 2^32 - 1 of them, contiguous;
 * numbers: each in [0, count). draws: n entries that are written, with mixup 2 n, of which the second n are those of
 * the partners. isa -1: the one in use. workspace: aligned to 4 bytes. The shapes of the recipe are the caller's
 * responsibility. Small batches take fewer threads than given. Returns 0, or -1 with a sentence (a number out of range)
 * and nothing written. Allocates nothing. */
int cnn_augment_batch(const cnn_augment_recipe *recipe, const void *images, int64_t count, int64_t n,
                      const int64_t *numbers, uint64_t seed, uint64_t epoch, int threads, int isa,
                      void *workspace, cnn_augment_draw *draws, float *y, cnn_error *error);

#endif
