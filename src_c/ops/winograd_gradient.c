#include "winograd_gradient.h"
#include "panels.h"

#include <stdio.h>
#include <string.h>

enum {
    ELEMENTS = CNN_WINOGRAD_ELEMENTS,
    OUT = CNN_WINOGRAD_OUT,
    IN = CNN_WINOGRAD_IN,
    PAD = 16, /* floats added to strides that would be powers of two */
    CHANNELS = 64, /* input channels of a range at most: their 36 sums beside a panel of 64 take 590 KB */
    BLOCK_TILES = 32, /* tiles that are transformed at once */
    GROUP_TILES = 64, /* at least so many tiles in a group, or adding the partial gradients costs some per cent */
    UNITS = 16, /* pieces of work wanted, for so many threads */
};

typedef struct winograd_gradient {
    cnn_algorithm algorithm;
    cnn_conv2d_geometry g;
    int32_t tiles_h, tiles_w;         /* of an image */
    int32_t groups, ranges;           /* of tiles, of input channels */
    char text[80];
} winograd_gradient;
_Static_assert(sizeof(winograd_gradient) <= CNN_PLAN_BYTES, "the plan must fit");

static int64_t tiles_of(const winograd_gradient *p) { return (int64_t)p->g.images * p->tiles_h * p->tiles_w; }
static int64_t weights_of(const winograd_gradient *p) { return 9 * (int64_t)p->g.in_channels * p->g.out_channels; }

/* Memory of a thread. */
typedef struct scratch {
    float *v, *d, *sums, *zeros; /* [ELEMENTS][BLOCK_TILES][CHANNELS + PAD]; the same of a panel;
                                    [ELEMENTS][CHANNELS][panel]; what lies outside */
    const float **v_rows, **d_rows;   /* [BLOCK_TILES]; [ELEMENTS][BLOCK_TILES] */
    ptrdiff_t *pixels;                /* [BLOCK_TILES * 16] for the bias */
    double *mean, *squares, *bias;    /* [panel] */
} scratch;

enum { V_ROW = CHANNELS + PAD };

static int64_t scratch_layout(scratch *s, char *memory, int64_t width, int64_t channels) {
    const int64_t sizes[] = {ELEMENTS * BLOCK_TILES * V_ROW * 4,
                             ELEMENTS * BLOCK_TILES * (width + PAD) * 4,
                             ELEMENTS * CHANNELS * width * 4,
                             (cnn_max(channels, width) + PAD) * 4,
                             BLOCK_TILES * (int64_t)sizeof(float *),
                             ELEMENTS * BLOCK_TILES * (int64_t)sizeof(float *),
                             BLOCK_TILES * OUT * OUT * (int64_t)sizeof(ptrdiff_t),
                             width * 8,
                             width * 8,
                             width * 8};
    char *part[10];
    int64_t at = 0;
    for (int i = 0; i < 10; i++) { part[i] = memory ? memory + at : NULL; at += cnn_round_up(sizes[i], CNN_ALIGNMENT); }
    *s = (scratch){.v = (float *)part[0],
                   .d = (float *)part[1],
                   .sums = (float *)part[2],
                   .zeros = (float *)part[3],
                   .v_rows = (const float **)part[4],
                   .d_rows = (const float **)part[5],
                   .pixels = (ptrdiff_t *)part[6],
                   .mean = (double *)part[7],
                   .squares = (double *)part[8],
                   .bias = (double *)part[9]};
    return at;
}

