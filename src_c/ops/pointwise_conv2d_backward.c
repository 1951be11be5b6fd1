/* pointwise_conv2d_backward: both gradients of a 1x1 convolution out = conv(t, w) that a batch normalisation reads, in
 * one reading of what they share, for tensors that are too large for the caches:
 *
 *     t = act(in in_scale + in_shift), or in itself
 *     d = p grad_y + q out + s, the gradient in out: see normalised_gradient.h
 *     grad_x = (d w^T + residual) act'(y), sum_g, sum_gx: see gradient_epilogue.h
 *     grad_w = t^T d
 *
 * The residual may also be of every other row and column alone, see sparse_residual.h.
 *
 * Pixels are cut, by shapes alone, into blocks and groups of blocks, the unit of parallel work. Of a block, what is
 * computed on load, t and d, goes to a thread's workspace; then grad_w's sums of the group grow by it, and its part of
 * grad_x is computed. The groups' sums are added in order, like those of weight_gradient.h. */
#include "coming.h"
#include "gradient_epilogue.h"
#include "layout.h"
#include "normalised_gradient.h"
#include "panels.h"
#include "sparse_residual.h"
#include "weight_gradient.h"

#include <stdio.h>
#include <string.h>

enum { GRAD_Y, W, IN, OUT, IN_SCALE = OUT + 4, IN_SHIFT, RESIDUAL, EPILOGUE };
enum { GRAD_X, SUM_G, SUM_GX, GRAD_W };
enum { ACTIVATION, ALPHA, MAX_VALUE, IN_ACTIVATION, IN_ALPHA, IN_MAX_VALUE };
static const cnn_attr_def attrs[] = {
    CNN_ACT_ATTRS, CNN_INT_ATTR("in_activation", 0, 0, CNN_ACTIVATIONS - 1),
    CNN_FLOAT_ATTR("in_alpha", 0, -INFINITY, INFINITY), CNN_FLOAT_ATTR("in_max_value", INFINITY, -INFINITY, INFINITY),
    CNN_END_OF_ATTRS};

enum {
    BLOCK_PIXELS = 96,                /* of d and t in the second cache, a panel of d in the first */
    GROUPS = 64,                      /* wanted: for so many threads */
    GROUP_BLOCKS = 4,                 /* at least so many in a group, or adding the sums costs some per cent */
    PARTIAL_BYTES = 4 << 20,          /* at most so much for partial sums */
    STREAM_BYTES = 16 << 20,          /* from this size on grad_x is written past the caches */
    LINE = 16,
};

typedef struct backward_plan {
    int64_t pixels, in_channels, out_channels;
    int64_t groups, blocks, block_pixels;
    int64_t out_pitch, in_pitch;      /* floats between the pixels of d and t in the workspace */
    int streams;                      /* grad_x is written past the caches */
    int sparse;                       /* is the residual of some pixels alone? ... */
    cnn_sparse_residual some;         /* ... of these */
    char text[96];
} backward_plan;
_Static_assert(sizeof(backward_plan) <= CNN_PLAN_BYTES, "the plan must fit");

static const cnn_tensor *operand(const cnn_call *c, int i) { return i < c->n_in ? c->in[i] : NULL; }

static cnn_normalised_gradient gradient_of(const cnn_call *c) {
    return cnn_normalised_gradient_of(c, c->in[GRAD_Y], OUT);
}

