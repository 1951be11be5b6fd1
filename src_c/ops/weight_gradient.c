#include "weight_gradient.h"
#include "panels.h"

#include <stdio.h>

enum {
    BLOCK_PIXELS = 192,               /* a block's panel of grad_y stays in L1 or L2 */
    /* at least so many pixels in a group, or adding the partial sums costs some per cent */
    GROUP_PIXELS = 384,
    PARTIAL_BYTES = 2 << 20,          /* at most so much for partial sums, that they stay in a cache */
    UNITS = 16,                       /* pieces of work wanted, for so many threads */
};

typedef struct gradient_plan {
    cnn_algorithm algorithm;
    cnn_conv2d_geometry g;
    int32_t merged;                   /* see conv2d_source.h */
    /* the cut: groups of pixels x ranges of panels x ranges of tiles of rows */
    int32_t groups, panel_ranges, row_ranges;
    int32_t blocks, block_pixels;     /* blocks over all pixels; the largest */
    char text[112];
} gradient_plan;
_Static_assert(sizeof(gradient_plan) <= CNN_PLAN_BYTES, "the plan must fit");

/* ---- pixels of a block, tap by tap ---- */

typedef struct lists {
    int32_t *count;                   /* [taps] pixels whose tap is inside the image */
    const float **x, **grad_y;        /* [taps][block_pixels] */
    /* grad_y's panel of the block, [block_pixels][widest panel]; the copy of a merged source */
    float *panel, *copy;
} lists;

static int64_t lists_layout(lists *l, char *memory, const gradient_plan *p, const cnn_panels *panels, int64_t taps) {
    const int64_t n = p->block_pixels;
    int64_t at = 0;
    char *part[5];
    const int64_t bytes[5] = {taps * 4, taps * n * (int64_t)sizeof(float *), taps * n * (int64_t)sizeof(float *), n
        * panels->widest * panels->vl * 4,
                              p->merged ? cnn_conv2d_copy_floats(&p->g, n) * 4 : 0};
    for (int i = 0; i < 5; i++) { part[i] = memory ? memory + at : NULL; at += cnn_round_up(bytes[i], CNN_ALIGNMENT); }
    *l = (lists){.count = (int32_t *)part[0], .x = (const float **)part[1], .grad_y = (const float **)part[2],
        .panel = (float *)part[3], .copy = (float *)part[4]};
    return at;
}

/* Fills the lists of taps first_tap .. end_tap - 1 for the pixels begin .. end - 1. */
static void lists_fill(lists *l, const gradient_plan *p, const cnn_conv2d_axis *h, const cnn_conv2d_axis *w,
                       const float *x, int64_t begin, int64_t end,
                       int64_t first_tap, int64_t end_tap, int64_t panel_width) {
    const cnn_conv2d_source s = cnn_conv2d_source_of(&p->g, p->merged, x, begin, end, l->copy);
    for (int64_t tap = first_tap; tap < end_tap; tap++) {
        const int64_t dh = h->offset + tap / w->taps * h->offset_step, dw = w->offset + tap % w->taps * w->offset_step;
        const float **xs = l->x + tap * p->block_pixels, **gs = l->grad_y + tap * p->block_pixels;
        /* Columns j with 0 <= j * multiplier + dw < size. */
        const int64_t from = dw >= 0 ? 0 : (-dw + w->multiplier - 1) / w->multiplier, to = dw >= w->size ? 0
            : (w->size - 1 - dw) / w->multiplier + 1;
        int32_t count = 0;
        for (int64_t q = begin; q < end;) {                  /* one row of output pixels at a time */
            const int64_t row = q / w->count, j = q % w->count, n = row / h->count, i = row % h->count;
            const int64_t stop = cnn_min(w->count, j + end - q), ih = i * h->multiplier + dh;
            if (ih >= 0 && ih < h->size) {
                const float *in = s.x + (cnn_conv2d_source_image(&s, (int32_t)n) + ih * s.row + dw * s.pixel);
                for (int64_t k = cnn_max(j, from); k < cnn_min(stop, to); k++) {
                    xs[count] = in + k * w->multiplier * s.pixel;
                    gs[count++] = l->panel + (q - begin + k - j) * panel_width;
                }
            }
            q += stop - j;
        }
        l->count[tap] = count;
    }
}

