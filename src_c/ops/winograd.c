#include "winograd.h"
#include "layout.h"
#include "panels.h"

#include <stdio.h>
#include <string.h>

enum {
    ELEMENTS = 36, /* of the largest forms */
    AHEAD = 4, /* most arrays fetched ahead: what is written, what a gradient's epilogue reads, the next block */
    UNITS = 16, /* pieces of work wanted, for so many threads; ... */
    FEW_UNITS = 8, /* ... fewer where a block is all tiles: reading U for half as many costs more */
    /* Where U does not stay in the second cache, reading it costs as much as the products of some tiles: blocks have so
     * many, if that leaves so many pieces of work. */
    BLOCK_TILES = 12, LEAST_UNITS = 4,
    SMALLEST_TILES = 16,
    LARGE_U_BYTES = 1 << 20, LARGE_V_BYTES = 1 << 19, /* of a panel, of a block: what does not stay in L2 */
    FEW_BLOCKS = 2, /* most threads use a panel of U for one of them only */
    SHARED_TILES = 4, /* of V that is shared, made at a time: there are a few for each thread */
    OWN_STRIDED_BLOCKS = 4, /* at most: each reads all of a panel of U from the last cache */
    SHARED_BYTES = 16 << 20, /* of all V at most: more does not stay in a cache, and nothing else needs such memory */
    CHANNELS_PER_TILE = 32, /* fewer tiles do not pay for reading U, four times as large as the weights, ... */
    CHANNELS_PER_STRIDED_TILE = 16, /* ... with stride 2, where less is saved, ... */
    CHANNELS_PER_5X5_TILE = 8, /* ... of small maps, of whose kernels much lies in the padding */
    TRANSPOSED_ROWS = 8, MOST_TRANSPOSED_ROWS = 16, /* of weights, at once while packing; at least a vector */
    LEAST_CHANNELS = 8, /* read: the transform of fewer, in whole vectors, costs more than it saves */
    LEAST_STRIDED_CHANNELS = 16, /* of either side with stride 2, where less is saved, ... */
    LEAST_GROUPED_CHANNELS = 16, LEAST_GROUPED_STRIDED_CHANNELS = 32, /* ... and of a group */
    LEAST_FOLDED_OUTPUTS = 16,        /* with so many 1.4 to 1.7 times as fast as directly, with more up to twice */
    FOLDED_BLOCK_TILES = 36,          /* 36 elements of 64 channels of so many take 330 KB */
    LEAST_5X5_PRODUCTS = 144,         /* of a kernel of 5x5: channels read times results, of a group */
    MOST_TAPS = 25,                   /* of a kernel, but of the folded form's */
    MOST_BUNDLED = 8,    /* groups in a bundle: beyond, the products with zeros take what is saved */
};

typedef struct winograd_plan {
    cnn_algorithm algorithm;          /* common to all convolution plans, see indirect_gemm.h */
    cnn_conv2d_geometry g;
    cnn_act act;
    int32_t block, blocks;            /* tiles of a block at most, blocks */
    int32_t ranges;                   /* of panels */
    int32_t form;                     /* see kernels/winograd.h */
    int32_t sparse;                   /* the residual is of every other row and column alone */
    int32_t own;                      /* each thread packs the panels that it uses, one at a time, in its own memory */
    int32_t shared;                   /* V of all blocks is made first, by all threads for all */
    int32_t bundles, bundled;         /* of groups, and groups in each; 1 and 1 without groups */
    char text[112];
} winograd_plan;
_Static_assert(sizeof(winograd_plan) <= CNN_PLAN_BYTES, "the plan must fit");

/* With groups each tile brings so few products to an element of U that, with stride 2, it takes four for a channel. */
static const double CHANNELS_PER_GROUPED_TILE = 0.25;

/* So many as fill a vector together. */
int cnn_winograd_bundled(const cnn_conv2d_geometry *g) {
    const int64_t channels = cnn_min(g->in_channels, g->out_channels) / g->groups,
        bundled = LEAST_GROUPED_CHANNELS / channels;
    return bundled > 1 && bundled <= MOST_BUNDLED && channels * bundled == LEAST_GROUPED_CHANNELS
        && g->groups % bundled == 0 ? (int)bundled : 1;
}

/* Are a group's channels, or a bundle's, whole vectors? */
static int fills_vectors(const cnn_conv2d_geometry *g) {
    return cnn_min(g->in_channels, g->out_channels) / g->groups * cnn_winograd_bundled(g) % LEAST_GROUPED_CHANNELS == 0;
}

/* Have the convolution, or its groups, channels enough? */
static int is_wide(const cnn_conv2d_geometry *g) {
    const int64_t channels = cnn_min(g->in_channels, g->out_channels) / g->groups * cnn_winograd_bundled(g);
    if (g->groups > 1) return channels >= (g->stride_h == 2 ? LEAST_GROUPED_STRIDED_CHANNELS : LEAST_GROUPED_CHANNELS);
    return g->stride_h == 2 ? channels >= LEAST_STRIDED_CHANNELS : g->in_channels >= LEAST_CHANNELS;
}