/* ---- shapes ---- */

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *grad_y = c->in[GRAD_Y], *w = c->in[W], *in = c->in[IN], *residual = operand(c, RESIDUAL);
    char shape[64], want[64], rows[64];
    if (cnn_expect(grad_y, "grad_y", 4, CNN_F32, error) || cnn_expect(w, "w", 4, CNN_F32, error)
        || cnn_expect(in, "in", 4, CNN_F32, error)) return -1;
    if (w->dims[0] != 1 || w->dims[1] != 1 || w->dims[2] != cnn_last(in) || w->dims[3] != cnn_last(grad_y))
        return cnn_fail(error, "w must have shape (1, 1, %lld, %lld), the channels of in and grad_y, got %s",
                        (long long)cnn_last(in), (long long)cnn_last(grad_y), cnn_shape_text(w, shape));
    for (int i = 0; i < 3; i++)
        if (grad_y->dims[i] != in->dims[i])
            return cnn_fail(error, "grad_y must have the pixels of in, of shape %s, got %s", cnn_shape_text(in, want),
                            cnn_shape_text(grad_y, shape));
    const cnn_normalised_gradient d = gradient_of(c);
    if (cnn_normalised_gradient_check(&d, error)
        || cnn_expect_vector(operand(c, IN_SCALE), "in_scale", cnn_last(in), error)
        || cnn_expect_vector(operand(c, IN_SHIFT), "in_shift", cnn_last(in), error)) return -1;
    if (!operand(c, IN_SCALE) != !operand(c, IN_SHIFT))
        return cnn_fail(error, "in_scale and in_shift must be given together");
    const cnn_sparse_residual some = cnn_sparse_residual_of(in, 1, 1);
    const cnn_tensor sparse = cnn_sparse_residual_like(&some, in);
    if (residual && (residual->dtype != CNN_F32
                     || (!cnn_same_shape(residual, in) && !cnn_same_shape(residual, &sparse))))
        return cnn_fail(error, "residual must be float32 with the shape of in, %s, or with that of every other row and "
                        "column, %s, got %s", cnn_shape_text(in, want), cnn_shape_text(&sparse, rows),
                        cnn_shape_text(residual, shape));
    cnn_like(&out[GRAD_X], in);
    const cnn_gradient_epilogue_operands gradient = cnn_gradient_epilogue_of(c, EPILOGUE, ACTIVATION);
    if (cnn_gradient_epilogue_infer(c, &gradient, out, error)) return -1;
    if (c->n_out > GRAD_W) cnn_like(&out[GRAD_W], w);
    return 0;
}

/* ---- plan ---- */

typedef struct scratch {
    float *out, *in;                  /* d and t, pixel by pixel */
    float *in_scale, *in_shift;       /* of t, as wide rows (kernels/batchnorm.h) */
    const float **rows_of_in, **rows_of_out;    /* where the pixels of t and d are */
    int32_t *number;                  /* 0, 1, ... */
    ptrdiff_t *at, *sparse_at;        /* where the pixels of grad_x are, from the first one on; of a sparse residual */
    float *zeros;                     /* where that has none */
    cnn_moment_sums sums;             /* of a panel of grad_x, [widest panel] */
} scratch;

/* Floats in the widest panel of grad_x. */
static int64_t panel_width(const cnn_call *c, const backward_plan *p) {
    return (int64_t)cnn_panels_of_product(c->kernels, p->in_channels).widest * c->kernels->vector;
}

/* Rows of t that are taken together where they lie one after the other. */
static int64_t fold_of(const backward_plan *p) {
    return p->in_pitch == p->in_channels ? cnn_batchnorm_fold_rows(p->in_channels) : 1;
}