/* ---- plan ---- */

/* A convolution that reads every pixel once and in order is a product over one long row of pixels. */
static cnn_conv2d_geometry flattened(cnn_conv2d_geometry g) {
    if (g.kernel_h != 1 || g.kernel_w != 1 || g.stride_h != 1 || g.stride_w != 1 || g.pad_top || g.pad_left
        || g.in_h != g.out_h || g.in_w != g.out_w) return g;
    g.in_w = g.out_w = g.images * g.out_h * g.out_w;
    g.images = g.in_h = g.out_h = 1;
    return g;
}

static int64_t tiles_of_tap(const cnn_panels *panels, int64_t channels) { return cnn_ceil_div(channels, panels->rows); }
static int64_t taps_of(const gradient_plan *p) { return p->merged ? p->g.kernel_h : (int64_t)p->g.kernel_h
    * p->g.kernel_w; }

int cnn_weight_gradient_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *geometry,
                             const cnn_weight_gradient_operands *o, cnn_error *error) {
    gradient_plan *p = (gradient_plan *)c->plan;
    if (cnn_conv2d_check_size(geometry, error)) return -1;
    *p = (gradient_plan){.algorithm = CNN_INDIRECT_GEMM, .g = flattened(*geometry)};
    const cnn_conv2d_geometry *g = &p->g;
    p->merged = cnn_conv2d_merges(g);
    const cnn_panels panels = cnn_panels_of(c->kernels, g->out_channels / g->groups);
    const int64_t pixels = (int64_t)g->images * g->out_h * g->out_w, all_panels = (int64_t)panels.count * g->groups;
    const int64_t rows = taps_of(p) * cnn_conv2d_source_channels(g, p->merged), tiles = taps_of(p)
        * tiles_of_tap(&panels, cnn_conv2d_source_channels(g, p->merged));
    const int64_t grad_w_bytes = rows * g->out_channels * 4;

    p->blocks = (int32_t)cnn_ceil_div(pixels, BLOCK_PIXELS);
    int64_t groups = cnn_max(1, cnn_min(cnn_min(UNITS, pixels / GROUP_PIXELS), PARTIAL_BYTES / grad_w_bytes));
    p->groups = (int32_t)groups;
    p->panel_ranges = (int32_t)cnn_min(all_panels, cnn_ceil_div(UNITS, groups));
    p->row_ranges = (int32_t)cnn_max(1, cnn_min(tiles / 4, cnn_ceil_div(UNITS, groups * p->panel_ranges)));
    p->block_pixels = (int32_t)cnn_ceil_div(pixels, p->blocks);

    lists layout;
    choice->thread_workspace_bytes = lists_layout(&layout, NULL, p, &panels, taps_of(p));
    choice->workspace_bytes = (groups - 1) * grad_w_bytes + CNN_ALIGNMENT + (o->grad_bias ? groups * g->out_channels
        * (int64_t)sizeof(double) : 0);
    snprintf(p->text, sizeof p->text, "direct %dx%d%s, %d pixel groups x %d panels x %d rows", panels.rows,
             panels.widest * panels.vl, p->merged ? ", merged rows" : "",
             p->groups, p->panel_ranges, p->row_ranges);
    choice->kernel = p->text;
    return 0;
}

double cnn_weight_gradient_flops(const cnn_call *c) { return cnn_conv2d_flops(&((const gradient_plan *)c->plan)->g); }

/* ---- run ---- */