/* Do the tiles of a form pay? `most_waste`: products, beside those of tiles that were all inside the image. */
static int pays(const cnn_conv2d_geometry *g, int form, double channels_per_tile, double most_waste) {
    const cnn_winograd_tiling t = cnn_winograd_tiling_of(g, form);
    const int64_t tiles = cnn_winograd_tiles(&t);
    const double waste = cnn_winograd_whole_h(&t) * t.out / t.out_h * cnn_winograd_whole_w(&t) * t.out / t.out_w;
    const double channels = (double)g->in_channels / g->groups * cnn_winograd_bundled(g);
    return tiles >= SMALLEST_TILES && (double)tiles * channels_per_tile >= channels && waste <= most_waste;
}

/* Do those of a kernel of 5x5? */
static int pays_5x5(const cnn_conv2d_geometry *g) {
    const int64_t products = (int64_t)(g->in_channels / g->groups) * (g->out_channels / g->groups);
    return g->stride_h == 1 && products >= LEAST_5X5_PRODUCTS && cnn_winograd_bundled(g) == 1
        && (g->groups == 1 || fills_vectors(g)) && pays(g, CNN_WINOGRAD_5X5, CHANNELS_PER_5X5_TILE, 1.35);
}

/* Is it the first layer of a network for large images? Its pixels are folded (kernels/winograd.h). */
static int is_folded(const cnn_conv2d_geometry *g) {
    const int32_t h = g->kernel_h + g->pad_top % 2, w = g->kernel_w + g->pad_left % 2;
    return !g->transposed && g->groups == 1 && g->stride_h == 2 && g->stride_w == 2 && g->dilation_h == 1
        && g->dilation_w == 1 && (h == 7 || h == 8) && (w == 7 || w == 8)
        && (g->in_channels == 3 || g->in_channels == 4) && g->out_channels >= LEAST_FOLDED_OUTPUTS;
}

int cnn_winograd_form_for(const cnn_conv2d_geometry *g) {
    if (is_folded(g))
        return pays(g, CNN_WINOGRAD_FOLDED, CHANNELS_PER_TILE, 1.5) ? CNN_WINOGRAD_FOLDED : CNN_NO_WINOGRAD;
    const int taps = g->kernel_h;
    if ((taps != 3 && taps != 5) || g->kernel_w != taps || g->stride_h != g->stride_w
        || g->pad_top > (taps - 1) * (int64_t)g->dilation_h || g->pad_left > (taps - 1) * (int64_t)g->dilation_w
        || !is_wide(g))
        return CNN_NO_WINOGRAD;
    const int dilated = g->dilation_h > 1 || g->dilation_w > 1;
    if (dilated && (g->stride_h > 1 || g->dilation_h > g->out_h || g->dilation_w > g->out_w)) return CNN_NO_WINOGRAD;
    if (taps == 5) return pays_5x5(g) ? CNN_WINOGRAD_5X5 : CNN_NO_WINOGRAD;
    if (g->stride_h == 2) {
        if (g->transposed && (g->pad_top != g->pad_left || g->pad_top > 1)) return CNN_NO_WINOGRAD;
        const int form = !g->transposed ? CNN_WINOGRAD_STRIDED : g->pad_top ? CNN_WINOGRAD_BACK_1 : CNN_WINOGRAD_BACK_0;
        const cnn_winograd_tiling t = cnn_winograd_tiling_of(g, form);
        const int narrow = t.h == t.low && t.w == t.narrow;   /* narrow tiles alone save less, and the same U is read */
        return !narrow && pays(g, form, g->groups > 1 ? CHANNELS_PER_GROUPED_TILE : CHANNELS_PER_STRIDED_TILE, 1.35)
            ? form : CNN_NO_WINOGRAD;
    }
    if (g->stride_h != 1) return CNN_NO_WINOGRAD;
    /* A narrow tile alone has the products of F(2x2, 3x3), and a larger U. */
    const int small = g->out_h <= 2 * (int64_t)g->dilation_h && g->out_w <= 2 * (int64_t)g->dilation_w;
    return !small && pays(g, CNN_WINOGRAD_4X4, CHANNELS_PER_TILE, 1.8) ? CNN_WINOGRAD_4X4
        : pays(g, CNN_WINOGRAD_2X2, CHANNELS_PER_TILE, 1.5) && (g->groups == 1 || fills_vectors(g))
        ? CNN_WINOGRAD_2X2 : CNN_NO_WINOGRAD;
}

static int64_t elements(const winograd_plan *p) { return cnn_winograd_shape_of(p->form).elements; }
static int strided(const winograd_plan *p) { return p->form >= CNN_WINOGRAD_STRIDED; }
static int folded(const winograd_plan *p) { return p->form == CNN_WINOGRAD_FOLDED; }
static const cnn_winograd_form *form(const cnn_call *c, const winograd_plan *p) {
    return c->kernels->winograd->form[p->form];
}

/* Channels of a bundle; read: in a block, those of four pixels where they are folded. */
static int64_t read_of(const winograd_plan *p) { return p->g.in_channels / p->bundles; }
static int64_t in_of(const winograd_plan *p) { return (folded(p) ? 4 : 1) * read_of(p); }
static int64_t out_of(const winograd_plan *p) { return p->g.out_channels / p->bundles; }
static int64_t u_bytes(const winograd_plan *p) {
    return elements(p) * in_of(p) * out_of(p) * p->bundles * (int64_t)sizeof(float);
}
static cnn_panels panels_of(const cnn_call *c, const winograd_plan *p) {
    const cnn_winograd_tiling t = cnn_winograd_tiling_of(&p->g, p->form);
    return cnn_two_tiles_do(c->kernels, cnn_winograd_tiles(&t), u_bytes(p))
        ? cnn_panels_within(c->kernels, out_of(p), 2) : cnn_panels_of(c->kernels, out_of(p));
}