static int64_t scratch_layout(scratch *s, char *memory, const cnn_call *c, const backward_plan *p) {
    const int64_t n = p->block_pixels, floats = (int64_t)sizeof(float), pointers = (int64_t)sizeof(float *);
    cnn_layout all = {.memory = memory};
    s->out = cnn_take(&all, n * p->out_pitch * floats);
    s->in = cnn_take(&all, operand(c, IN_SCALE) ? n * p->in_pitch * floats : 0);
    s->in_scale = cnn_take(&all, operand(c, IN_SCALE) ? fold_of(p) * p->in_channels * floats : 0);
    s->in_shift = cnn_take(&all, operand(c, IN_SCALE) ? fold_of(p) * p->in_channels * floats : 0);
    s->rows_of_in = cnn_take(&all, n * pointers);
    s->rows_of_out = cnn_take(&all, n * pointers);
    s->number = cnn_take(&all, n * (int64_t)sizeof *s->number);
    s->at = cnn_take(&all, n * (int64_t)sizeof *s->at);
    s->sparse_at = cnn_take(&all, p->sparse ? n * (int64_t)sizeof *s->at : 0);
    s->zeros = cnn_take(&all, p->sparse ? p->in_channels * floats : 0);
    s->sums.sum = cnn_take(&all, panel_width(c, p) * floats);
    s->sums.square = cnn_take(&all, panel_width(c, p) * floats);
    return all.bytes;
}

/* Of the workspace: the sums of grad_w come first, then the slots of the epilogue. */
static int64_t parts_bytes(const backward_plan *p) {
    const int64_t count = p->in_channels * p->out_channels;
    return cnn_round_up(cnn_weight_gradient_parts_bytes(p->groups, count, p->out_channels, 0), CNN_ALIGNMENT);
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    backward_plan *p = (backward_plan *)c->plan;
    const cnn_tensor *in = c->in[IN], *w = c->in[W];
    const cnn_gradient_epilogue_operands gradient = cnn_gradient_epilogue_of(c, EPILOGUE, ACTIVATION);
    if (cnn_gradient_epilogue_check(&gradient, error) || cnn_expect_packable(w, "w", error)) return -1;
    *p = (backward_plan){.pixels = cnn_rows(in), .in_channels = w->dims[2], .out_channels = w->dims[3]};
    const cnn_tensor *residual = operand(c, RESIDUAL);
    p->sparse = residual && !cnn_same_shape(residual, in);
    p->some = cnn_sparse_residual_of(in, 1, 1);
    const int vl = c->kernels->vector;
    p->blocks = cnn_ceil_div(p->pixels, BLOCK_PIXELS);
    p->block_pixels = cnn_ceil_div(p->pixels, p->blocks);
    p->groups = cnn_max(1, cnn_min(cnn_min(GROUPS, p->blocks / GROUP_BLOCKS), PARTIAL_BYTES / cnn_bytes(w)));
    p->out_pitch = cnn_round_up(p->out_channels, vl);
    p->out_pitch += cnn_pitch_pad(p->out_pitch);
    p->in_pitch = p->in_channels + cnn_pitch_pad(p->in_channels);
    p->streams = c->kernels->gemm->streams && cnn_bytes(in) >= STREAM_BYTES && p->in_channels % vl == 0;
    const cnn_panels panels = cnn_panels_of_product(c->kernels, p->in_channels);
    scratch layout;
    choice->thread_workspace_bytes = scratch_layout(&layout, NULL, c, p);
    choice->workspace_bytes = parts_bytes(p) + cnn_gradient_epilogue_bytes(&gradient, p->in_channels, p->blocks);
    choice->packed_bytes = p->out_channels * panels.vectors * vl * (int64_t)sizeof(float);
    snprintf(p->text, sizeof p->text, "both gradients, %dx%d, %d groups of %d-pixel blocks", panels.rows,
             panels.widest * vl, (int)p->groups, (int)p->block_pixels);
    choice->kernel = p->text;
    return 0;
}

static double flops(const cnn_call *c) {
    return 4.0 * (double)cnn_rows(c->in[IN]) * (double)cnn_count(c->in[W])
        + 4.0 * (double)cnn_count(c->in[GRAD_Y])
        + (operand(c, IN_SCALE) ? 2.0 : 0.0) * (double)cnn_count(c->in[IN]);
}

