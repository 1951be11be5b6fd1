#include "winograd_gradient.h"
#include "panels.h"
#include "winograd_tiles.h"

#include <stdio.h>
#include <string.h>

enum {
    OUT = 4, ELEMENTS = (OUT + 2) * (OUT + 2),
    CHANNELS = 64, /* input channels of a range at most: their 36 sums beside a panel of 64 take 590 KB */
    BLOCK_TILES = 16, /* tiles that are transformed at once, so that their transforms stay in L2 beside the sums ... */
    WHOLE_TILES = 64, /* ... or all, if there are no more than these and but one group: many channels, few pixels */
    GROUP_TILES = 64, /* at least so many tiles in a group, or adding the partial gradients costs some per cent */
    UNITS = 16, /* pieces of work wanted, for so many threads */
};

typedef struct winograd_gradient {
    cnn_algorithm algorithm;
    cnn_conv2d_geometry g;
    int32_t groups, ranges;           /* of tiles, of input channels */
    int32_t block;                    /* tiles that are transformed at once */
    char text[80];
} winograd_gradient;
_Static_assert(sizeof(winograd_gradient) <= CNN_PLAN_BYTES, "the plan must fit");

static int64_t weights_of(const winograd_gradient *p) { return 9 * (int64_t)p->g.in_channels * p->g.out_channels; }

/* Memory of a thread. */
typedef struct scratch {
    float *v, *d;                     /* blocks of a range of input channels, of a panel */
    cnn_winograd_block v_block, d_block;
    float *sums;                      /* [ELEMENTS][channels of a range][panel], elements `element` floats apart */
    int64_t element;
    float *zeros, *bias;              /* what lies outside; a block's sums of grad_y, [panel] */
} scratch;

/* A row of pixels that a row of tiles reads outside the image. */
static int64_t zeros_bytes(const winograd_gradient *p) {
    return (cnn_round_up(p->g.out_w, OUT) + 2) * (int64_t)cnn_max(p->g.in_channels, p->g.out_channels) *
        (int64_t)sizeof(float);
}

static int64_t scratch_layout(const cnn_call *c, scratch *s, char *memory, const winograd_gradient *p) {
    const cnn_panels panels = cnn_panels_of(c->kernels, p->g.out_channels);
    const int64_t channels = cnn_ceil_div(p->g.in_channels, p->ranges), width = panels.widest * panels.vl;
    s->v_block = cnn_winograd_block_of(c->kernels, OUT, p->block, channels);
    s->d_block = cnn_winograd_block_of(c->kernels, OUT, p->block, width);
    s->element = s->v_block.planes * panels.vl * width + CNN_WINOGRAD_PAD;
    const int64_t sizes[] = {s->v_block.bytes, s->d_block.bytes, ELEMENTS * s->element * 4,
                             zeros_bytes(p), width * 4};
    char *part[5];
    int64_t at = 0;
    for (int i = 0; i < 5; i++) { part[i] = memory ? memory + at : NULL; at += cnn_round_up(sizes[i], CNN_ALIGNMENT); }
    s->v = (float *)part[0];
    s->d = (float *)part[1];
    s->sums = (float *)part[2];
    s->zeros = (float *)part[3];
    s->bias = (float *)part[4];
    return at;
}

int cnn_winograd_gradient_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *g,
                               const cnn_weight_gradient_operands *o, cnn_error *error) {
    winograd_gradient *p = (winograd_gradient *)c->plan;
    if (cnn_conv2d_check_size(g, error)) return -1;
    *p = (winograd_gradient){.algorithm = CNN_WINOGRAD,
                             .g = *g,
                             .ranges = (int32_t)cnn_ceil_div(g->in_channels, CHANNELS)};
    const cnn_panels panels = cnn_panels_of(c->kernels, g->out_channels);
    const cnn_winograd_tiling tiling = cnn_winograd_tiling_of(g, OUT);
    p->groups = (int32_t)cnn_max(
        1, cnn_min(cnn_winograd_tiles(&tiling) / GROUP_TILES, cnn_ceil_div(UNITS, (int64_t)panels.count * p->ranges)));
    const int64_t group = cnn_ceil_div(cnn_winograd_tiles(&tiling), p->groups);
    const int whole = p->groups == 1 && group <= WHOLE_TILES;
    p->block = (int32_t)(whole ? group : cnn_ceil_div(group, cnn_ceil_div(group, BLOCK_TILES)));
    scratch s;
    choice->thread_workspace_bytes = scratch_layout(c, &s, NULL, p);
    choice->workspace_bytes = (p->groups - 1) * cnn_round_up(weights_of(p) * 4, CNN_ALIGNMENT) +
                              (o->grad_bias ? p->groups * g->out_channels * (int64_t)sizeof(double) : 0);
    snprintf(p->text, sizeof p->text, "Winograd 4x4, %dx%d, %d groups x %d panels x %d ranges", panels.rows,
             panels.widest * panels.vl, p->groups, panels.count, p->ranges);
    choice->kernel = p->text;
    return 0;
}