void cnn_weight_gradient_run(const cnn_call *c, const cnn_exec *e, const cnn_weight_gradient_operands *o) {
    const gradient_plan *p = (const gradient_plan *)c->plan;
    const cnn_conv2d_geometry *g = &p->g;
    const cnn_gemm_kernels *kernels = c->kernels->gemm;
    const cnn_panels panels = cnn_panels_of(c->kernels, g->out_channels / g->groups);
    const cnn_conv2d_axis h = cnn_conv2d_axis_h(g, 0), w = cnn_conv2d_source_axis_w(g, p->merged, 0);
    const int64_t taps = taps_of(p), channels = cnn_conv2d_source_channels(g, p->merged),
        tap_tiles = tiles_of_tap(&panels, channels), tiles = taps * tap_tiles;
    const int64_t pixels = (int64_t)g->images * g->out_h * g->out_w, all_panels = (int64_t)panels.count * g->groups,
        width = panels.widest * panels.vl;
    const int64_t group_in = g->in_channels / g->groups, group_out = g->out_channels / g->groups, count = taps
        * channels * g->out_channels;
    const float *x = cnn_data(e, o->x), *grad_y = cnn_data(e, o->grad_y);
    float *grad_w = cnn_data(e, o->grad_w), *grad_bias = cnn_data(e, o->grad_bias);
    double *bias_sums = (double *)e->workspace;                           /* [groups][out_channels] */
    /* [groups - 1][rows][out_channels] */
    float *partial = (float *)(bias_sums + (grad_bias ? (int64_t)p->groups * g->out_channels : 0));
    lists l;
    lists_layout(&l, e->thread_workspace, p, &panels, taps);

    int64_t begin, end;
    /* parallel over groups of pixels, panels, rows of grad_w */
    cnn_share(e, (int64_t)p->groups * p->panel_ranges * p->row_ranges, &begin, &end);
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t range = unit % p->row_ranges, panel_range = unit / p->row_ranges % p->panel_ranges,
            group = unit / p->row_ranges / p->panel_ranges;
        const int64_t first_tile = tiles * range / p->row_ranges, end_tile = tiles * (range + 1) / p->row_ranges;
        const int64_t first_panel = all_panels * panel_range / p->panel_ranges, end_panel = all_panels
            * (panel_range + 1) / p->panel_ranges;
        const int64_t first_block = (int64_t)p->blocks * group / p->groups, end_block = (int64_t)p->blocks
            * (group + 1) / p->groups;
        float *target = group ? partial + (group - 1) * count : grad_w;
        for (int64_t block = first_block; block < end_block; block++) {
            const int64_t q0 = pixels * block / p->blocks, q1 = pixels * (block + 1) / p->blocks;
            lists_fill(&l, p, &h, &w, x, q0, q1, first_tile / tap_tiles, (end_tile - 1) / tap_tiles + 1, width);
            for (int64_t panel = first_panel; panel < end_panel; panel++) {
                const int64_t conv_group = panel / panels.count;
                const cnn_panel n = cnn_panel_at(&panels, panel % panels.count);
                const int64_t column = conv_group * group_out + n.begin;
                kernels->pack(q1 - q0, n.columns, width, grad_y + q0 * g->out_channels + column, g->out_channels,
                              l.panel);
                if (grad_bias && range == 0) {
                    double *sum = bias_sums + group * g->out_channels + column;
                    if (block == first_block) for (int64_t i = 0; i < n.columns; i++) sum[i] = 0;
                    kernels->add_rows(q1 - q0, n.columns, width, l.panel, sum);
                }
                for (int64_t tile = first_tile; tile < end_tile; tile++) {
                    const int64_t tap = tile / tap_tiles, part = tile % tap_tiles, first = channels * part / tap_tiles;
                    const int64_t rows = channels * (part + 1) / tap_tiles - first;
                    kernels->outer[n.vectors][rows](&(cnn_gemm_outer){
                        .pixels = l.count[tap], .x = l.x + tap * p->block_pixels, .grad_y = l.grad_y + tap
                            * p->block_pixels,
                        .channel = conv_group * group_in + first, .w = target + (tap * channels + first)
                            * g->out_channels + column,
                        .stride = g->out_channels, .last = n.last, .accumulate = block > first_block});
                }
            }
        }
    }
    if (p->groups == 1 && !grad_bias) return;
    cnn_barrier(e);
    cnn_share_grain(e, count, 64, &begin, &end);                          /* parallel over the elements of grad_w */
    if (p->groups > 1 && begin < end) kernels->add_parts(p->groups - 1, count, end - begin, partial + begin, grad_w
                                                         + begin);
    if (!grad_bias) return;
    cnn_share_grain(e, g->out_channels, 16, &begin, &end);                /* parallel over output channels */
    for (int64_t i = begin; i < end; i++) {
        double sum = 0;
        for (int64_t group = 0; group < p->groups; group++) sum += bias_sums[group * g->out_channels + i];
        grad_bias[i] = (float)sum;
    }
}