/* w^T: [panel of input channels][output channel][width] */
static void pack(const cnn_call *c, const cnn_exec *e) {
    const backward_plan *p = (const backward_plan *)c->plan;
    const cnn_panels panels = cnn_panels_of_product(c->kernels, p->in_channels);
    const float *w = cnn_data(e, c->in[W]);
    int64_t begin, end;
    cnn_share(e, panels.count, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const cnn_panel n = cnn_panel_at(&panels, i);
        c->kernels->gemm->pack_transposed(p->out_channels, n.columns, n.width, w + n.begin * p->out_channels,
                                          p->out_channels, (float *)e->packed + n.begin * p->out_channels);
    }
}

/* ---- run ---- */

/* A block of pixels; of the next one, what has the channels of d, and of t. */
typedef struct block { int64_t first, pixels; cnn_streams next_out, next_in; } block;

/* The first block of the group that the thread will have next, unless another is faster; -1 where it is not known. */
static int64_t first_block_coming(const backward_plan *p, const cnn_work *work) {
    const int64_t group = cnn_work_coming(work);
    return group < 0 ? -1 : p->blocks * group / p->groups;
}

/* next: the number of the next block, -1 where it is not known. */
static block block_at(const cnn_call *c, const cnn_exec *e, const backward_plan *p, int64_t index, int64_t next) {
    const cnn_gradient_epilogue_operands gradient = cnn_gradient_epilogue_of(c, EPILOGUE, ACTIVATION);
    const int64_t first = p->pixels * index / p->blocks, stop = p->pixels * (index + 1) / p->blocks;
    block b = {.first = first, .pixels = stop - first};
    if (next < 0) return b;
    const int64_t next_first = p->pixels * next / p->blocks, coming = p->pixels * (next + 1) / p->blocks - next_first;
    const int64_t out = next_first * p->out_channels, in = next_first * p->in_channels;
    b.next_out.floats = coming * p->out_channels;
    b.next_in.floats = coming * p->in_channels;
    cnn_streams_add(&b.next_out, cnn_data(e, c->in[GRAD_Y]), out);
    cnn_streams_add(&b.next_out, cnn_data(e, operand(c, OUT)), out);
    cnn_streams_add(&b.next_in, cnn_data(e, c->in[IN]), in);
    if (!p->sparse) cnn_streams_add(&b.next_in, cnn_data(e, operand(c, RESIDUAL)), in);
    if (gradient.x != c->in[IN]) cnn_streams_add(&b.next_in, cnn_data(e, gradient.x), in);
    if (gradient.y != c->in[IN]) cnn_streams_add(&b.next_in, cnn_data(e, gradient.y), in);
    return b;
}

/* d and t of the block, and their rows. */
static void load(const cnn_call *c, const cnn_exec *e, const backward_plan *p, const block *b, scratch *s) {
    const float *in = (const float *)cnn_data(e, c->in[IN]) + b->first * p->in_channels;
    if (operand(c, IN_SCALE)) {
        const cnn_act act = {.kind = (int)cnn_int(c, IN_ACTIVATION), .alpha = cnn_float(c, IN_ALPHA),
                             .max_value = cnn_float(c, IN_MAX_VALUE)};
        const int64_t rows = p->in_pitch == p->in_channels ? b->pixels : 1;
        for (int64_t i = 0; i < b->pixels; i += rows)
            c->kernels->batchnorm->apply(rows, p->in_channels, fold_of(p), in + i * p->in_channels, s->in_scale,
                                         s->in_shift, (cnn_batchnorm_residual){.x = NULL}, act, 0,
                                         s->in + i * p->in_pitch);
    }
    const cnn_normalised_gradient d = gradient_of(c);
    cnn_normalised_gradient_load(c, e, &d, b->first, b->pixels, 0, p->out_channels, s->out, p->out_pitch);
    for (int64_t i = 0; i < b->pixels; i++) {
        s->rows_of_out[i] = s->out + i * p->out_pitch;
        s->rows_of_in[i] = operand(c, IN_SCALE) ? s->in + i * p->in_pitch : in + i * p->in_channels;
    }
}