double cnn_winograd_gradient_flops(const cnn_call *c) {
    return cnn_conv2d_flops(&((const winograd_gradient *)c->plan)->g);
}

/* Transforms tiles first .. end - 1 of x (channels from `channel` on) and, unless it is there, of grad_y (a panel's
 * columns). */
static void transform(const cnn_call *c, const cnn_winograd_tiling *tiling, const scratch *s, int64_t first,
                      int64_t end, const float *x, int64_t channel, int64_t channels, const float *grad_y,
                      const cnn_panel *n, int has_grad_y, float *bias) {
    for (int64_t t = first; t < end;) {
        const cnn_winograd_strip strip = cnn_winograd_strip_at(tiling, t, end);
        cnn_winograd_source in = cnn_winograd_inputs(tiling, &strip, x, channel, channels, s->zeros);
        in.v = s->v + (t - first) * c->kernels->vector;
        in.element = s->v_block.element;
        in.plane = s->v_block.plane;
        c->kernels->winograd->form[1].input(&in);
        t += strip.tiles;
        if (has_grad_y) continue;
        cnn_winograd_source out = cnn_winograd_results(tiling, &strip, grad_y, n->begin, n->columns, s->zeros);
        out.v = s->d + (t - strip.tiles - first) * c->kernels->vector;
        out.element = s->d_block.element;
        out.plane = s->d_block.plane;
        c->kernels->winograd->gradient(&out, bias);
    }
}

/* The sums of one unit: tiles begin .. end - 1, a panel, a range of channels. has_grad_y: the tiles are one block, and
 * its grad_y of this panel is transformed already. */
static void accumulate(const cnn_call *c, const winograd_gradient *p, const scratch *s, int64_t begin, int64_t end,
                       const float *x, int64_t channel, int64_t channels, const float *grad_y, const cnn_panel *n,
                       int has_grad_y, double *bias) {
    const cnn_winograd_tiling tiling = cnn_winograd_tiling_of(&p->g, OUT);
    for (int64_t at = begin; at < end; at += p->block) {
        const int64_t tiles = cnn_min(p->block, end - at);
        if (bias) memset(s->bias, 0, (size_t)n->columns * sizeof *s->bias);
        transform(c, &tiling, s, at, at + tiles, x, channel, channels, grad_y, n, has_grad_y,
                  bias ? s->bias : NULL);
        for (int64_t k = 0; bias && k < n->columns; k++) bias[n->begin + k] += s->bias[k];
        /* Meanwhile the pixels of the next block are fetched: of x, then of grad_y. */
        const int64_t next = cnn_min(end, at + tiles + p->block),
                      steps = cnn_ceil_div(channels, c->kernels->winograd->outer_channels[n->vectors]);
        const char *from[2] = {(const char *)x, (const char *)grad_y}, *to[2] = {from[0], from[1]};
        if (next > at + tiles) {
            from[0] += cnn_winograd_input_bytes(&tiling, at + tiles);
            to[0] += cnn_winograd_input_bytes(&tiling, next);
            from[1] += cnn_winograd_result_bytes(&tiling, at + tiles);
            to[1] += cnn_winograd_result_bytes(&tiling, next);
        }
        cnn_winograd_ahead ahead = {0};
        for (int64_t e = 0; e < ELEMENTS; e++) {
            const int half = e >= ELEMENTS / 2;
            if (e % (ELEMENTS / 2) == 0)
                ahead = cnn_winograd_ahead_of(from[half], to[half], ELEMENTS / 2 * steps);
            ptrdiff_t lines;
            const char *now = cnn_winograd_advance(&ahead, steps, &lines);
            const cnn_winograd_outer outer = {.ahead = now,
                                              .lines = lines,
                                              .tiles = tiles,
                                              .channels = channels,
                                              .v = s->v + e * s->v_block.element,
                                              .d = s->d + e * s->d_block.element,
                                              .v_plane = s->v_block.plane,
                                              .d_plane = s->d_block.plane,
                                              .sums = s->sums + e * s->element,
                                              .accumulate = at > begin};
            c->kernels->winograd->outer[n->vectors](&outer);
        }
    }
}