int cnn_winograd_gradient_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *g,
                               const cnn_weight_gradient_operands *o, cnn_error *error) {
    winograd_gradient *p = (winograd_gradient *)c->plan;
    if (cnn_conv2d_check_size(g, error)) return -1;
    *p = (winograd_gradient){.algorithm = CNN_WINOGRAD,
                             .g = *g,
                             .tiles_h = (int32_t)cnn_ceil_div(g->out_h, OUT),
                             .tiles_w = (int32_t)cnn_ceil_div(g->out_w, OUT),
                             .ranges = (int32_t)cnn_ceil_div(g->in_channels, CHANNELS)};
    const cnn_panels panels = cnn_panels_of(c->kernels, g->out_channels);
    p->groups = (int32_t)cnn_max(
        1, cnn_min(tiles_of(p) / GROUP_TILES, cnn_ceil_div(UNITS, (int64_t)panels.count * p->ranges)));
    scratch s;
    choice->thread_workspace_bytes = scratch_layout(&s, NULL, panels.widest * panels.vl, g->in_channels);
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

/* Transforms one tile of x (channels from `first`) and one of grad_y (a panel's columns) into row t of V and D; lists
 * the tile's pixels of grad_y. Returns how many there are. */
static int64_t transform(const cnn_call *c, const winograd_gradient *p, const scratch *s, int64_t index, int64_t t,
                         const float *x, int64_t first, int64_t channels, const float *grad_y, const cnn_panel *n,
                         ptrdiff_t *pixels) {
    const cnn_conv2d_geometry *g = &p->g;
    const int64_t image = index / (p->tiles_h * p->tiles_w), in_image = index % (p->tiles_h * p->tiles_w),
                  d_row = n->width + PAD;
    const int64_t out_y = in_image / p->tiles_w * OUT, out_x = in_image % p->tiles_w * OUT;
    const float *in[ELEMENTS], *out[OUT * OUT];
    int64_t count = 0;
    for (int64_t i = 0; i < IN; i++)
        for (int64_t j = 0; j < IN; j++) {
            const int64_t y = out_y - g->pad_top + i, z = out_x - g->pad_left + j;
            const int inside = y >= 0 && y < g->in_h && z >= 0 && z < g->in_w;
            in[IN * i + j] = inside ? x + ((image * g->in_h + y) * g->in_w + z) * g->in_channels + first : s->zeros;
        }
    for (int64_t i = 0; i < OUT; i++)
        for (int64_t j = 0; j < OUT; j++) {
            const int inside = out_y + i < g->out_h && out_x + j < g->out_w;
            const ptrdiff_t at = ((image * g->out_h + out_y + i) * g->out_w + out_x + j) * g->out_channels;
            out[OUT * i + j] = inside ? grad_y + at + n->begin : s->zeros;
            if (inside) pixels[count++] = at;
        }
    c->kernels->winograd->input(channels, in, s->v + t * V_ROW, BLOCK_TILES * V_ROW);
    c->kernels->winograd->gradient(n->columns, out, s->d + t * d_row, BLOCK_TILES * d_row);
    return count;
}

/* The sums of one unit: tiles begin .. end - 1, a panel, a range of channels. */
static void accumulate(const cnn_call *c, const winograd_gradient *p, const scratch *s, int64_t begin, int64_t end,
                       const float *x, int64_t first, int64_t channels, const float *grad_y, const cnn_panel *n,
                       double *bias) {
    const cnn_gemm_kernels *gemm = c->kernels->gemm;
    const int64_t d_row = n->width + PAD, rows = gemm->rows[n->vectors], parts = cnn_ceil_div(channels, rows);
    for (int64_t t = 0; t < BLOCK_TILES; t++) {
        s->v_rows[t] = s->v + t * V_ROW;
        for (int64_t e = 0; e < ELEMENTS; e++) s->d_rows[e * BLOCK_TILES + t] = s->d + (e * BLOCK_TILES + t) * d_row;
    }
    for (int64_t at = begin; at < end; at += BLOCK_TILES) {
        const int64_t tiles = cnn_min(BLOCK_TILES, end - at);
        int64_t pixels = 0;
        for (int64_t t = 0; t < tiles; t++)
            pixels += transform(c, p, s, at + t, t, x, first, channels, grad_y, n, s->pixels + pixels);
        if (bias) {
            gemm->moments(pixels, n->columns, grad_y + n->begin, s->pixels, s->mean, s->squares);
            for (int64_t k = 0; k < n->columns; k++) bias[n->begin + k] += (double)pixels * s->mean[k];
        }
        for (int64_t e = 0; e < ELEMENTS; e++)
            for (int64_t part = 0; part < parts; part++) {
                const int64_t row = channels * part / parts, count = channels * (part + 1) / parts - row;
                const cnn_gemm_outer outer = {.pixels = tiles,
                                              .x = s->v_rows,
                                              .grad_y = s->d_rows + e * BLOCK_TILES,
                                              .channel = e * BLOCK_TILES * V_ROW + row,
                                              .w = s->sums + (e * CHANNELS + row) * n->width,
                                              .stride = n->width,
                                              .last = n->width / n->vectors,
                                              .accumulate = at > begin};
                gemm->outer[n->vectors][count](&outer);
            }
    }
}

void cnn_winograd_gradient_run(const cnn_call *c, const cnn_exec *e, const cnn_weight_gradient_operands *o) {
    const winograd_gradient *p = (const winograd_gradient *)c->plan;
    const cnn_conv2d_geometry *g = &p->g;
    const cnn_panels panels = cnn_panels_of(c->kernels, g->out_channels);
    const float *x = cnn_data(e, o->x), *grad_y = cnn_data(e, o->grad_y);
    float *grad_w = cnn_data(e, o->grad_w), *grad_bias = cnn_data(e, o->grad_bias);
    const int64_t tiles = tiles_of(p), tap = (int64_t)g->in_channels * g->out_channels,
                  slot = cnn_round_up(weights_of(p), CNN_ALIGNMENT / 4);
    float *partial = (float *)e->workspace;
    double *bias_slots = (double *)(partial + (p->groups - 1) * slot);
    scratch s;
    scratch_layout(&s, e->thread_workspace, panels.widest * panels.vl, g->in_channels);
    memset(s.zeros, 0, (size_t)(cnn_max(g->in_channels, panels.widest * panels.vl) + PAD) * 4);

    int64_t begin, end;
    /* Parallel over groups, panels, ranges of channels. */
    cnn_share(e, (int64_t)p->groups * panels.count * p->ranges, &begin, &end);
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t range = unit % p->ranges, group = unit / p->ranges / panels.count;
        const cnn_panel n = cnn_panel_at(&panels, unit / p->ranges % panels.count);
        const int64_t first = (int64_t)g->in_channels * range / p->ranges,
                      channels = (int64_t)g->in_channels * (range + 1) / p->ranges - first;
        double *bias = grad_bias && range == 0 ? bias_slots + group * g->out_channels : NULL;
        if (bias) memset(bias + n.begin, 0, (size_t)n.columns * sizeof *bias);
        accumulate(c, p, &s, tiles * group / p->groups, tiles * (group + 1) / p->groups, x, first, channels, grad_y, &n,
                   bias);
        float *to = (group ? partial + (group - 1) * slot : grad_w) + n.begin;
        for (int64_t row = 0; row < channels; row++)
            c->kernels->winograd->weight_gradient(n.columns, s.sums + row * n.width, CHANNELS * n.width,
                                                  to + (first + row) * g->out_channels, tap);
    }
    if (p->groups == 1 && !grad_bias) return;
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