/* Rows of U, and floats from one element to the next, in a panel of so many columns. */
static int64_t u_rows(const cnn_panels *panels, const winograd_plan *p) { return cnn_round_up(in_of(p), panels->vl); }
static int64_t u_element(int64_t rows, int64_t width) { return rows * width + CNN_WINOGRAD_PAD; }
static int64_t u_panel(const cnn_panels *panels, const winograd_plan *p, int64_t rows, int64_t panel) {
    return elements(p) * (rows * cnn_panel_at(panels, panel).begin + panel * CNN_WINOGRAD_PAD);
}
static int64_t panel_bytes(const cnn_panels *panels, const winograd_plan *p) {
    return elements(p) * u_element(u_rows(panels, p), panels->widest * panels->vl) * (int64_t)sizeof(float);
}

/* Floats of U of a bundle. */
static int64_t u_bundle(const cnn_panels *panels, const winograd_plan *p) {
    return u_panel(panels, p, u_rows(panels, p), panels->count - 1) + panel_bytes(panels, p) / (int64_t)sizeof(float);
}

/* Memory of a thread. */
typedef struct scratch {
    /* Blocks of a bundle's input channels (p->shared: of all threads), of a panel; what lies in the padding. */
    float *v, *m, *zeros;
    cnn_winograd_block v_block, m_block;
    cnn_moment_sums moments;     /* [output channels of a bundle] */
    float *u;                         /* one panel, where p->own */
    float *rescaled;                  /* see cnn_winograd_images */
} scratch;

static int64_t zeros_bytes(const winograd_plan *p) {
    const cnn_winograd_tiling t = cnn_winograd_tiling_of(&p->g, p->form);
    return cnn_winograd_zeros_bytes(&t, p->g.in_channels);
}

/* Where one panel is all output channels the product overwrites V, tile by tile. */
static int64_t scratch_layout(const cnn_call *c, scratch *s, char *memory, const winograd_plan *p, int bytes) {
    const cnn_winograd_tiling tiling = cnn_winograd_tiling_of(&p->g, p->form);
    const cnn_panels panels = panels_of(c, p);
    const int64_t in = in_of(p), out = out_of(p);
    const int in_place = panels.count == 1;
    s->v_block = cnn_winograd_block_of(c->kernels, p->form, p->block, in_place ? cnn_max(in, out) : in);
    s->m_block = in_place ? s->v_block
        : cnn_winograd_block_of(c->kernels, p->form, p->block, panels.widest * panels.vl);
    cnn_layout l = {.memory = memory};
    s->v = cnn_take(&l, p->shared ? 0 : s->v_block.bytes);
    s->m = in_place ? s->v : cnn_take(&l, s->m_block.bytes);
    s->zeros = cnn_take(&l, zeros_bytes(p));
    s->moments.shift = cnn_take(&l, out * 4);
    s->moments.sum = cnn_take(&l, out * 4);
    s->moments.square = cnn_take(&l, out * 4);
    s->u = cnn_take(&l, p->own ? panel_bytes(&panels, p) : 0);
    s->rescaled = cnn_take(&l, bytes ? cnn_winograd_rescaled_floats(&tiling) * 4 : 0);
    return l.bytes;
}

/* Tiles of a block at most: V, M and an element of U stay in L2, and the more channels, the more tiles are to share the
 * reading of U. */
static int64_t most_tiles(const winograd_plan *p) {
    const int64_t in = in_of(p), out = out_of(p);
    if (folded(p)) return FOLDED_BLOCK_TILES;
    if (cnn_max(in, out) <= 32) return strided(p) ? 16 : 32;
    if (strided(p)) return in <= 128 ? 10 : 24;                       /* with more than twice as many slots */
    return in <= 64 ? 16 : in <= 128 ? 32 : in <= 256 ? 48 : 96;
}

/* Of the memory of all threads, what moments and the sums of a gradient's epilogue take. V follows where it is
 * shared. */
static int64_t sums_bytes(const winograd_plan *p, const cnn_indirect_gemm_operands *t) {
    const int64_t channels = p->g.out_channels;
    return cnn_round_up(t->mean || t->var ? cnn_moments_slots_bytes(channels, p->blocks)
                                          : cnn_gradient_epilogue_bytes(&t->gradient, channels, p->blocks),
                        CNN_PAGE);
}