/* grad_w += or = t^T d */
static void weight_gradient(const cnn_call *c, const backward_plan *p, const block *b, const scratch *s, int accumulate,
                            float *grad_w) {
    const cnn_panels panels = cnn_panels_of(c->kernels, p->out_channels);
    const int64_t tiles = cnn_ceil_div(p->in_channels, panels.rows), rows = p->in_channels / tiles,
                  larger = p->in_channels % tiles;
    cnn_streams next = b->next_out;
    cnn_streams_cut(&next, panels.count * tiles);
    const int64_t step = cnn_ceil_div(next.part, b->pixels), lines = cnn_ceil_div(step, LINE);
    cnn_gemm_outer outer = {.pixels = b->pixels, .x = s->rows_of_in, .row = s->number, .grad_y_stride = p->out_pitch,
                            .added_stride = p->out_channels, .stride = p->out_channels, .ahead_step = step};
    for (int64_t panel = 0; panel < panels.count; panel++) {
        const cnn_panel n = cnn_panel_at(&panels, panel);
        outer.grad_y = s->out + n.begin;
        outer.last = n.last;
        outer.channel = 0;
        for (int64_t tile = 0; tile < tiles; tile++) {
            outer.ahead = cnn_streams_next(&next, 1);
            outer.lines = outer.ahead ? lines : 0;
            outer.w = grad_w + outer.channel * p->out_channels + n.begin;
            outer.added = accumulate ? outer.w : NULL;
            c->kernels->gemm->outer[n.vectors][rows + (tile < larger)](&outer);
            outer.channel += rows + (tile < larger);
        }
    }
}