void cnn_winograd_gradient_run(const cnn_call *c, const cnn_exec *e, const cnn_weight_gradient_operands *o) {
    const winograd_gradient *p = (const winograd_gradient *)c->plan;
    const cnn_conv2d_geometry *g = &p->g;
    const cnn_panels panels = cnn_panels_of(c->kernels, g->out_channels);
    const float *x = cnn_data(e, o->x), *grad_y = cnn_data(e, o->grad_y);
    float *grad_w = cnn_data(e, o->grad_w), *grad_bias = cnn_data(e, o->grad_bias);
    const cnn_winograd_tiling tiling = cnn_winograd_tiling_of(g, OUT);
    const int64_t tiles = cnn_winograd_tiles(&tiling), tap = (int64_t)g->in_channels * g->out_channels,
                  slot = cnn_round_up(weights_of(p), CNN_ALIGNMENT / 4);
    float *partial = (float *)e->workspace;
    double *bias_slots = (double *)(partial + (p->groups - 1) * slot);
    scratch s;
    scratch_layout(c, &s, e->thread_workspace, p);
    memset(s.zeros, 0, (size_t)zeros_bytes(p));

    int64_t transformed = -1;         /* the group and panel whose grad_y is transformed, where that is one block */
    /* Parallel over groups, panels, ranges of channels. */
    cnn_work work = cnn_share_work(e, (int64_t)p->groups * panels.count * p->ranges);
    for (int64_t unit; (unit = cnn_work_next(&work)) >= 0;) {
        const int64_t range = unit % p->ranges, group = unit / p->ranges / panels.count;
        const cnn_panel n = cnn_panel_at(&panels, unit / p->ranges % panels.count);
        const int64_t first = (int64_t)g->in_channels * range / p->ranges,
                      channels = (int64_t)g->in_channels * (range + 1) / p->ranges - first;
        double *bias = grad_bias && range == 0 ? bias_slots + group * g->out_channels : NULL;
        if (bias) memset(bias + n.begin, 0, (size_t)n.columns * sizeof *bias);
        const int64_t begin = tiles * group / p->groups, end = tiles * (group + 1) / p->groups;
        accumulate(c, p, &s, begin, end, x, first, channels, grad_y, &n, transformed == unit / p->ranges && !bias, bias);
        transformed = end - begin <= p->block ? unit / p->ranges : -1;
        float *to = (group ? partial + (group - 1) * slot : grad_w) + n.begin;
        for (int64_t row = 0; row < channels; row++)
            c->kernels->winograd->weight_gradient(n.columns, s.sums + row * n.width, s.element,
                                                  to + (first + row) * g->out_channels, tap);
    }
    if (p->groups == 1 && !grad_bias) return;
    int64_t begin, end;
    cnn_barrier(e);
    cnn_share_grain(e, weights_of(p), 256, &begin, &end);      /* parallel over weights, the groups in order */
    if (begin < end) c->kernels->gemm->add_parts(p->groups - 1, slot, end - begin, partial + begin, grad_w + begin);
    if (!grad_bias) return;
    cnn_share_grain(e, g->out_channels, 16, &begin, &end);
    for (int64_t k = begin; k < end; k++) {
        double sum = 0;
        for (int64_t group = 0; group < p->groups; group++) sum += bias_slots[group * g->out_channels + k];
        grad_bias[k] = (float)sum;
    }
}