int cnn_winograd_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *g, cnn_act act,
                      const cnn_indirect_gemm_operands *t, cnn_error *error) {
    winograd_plan *p = (winograd_plan *)c->plan;
    if (cnn_indirect_gemm_check(g, act, t, error)) return -1;
    *p = (winograd_plan){.algorithm = CNN_WINOGRAD, .g = *g, .act = act, .form = cnn_winograd_form_for(g)};
    p->sparse = t->residual && !cnn_same_shape(t->residual, t->y);
    p->bundled = cnn_winograd_bundled(g);
    p->bundles = g->groups / p->bundled;
    const cnn_panels panels = panels_of(c, p);
    const cnn_winograd_tiling tiling = cnn_winograd_tiling_of(g, p->form);
    const int64_t tiles = cnn_winograd_tiles(&tiling), most = most_tiles(p);
    const int64_t units = cnn_ceil_div(tiles <= most ? FEW_UNITS : UNITS, p->bundles);
    p->ranges = p->bundles > 1 ? 1 : (int32_t)cnn_min(panels.count, cnn_ceil_div(UNITS, cnn_ceil_div(tiles, most)));
    p->blocks = (int32_t)cnn_min(cnn_ceil_div(tiles, panels.rows),
                                 cnn_max(cnn_ceil_div(tiles, most), cnn_ceil_div(units, p->ranges)));
    if (u_bytes(p) >= CNN_WEIGHTS_FROM_MEMORY) {
        const int64_t enough = cnn_max(tiles / BLOCK_TILES, cnn_ceil_div(LEAST_UNITS, p->ranges));
        p->blocks = (int32_t)cnn_min(p->blocks, cnn_max(cnn_ceil_div(tiles, most), enough));
    }
    if (p->blocks > 1 && p->blocks < 4 * UNITS) p->blocks = (int32_t)cnn_min(cnn_round_up(p->blocks, 2), tiles);
    p->block = (int32_t)cnn_ceil_div(tiles, p->blocks);
    scratch s;
    scratch_layout(c, &s, NULL, p, 0);                    /* the size of V, on which it depends who makes it */
    const int shares = p->blocks * s.v_block.bytes <= SHARED_BYTES;
    /* In training, where every panel serves a few blocks only, U need not exist as a whole; with stride 2 that pays for
     * fewer blocks, and not where V would be made again for each panel. */
    p->own = c->trains && panels.count > 1
        && (strided(p) ? p->blocks <= OWN_STRIDED_BLOCKS && shares : p->ranges == panels.count);
    if (p->own) p->ranges = panels.count;
    p->shared = shares && (p->own || (p->blocks == 1 && p->ranges > 1));
    choice->thread_workspace_bytes = scratch_layout(c, &s, NULL, p, t->x->dtype == CNN_U8);
    choice->workspace_bytes = sums_bytes(p, t) + (p->shared ? p->blocks * s.v_block.bytes : 0);
    if (!p->own) choice->packed_bytes = p->bundles * u_bundle(&panels, p) * (int64_t)sizeof(float);
    char bundled[32] = "";
    if (p->bundled > 1) snprintf(bundled, sizeof bundled, ", %d groups at once", p->bundled);
    snprintf(p->text, sizeof p->text, "Winograd %dx%d%s%s%s, %dx%d, %d-tile blocks%s%s", tiling.out, tiling.out,
             cnn_winograd_form_text(p->form), cnn_winograd_phases(&tiling) > 1 ? ", in phases" : "",
             tiling.low || tiling.narrow ? ", narrow edges" : "", panels.rows, panels.widest * panels.vl, p->block,
             bundled, t->norm.scale ? ", normalised" : "");
    choice->kernel = p->text;
    return 0;
}

double cnn_winograd_flops(const cnn_call *c) { return cnn_conv2d_flops(&((const winograd_plan *)c->plan)->g); }

/* One tap of some rows of a panel, of a bundle of groups: zeros but between channels of the same group. w: that tap. */
static void gather_bundle(const winograd_plan *p, const float *w, int64_t bundle, const cnn_panel *n, int64_t first,
                          int64_t rows, float *panel) {
    const int64_t in = in_of(p) / p->bundled, out = out_of(p) / p->bundled;        /* of a group */
    memset(panel, 0, (size_t)(rows * n->width) * sizeof *panel);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < n->columns; k++) {
            const int64_t x = first + r, y = n->begin + k, group = bundle * p->bundled + x / in;
            if (x / in != y / out) continue;
            panel[r * n->width + k] = p->g.transposed ? w[y % out * p->g.in_channels + group * in + x % in]
                                                      : w[x % in * p->g.out_channels + group * out + y % out];
        }
}

/* The same of rows begin .. end - 1 of what is folded: row (2 dy + dx) channels + k has the taps that channel k of
 * pixels of even (dy = 0) or odd rows and even (dx = 0) or odd columns meets. */
static void pack_folded(const cnn_call *c, const winograd_plan *p, const float *w, const cnn_panel *n, int64_t all,
                        int64_t begin, int64_t end, float *u) {
    const cnn_conv2d_geometry *g = &p->g;
    _Alignas(64) float taps[CNN_FOLDED_TAPS * CNN_FOLDED_TAPS * CNN_GEMM_VECTORS * 16];
    for (int64_t r = begin; r < end; r++) {
        const int64_t pixel = r / g->in_channels, channel = r % g->in_channels;
        memset(taps, 0, sizeof taps);
        for (int32_t k = 0; pixel < 4 && k < CNN_FOLDED_TAPS * CNN_FOLDED_TAPS; k++) {
            const int64_t tap = cnn_folded_tap(g, pixel, k);
            if (tap >= 0)
                memcpy(taps + k * n->width, w + (tap * g->in_channels + channel) * g->out_channels + n->begin,
                       (size_t)n->columns * sizeof *w);
        }
        form(c, p)->weights(n->width, taps, n->width, 0, u + r * n->width, u_element(all, n->width));
    }
}