/* grad_x of the block, through its epilogue. */
static void input_gradient(const cnn_call *c, const cnn_exec *e, const backward_plan *p, const block *b,
                           const cnn_exec *slots, int64_t piece, const scratch *s) {
    static const int32_t first_tap = 0, one_tap = 1;
    const cnn_gradient_epilogue_operands gradient = cnn_gradient_epilogue_of(c, EPILOGUE, ACTIVATION);
    const cnn_panels panels = cnn_panels_of_product(c->kernels, p->in_channels);
    const int64_t tiles = cnn_ceil_div(b->pixels, panels.rows), rows = b->pixels / tiles,
                  larger = b->pixels - tiles * rows, origin = b->first * p->in_channels;
    const float *residual = cnn_data(e, operand(c, RESIDUAL));
    float *grad_x = cnn_data(e, c->out[GRAD_X]);
    const ptrdiff_t *added_at = p->sparse ? s->sparse_at : s->at;
    for (int64_t i = 0; p->sparse && i < b->pixels; i++)
        s->sparse_at[i] = cnn_sparse_residual_at(&p->some, b->first + i, p->in_channels, residual, s->zeros);
    const int gradient_wanted = cnn_gradient_epilogue_wanted(&gradient), sums = cnn_gradient_epilogue_sums(&gradient);
    cnn_streams next = b->next_in;
    cnn_streams_cut(&next, panels.count * tiles);
    const int64_t step = cnn_ceil_div(next.part, 2 * p->out_channels);
    for (int64_t panel = 0; panel < panels.count; panel++) {
        const cnn_panel n = cnn_panel_at(&panels, panel);
        cnn_gradient_epilogue through;
        if (gradient_wanted) {
            through = cnn_gradient_epilogue_in_registers(slots, &gradient, p->in_channels, piece, n.begin, n.columns);
            if (through.y) through.y += origin;
            if (through.x) through.x += origin;
        }
        cnn_gemm_tile t = {.runs = 1, .channels = p->out_channels, .tap = &first_tap, .length = &one_tap,
                           .w = (const float *)e->packed + n.begin * p->out_channels,
                           .added = residual ? residual + (p->sparse ? 0 : origin) + n.begin : NULL,
                           .y = grad_x + origin + n.begin, .near_step = step, .far_step = step,
                           .last = n.last, .low = -INFINITY, .high = INFINITY, .moments = sums ? &s->sums : NULL,
                           .gradient = gradient_wanted ? &through : NULL,
                           .stream = p->streams && (uintptr_t)grad_x % CNN_ALIGNMENT == 0};
        for (int64_t tile = 0, strip; tile < tiles; tile += strip) {
            const int64_t begin = rows * tile + cnn_min(tile, larger);
            strip = cnn_min(CNN_GEMM_STRIP, (tile < larger ? larger : tiles) - tile);
            t.more = strip - 1;
            t.near = cnn_streams_next(&next, strip);
            t.far = t.near ? t.near + strip * next.part / 2 : NULL;
            t.x = s->rows_of_out + begin;
            t.at = s->at + begin;
            t.added_at = added_at + begin;
            t.start = tile == 0;
            c->kernels->gemm->tile[n.vectors][rows + (tile < larger)](&t);
        }
        if (sums) cnn_gradient_epilogue_note(&through, n.columns, &s->sums);
    }
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const backward_plan *p = (const backward_plan *)c->plan;
    const cnn_gradient_epilogue_operands gradient = cnn_gradient_epilogue_of(c, EPILOGUE, ACTIVATION);
    const cnn_weight_gradient_parts sums = cnn_weight_gradient_parts_of(e, p->groups, p->in_channels, p->out_channels,
                                                                        cnn_data(e, c->out[GRAD_W]), NULL);
    cnn_exec slots = *e;
    slots.workspace += parts_bytes(p);
    scratch s;
    scratch_layout(&s, e->thread_workspace, c, p);
    for (int64_t k = 0; operand(c, IN_SCALE) && k < fold_of(p); k++) {
        memcpy(s.in_scale + k * p->in_channels, cnn_data(e, c->in[IN_SCALE]), (size_t)p->in_channels * sizeof(float));
        memcpy(s.in_shift + k * p->in_channels, cnn_data(e, c->in[IN_SHIFT]), (size_t)p->in_channels * sizeof(float));
    }
    for (int64_t i = 0; i < p->block_pixels; i++) {
        s.number[i] = (int32_t)i;
        s.at[i] = i * p->in_channels;
    }
    if (p->sparse) memset(s.zeros, 0, (size_t)p->in_channels * sizeof(float));
    cnn_work work = cnn_share_work(e, p->groups);
    for (int64_t group; (group = cnn_work_next(&work)) >= 0;) {
        const int64_t first = p->blocks * group / p->groups, end = p->blocks * (group + 1) / p->groups;
        for (int64_t i = first; i < end; i++) {
            const block b = block_at(c, e, p, i, i + 1 < end ? i + 1 : first_block_coming(p, &work));
            load(c, e, p, &b, &s);
            weight_gradient(c, p, &b, &s, i > first, cnn_weight_gradient_part(&sums, group));
            input_gradient(c, e, p, &b, &slots, i, &s);
        }
    }
    if (p->streams) c->kernels->gemm->stream_end();
    cnn_weight_gradient_combine(c, e, &sums);
    if (cnn_gradient_epilogue_sums(&gradient))
        cnn_gradient_epilogue_combine(c, &slots, &gradient, p->in_channels, p->blocks);
}

const cnn_op cnn_op_pointwise_conv2d_backward = {
    .name = "pointwise_conv2d_backward",
    .summary = "grad_x = (d w^T + residual) act'(y), grad_w = act(in in_scale + in_shift)^T d; d = p grad_y + q out "
               "+ s",
    .inputs = "grad_y w in " CNN_NORMALISED_GRADIENT_INPUTS " [in_scale] [in_shift] [residual] " CNN_GRADIENT_INPUTS,
    .outputs = "grad_x " CNN_GRADIENT_OUTPUTS " grad_w",
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .pack = pack,
    .flops = flops,
    .run = run,
};