static int64_t transposed_rows(const cnn_call *c) { return cnn_max(TRANSPOSED_ROWS, c->kernels->vector); }

/* U of one panel of a bundle, [element][channel][width], zeros for channels beyond the last: steps begin .. end - 1 of
 * transposed_rows() channels each. w: (kernel_h, kernel_w, in of a group, out) of the forward pass. */
static void pack_panel(const cnn_call *c, const winograd_plan *p, const float *w, int64_t bundle, const cnn_panel *n,
                       int64_t all, int64_t begin, int64_t end, float *u) {
    const int64_t step = transposed_rows(c), channels = in_of(p);
    if (folded(p)) {
        pack_folded(c, p, w, n, all, begin * step, cnn_min(end * step, all), u);
        return;
    }
    const int64_t tap = (int64_t)p->g.in_channels * p->g.out_channels / p->g.groups;
    const float *own = w + (p->g.transposed ? bundle * channels : bundle * out_of(p));    /* of a group that is alone */
    const int taps = p->g.kernel_h * p->g.kernel_w;
    _Alignas(64) float gathered[MOST_TAPS * MOST_TRANSPOSED_ROWS * CNN_GEMM_VECTORS *
                                16]; /* [tap][row][width] of one step, zero beyond the columns */
    for (int64_t first = begin * step; first < end * step; first += step) {
        const int64_t rows = cnn_min(step, all - first), real = cnn_max(0, cnn_min(rows, channels - first));
        if (p->bundled == 1 && !p->g.transposed && n->columns == n->width && real == rows) {  /* as it lies in memory */
            for (int64_t r = first; r < first + rows; r++)
                form(c, p)->weights(n->width, own + r * p->g.out_channels + n->begin, tap, 0, u + r * n->width,
                                              u_element(all, n->width));
            continue;
        }
        if (real < rows) memset(gathered, 0, sizeof gathered);
        for (int k = 0; k < taps && real > 0; k++) {
            float *panel = gathered + k * step * n->width;
            if (p->bundled > 1)
                gather_bundle(p, w + k * tap, bundle, n, first, real, panel);
            else if (p->g.transposed)
                c->kernels->gemm->pack_transposed(real, n->columns, n->width,
                                                  own + k * tap + n->begin * p->g.in_channels
                                                  + first, p->g.in_channels, panel);
            else
                c->kernels->gemm->pack(real, n->columns, n->width, own + k * tap + first * p->g.out_channels + n->begin,
                                       p->g.out_channels, panel);
        }
        for (int64_t r = 0; r < rows; r++)
            form(c, p)->weights(n->width, gathered + r * n->width, step * n->width,
                                          p->g.transposed, u + (first + r) * n->width, u_element(all, n->width));
    }
}

void cnn_winograd_pack(const cnn_call *c, const cnn_exec *e, const cnn_tensor *w) {
    const winograd_plan *p = (const winograd_plan *)c->plan;
    const cnn_panels panels = panels_of(c, p);
    const int64_t all = u_rows(&panels, p), steps = cnn_ceil_div(all, transposed_rows(c));
    int64_t begin, end;
    /* parallel over bundles, panels and steps of channels */
    cnn_share(e, p->bundles * panels.count * steps, &begin, &end);
    for (int64_t unit = begin; unit < end;) {
        const int64_t panel = unit / steps, stop = cnn_min(end, (panel + 1) * steps), bundle = panel / panels.count;
        const cnn_panel n = cnn_panel_at(&panels, panel % panels.count);
        pack_panel(c, p, cnn_data(e, w), bundle, &n, all, unit - panel * steps, stop - panel * steps,
                   (float *)e->packed + bundle * u_bundle(&panels, p) + u_panel(&panels, p, all, panel % panels.count));
        unit = stop;
    }
}

cnn_winograd_images cnn_winograd_images_of(const cnn_call *c, const cnn_exec *e, const cnn_tensor *x,
                                           const cnn_normalised *norm, cnn_rescaling by, float *rescaled) {
    return (cnn_winograd_images){cnn_conv2d_images_of(c, e, x, by),
                                 {cnn_data(e, norm->scale), cnn_data(e, norm->shift), norm->act}, rescaled};
}

/* V of tiles first .. end - 1 of a block, a bundle's channels. */
static void gather(const cnn_call *c, const winograd_plan *p, const cnn_winograd_tiling *tiling, const scratch *s,
                   const cnn_winograd_order *order, int64_t first, int64_t end, const cnn_winograd_images *images,
                   int64_t bundle) {
    const int64_t vl = c->kernels->vector;
    for (int64_t t = first; t < end;) {
        const cnn_winograd_strip strip = cnn_winograd_strip_at(tiling, t, end);
        cnn_winograd_source in = cnn_winograd_inputs(tiling, &strip, images, bundle * read_of(p), read_of(p), s->zeros);
        cnn_winograd_into(&in, &s->v_block, (order->end - order->begin) * vl,
                          s->v + cnn_winograd_place(tiling, order, &strip) * vl);
        form(c, p)->input[strip.size][strip.kind](&in);
        t += strip.tiles;
    }
}

static cnn_winograd_order block_at(const winograd_plan *p, const cnn_winograd_tiling *tiling, int64_t block) {
    const int64_t tiles = cnn_winograd_tiles(tiling);
    return cnn_winograd_order_of(tiling, tiles * block / p->blocks, tiles * (block + 1) / p->blocks);
}

/* V of all blocks, at v. Parallel over a few tiles each. */
static void gather_all(const cnn_call *c, const cnn_exec *e, const winograd_plan *p, const cnn_winograd_tiling *tiling,
                       scratch *s, const cnn_winograd_images *images, float *v) {
    const int64_t pieces = cnn_ceil_div(p->block, SHARED_TILES);
    cnn_work work = cnn_share_work(e, p->blocks * pieces);
    for (int64_t unit; (unit = cnn_work_next(&work)) >= 0;) {
        const int64_t block = unit / pieces, piece = unit % pieces;
        const cnn_winograd_order order = block_at(p, tiling, block);
        const int64_t tiles = order.end - order.begin;
        s->v = v + block * s->v_block.bytes / (int64_t)sizeof(float);
        gather(c, p, tiling, s, &order, order.begin + tiles * piece / pieces,
               order.begin + tiles * (piece + 1) / pieces,
               images, 0);
    }
    cnn_barrier(e);
}

/* Rows of products cut into register tiles of nearly equal height, the first `higher` of low + 1 rows. Mostly as many
 * as the last ones, and with few channels a product takes no longer than some divisions. */
typedef struct cut { int64_t most, rows, tiles, low, higher; } cut;
static void cut_rows(cut *c, int64_t rows) {
    if (c->rows == rows) return;
    c->rows = rows;
    c->tiles = cnn_ceil_div(rows, c->most);
    c->low = rows / cnn_max(1, c->tiles);
    c->higher = rows - c->tiles * c->low;
}

/* M[e] = V[e] U[e] for one panel; register tiles of nearly equal height. Meanwhile fetches what is needed next: U[e +
 * 1] where U does not stay in L2 from block to block, or blocks are few, V[e + 1] where V does not; and unless both do
 * not from from[i] to to[i], one of `arrays` after the other. */
static void multiply(const cnn_call *c, const winograd_plan *p, const scratch *s, const cnn_winograd_order *order,
                     int64_t channels, const cnn_panel *n, const float *u, int arrays, const char *const from[AHEAD],
                     const char *const to[AHEAD]) {
    const int64_t vl = c->kernels->vector, planes = cnn_ceil_div(channels, vl),
                  element = u_element(planes * vl, n->width);
    const int large = p->blocks <= FEW_BLOCKS || elements(p) * element * (int64_t)sizeof(float) > LARGE_U_BYTES;
    const int large_v = s->v_block.bytes > LARGE_V_BYTES;
    const int64_t share = elements(p) / arrays;
    cnn_winograd_product product = {.channels = channels};
    cnn_winograd_ahead ahead = {0}, ahead_v = {0};
    cnn_winograd_piece piece;
    cut rows = {.most = c->kernels->gemm->rows[n->vectors]};
    int64_t steps[ELEMENTS];                              /* register tiles, times planes */
    for (int64_t e = 0; e < elements(p); e++) {
        steps[e] = 0;
        for (int64_t slot = 0; slot < cnn_winograd_slots(strided(p), (int)e);) {
            slot += cnn_winograd_piece_at(order, e, slot, &piece);
            cut_rows(&rows, piece.rows);
            steps[e] += rows.tiles * planes;
        }
    }
    for (int64_t e = 0, next_share = 0, array = 0; e < elements(p); e++) {
        const int64_t slots = cnn_winograd_slots(strided(p), (int)e), at = cnn_winograd_first_slot(strided(p), (int)e);
        if (e == next_share && array < arrays) {
            int64_t all = 0;
            next_share += share;
            for (int64_t next = e; next < next_share; next++) all += steps[next];
            *(large ? &ahead_v : &ahead) = cnn_winograd_ahead_of(from[array], to[array], all);
            array++;
        }
        if (!steps[e]) continue;                          /* all tiles are narrow, without this element */
        if (large) ahead = cnn_winograd_ahead_of((const char *)(u + (e + 1) * element),
                                                 (const char *)(u + (e + 2) * element), steps[e]);
        product.v_plane = slots * s->v_block.plane;
        product.m_plane = slots * s->m_block.plane;
        const float *v = s->v + at * s->v_block.element;
        float *m = s->m + at * s->m_block.element;
        if (large_v) ahead_v = cnn_winograd_ahead_of((const char *)(v + slots * s->v_block.element),
                                                     (const char *)(v + 2 * slots * s->v_block.element), steps[e]);
        product.u = u + e * element;
        for (int64_t slot = 0; slot < slots;) {
            slot += cnn_winograd_piece_at(order, e, slot, &piece);
            if (!piece.rows) continue;
            cut_rows(&rows, piece.rows);
            product.v = v + piece.first * vl;
            product.m = m + piece.first * vl;
            if (rows.higher) {
                product.groups = rows.higher;
                product.ahead = cnn_winograd_advance(&ahead, product.groups * planes, &product.lines);
                product.ahead_v = cnn_winograd_advance(&ahead_v, product.groups * planes, &product.lines_v);
                c->kernels->winograd->product[n->vectors][rows.low + 1](&product);
            }
            product.v += rows.higher * (rows.low + 1) * vl;
            product.m += rows.higher * (rows.low + 1) * vl;
            product.groups = rows.tiles - rows.higher;
            product.ahead = cnn_winograd_advance(&ahead, product.groups * planes, &product.lines);
            product.ahead_v = cnn_winograd_advance(&ahead_v, product.groups * planes, &product.lines_v);
            c->kernels->winograd->product[n->vectors][rows.low](&product);
        }
    }
}

/* The results of a block's tiles and a panel's channels. */
static void scatter(const cnn_call *c, const winograd_plan *p, const cnn_winograd_tiling *tiling, const scratch *s,
                    const cnn_winograd_order *order, const cnn_panel *n, cnn_winograd_result result) {
    const cnn_winograd_tiling *g = tiling;
    const float *added = result.added;
    const cnn_gradient_epilogue *whole = result.gradient;
    cnn_gradient_epilogue gradient;
    float *y = result.y;
    result.channels = n->columns;
    result.element = s->m_block.element;
    result.plane = s->m_block.plane;
    result.slot = (order->end - order->begin) * c->kernels->vector;
    result.odd = p->form == CNN_WINOGRAD_BACK_1;
    result.far = cnn_winograd_far((int64_t)g->images * g->out_h * g->out_w * g->out_channels);
    result.sparse = p->sparse;
    result.sparse_row = cnn_ceil_div(g->out_w, 2) * g->out_channels;
    result.step = (int64_t)g->dilation_w * g->out_channels;
    result.row = (int64_t)g->dilation_h * g->out_w * g->out_channels;
    result.start = 1;
    for (int64_t t = order->begin; t < order->end; t += result.tiles) {
        const cnn_winograd_strip strip = cnn_winograd_strip_at(tiling, t, order->end);
        const int64_t at = ((strip.image * g->out_h + strip.y) * g->out_w + strip.x) * g->out_channels;
        const int64_t sparse_at = (strip.image * cnn_ceil_div(g->out_h, 2) + strip.y / 2) * result.sparse_row
            + strip.x / 2 * g->out_channels;
        result.tiles = strip.tiles;
        if (!strip.rows || !strip.columns) continue;
        result.m = s->m + cnn_winograd_place(tiling, order, &strip) * c->kernels->vector;
        result.y = y + at;
        result.added = added ? added + (p->sparse ? sparse_at : at) : NULL;
        if (whole) {
            gradient = *whole;
            if (gradient.y) gradient.y += at;
            if (gradient.x) gradient.x += at;
            result.gradient = &gradient;
        }
        result.rows = strip.rows;
        result.columns = strip.columns;
        form(c, p)->output[strip.size][strip.kind](&result);
        result.start = 0;
    }
}

/* The activation of what scatter() has left linear, and the number of pixels. */
static int64_t finish(const cnn_call *c, const winograd_plan *p, const cnn_winograd_tiling *tiling, int64_t first,
                      int64_t end, int64_t from, int64_t columns, float *y, int activate) {
    int64_t pixels = 0;
    for (int64_t t = first; t < end;) {
        const cnn_winograd_strip s = cnn_winograd_strip_at(tiling, t, end);
        const int64_t step = (int64_t)tiling->dilation_w * tiling->out_channels;
        for (int64_t i = 0; activate && i < s.rows; i++)
            cnn_activate_pixels(c, p->act, s.columns, columns, step,
                                y + ((s.image * tiling->out_h + s.y + i * tiling->dilation_h) * tiling->out_w + s.x)
                                    * tiling->out_channels + from);
        pixels += s.rows * s.columns;
        t += s.tiles;
    }
    return pixels;
}

void cnn_winograd_run(const cnn_call *c, const cnn_exec *e, const cnn_indirect_gemm_operands *o) {
    const winograd_plan *p = (const winograd_plan *)c->plan;
    const cnn_conv2d_geometry *g = &p->g;
    const cnn_panels panels = panels_of(c, p);
    const cnn_winograd_tiling tiling = cnn_winograd_tiling_of(g, p->form);
    const float *bias = cnn_data(e, o->bias), *residual = cnn_data(e, o->residual), *w = cnn_data(e, o->w);
    float *y = cnn_data(e, o->y);
    const cnn_epilogue epilogue = cnn_epilogue_of(p->act);
    const cnn_moments_slots slots = cnn_moments_slots_of(e->workspace, g->out_channels, p->blocks);
    const int moments = o->mean || o->var, gradient = cnn_gradient_epilogue_wanted(&o->gradient);
    /* What is written and what the gradient's epilogue reads, all laid out as y. */
    const char *results[AHEAD - 1] = {(char *)y};
    int like_y = 1;
    if (o->gradient.x) results[like_y++] = cnn_data(e, o->gradient.x);
    if (o->gradient.y) results[like_y++] = cnn_data(e, o->gradient.y);
    const int64_t tiles = cnn_winograd_tiles(&tiling), rows = u_rows(&panels, p);
    float *shared = (float *)((char *)e->workspace + sums_bytes(p, o));
    scratch s;
    scratch_layout(c, &s, e->thread_workspace, p, o->x->dtype == CNN_U8);
    memset(s.zeros, 0, (size_t)zeros_bytes(p));
    const cnn_winograd_images images = cnn_winograd_images_of(c, e, o->x, &o->norm, o->rescaling, s.rescaled);

    if (p->shared) gather_all(c, e, p, &tiling, &s, &images, shared);
    int64_t filled = -1, packed = -1;
    /* parallel over blocks of tiles, bundles, ranges of panels: there are several of one of these two alone */
    const int64_t parts = (int64_t)p->ranges * p->bundles;
    cnn_work work = cnn_share_work(e, parts * p->blocks);
    for (int64_t unit; (unit = cnn_work_next(&work)) >= 0;) {
        /* One after the other what shares the panel that the thread packed, else what shares V. */
        const int64_t block = p->own ? unit % p->blocks : unit / parts;
        const int64_t part = p->own ? unit / p->blocks : unit % parts;
        const int64_t range = p->bundles > 1 ? 0 : part, bundle = p->bundles > 1 ? part : 0, in = in_of(p),
                      base = bundle * out_of(p);                    /* the bundle's first output channel */
        const cnn_winograd_order order = block_at(p, &tiling, block);
        const int64_t first = order.begin, last = order.end;
        if (p->shared) s.v = shared + block * s.v_block.bytes / (int64_t)sizeof(float);
        else if (block * p->bundles + bundle != filled) gather(c, p, &tiling, &s, &order, first, last, &images, bundle);
        filled = block * p->bundles + bundle;
        for (int64_t panel = panels.count * range / p->ranges; panel < panels.count * (range + 1) / p->ranges;
             panel++) {
            const cnn_panel n = cnn_panel_at(&panels, panel);
            if (p->own && packed != panel)
                pack_panel(c, p, w, 0, &n, rows, 0, cnn_ceil_div(rows, transposed_rows(c)), s.u);
            packed = panel;
            const float *u = p->own ? s.u : (const float *)e->packed + bundle * u_bundle(&panels, p) +
                u_panel(&panels, p, rows, panel);
            /* The memory of the results while the first panel is computed, the pixels of the next block with the
             * last; of all bundles. */
            const int64_t next = block + 1 < p->blocks ? tiles * (block + 2) / p->blocks : last;
            const char *from[AHEAD] = {NULL}, *to[AHEAD] = {NULL};
            for (int i = 0; i < like_y && bundle == 0 && panel == panels.count * range / p->ranges; i++) {
                from[i] = results[i] + (first ? cnn_winograd_result_bytes(&tiling, first) : 0);
                to[i] = results[i] + cnn_winograd_result_bytes(&tiling, last);
            }
            if (bundle == p->bundles - 1 && panel == panels.count * (range + 1) / p->ranges - 1 && next > last
                && !p->shared) {
                from[like_y] = (char *)images.x.x + cnn_winograd_input_bytes(&tiling, &images, last);
                to[like_y] = (char *)images.x.x + cnn_winograd_input_bytes(&tiling, &images, next);
            }
            multiply(c, p, &s, &order, in, &n, u, like_y + 1, from, to);
            const cnn_moment_sums sums = {s.moments.shift + n.begin, s.moments.sum + n.begin,
                                               s.moments.square + n.begin};
            cnn_gradient_epilogue through;
            if (gradient)
                through = cnn_gradient_epilogue_in_registers(e, &o->gradient, g->out_channels, block, base + n.begin,
                                                             n.columns);
            scatter(c, p, &tiling, &s, &order, &n,
                    (cnn_winograd_result){.bias = bias ? bias + base + n.begin : NULL,
                                          .added = residual ? residual + base + n.begin : NULL,
                                          .y = y + base + n.begin,
                                          .clamp = epilogue.low > -INFINITY || epilogue.high < INFINITY,
                                          .low = epilogue.low,
                                          .high = epilogue.high,
                                          .moments = moments ? &sums : NULL,
                                          .gradient = gradient ? &through : NULL});
        }
        if (!moments && epilogue.in_tile) continue;
        const int64_t from = cnn_panel_at(&panels, panels.count * range / p->ranges).begin;
        const cnn_panel final = cnn_panel_at(&panels, panels.count * (range + 1) / p->ranges - 1);
        const int64_t columns = final.begin + final.columns - from,
                      pixels = finish(c, p, &tiling, first, last, base + from, columns, y, !epilogue.in_tile);
        if (!moments) continue;
        const cnn_moment_sums sums = {s.moments.shift + from, s.moments.sum + from, s.moments.square + from};
        double *mean = slots.mean + block * slots.channels + base + from,
               *squares = slots.squares + block * slots.channels + base + from;
        slots.counts[block] = (double)pixels;
        if (pixels) c->kernels->batchnorm->moments_of_sums(pixels, columns, &sums, mean, squares);
        for (int64_t k = 0; !pixels && k < columns; k++) mean[k] = squares[k] = 0;
    }
    if (moments) cnn_moments_combine(c, e, &slots, cnn_data(e, o->mean), cnn_data(e, o->var));
    if (cnn_gradient_epilogue_sums(&o->gradient))
        cnn_gradient_epilogue_combine(c, e, &o->gradient, g->out_channels, p->blocks);
}
