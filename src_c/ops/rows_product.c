#include "rows_product.h"

enum { CHUNK_PIXELS = 96 };           /* of x, that stay in L1 while the panels pass */

int64_t cnn_rows_product_bytes(const cnn_kernels *k, int64_t in, int64_t out) {
    return in * cnn_round_up(out, k->vector) * (int64_t)sizeof(float);
}

void cnn_rows_product_pack(const cnn_kernels *k, int64_t in, int64_t out, const float *w, int64_t begin, int64_t end,
                           float *packed) {
    const cnn_panels panels = cnn_panels_of(k, out);
    for (int64_t i = begin; i < end; i++) {
        const cnn_panel n = cnn_panel_at(&panels, i);
        k->gemm->pack(in, n.columns, n.width, w + n.begin, out, packed + n.begin * in);
    }
}

void cnn_rows_product_pack_weights(const cnn_call *c, const cnn_exec *e, const cnn_tensor *w) {
    const int64_t in = w->dims[2], out = w->dims[3];
    int64_t begin, end;
    cnn_share(e, cnn_panels_of(c->kernels, out).count, &begin, &end);
    cnn_rows_product_pack(c->kernels, in, out, cnn_data(e, w), begin, end, (float *)e->packed);
}

static void chunk(const cnn_kernels *k, const cnn_rows_product *p, int64_t pixels, const float *x,
                  const float *added, float *y) {
    static const int32_t no_tap = 0, one_tap = 1;
    const cnn_panels panels = cnn_panels_of(k, p->out);
    const float *first[CHUNK_PIXELS];                                /* the first row of each tile */
    ptrdiff_t at[CHUNK_PIXELS];
    for (int64_t i = 0; i < pixels; i++) at[i] = i * p->out;
    for (int64_t panel = 0; panel < panels.count; panel++) {
        const cnn_panel n = cnn_panel_at(&panels, panel);
        const int64_t tiles = cnn_ceil_div(pixels, k->gemm->rows[n.vectors]), rows = pixels / tiles,
                      larger = pixels % tiles;
        cnn_gemm_tile t = {.runs = 1, .channels = p->in, .apart = p->in, .tap = &no_tap, .length = &one_tap,
                           .w = p->w + n.begin * p->in, .bias = p->bias ? p->bias + n.begin : NULL,
                           .added = added ? added + n.begin : NULL, .y = y + n.begin, .last = n.last, .low = p->low,
                           .high = p->high};
        for (int64_t tile = 0; tile < tiles; tile++) first[tile] = x + (rows * tile + cnn_min(tile, larger)) * p->in;
        for (int64_t tile = 0, strip; tile < tiles; tile += strip) {
            strip = cnn_min(CNN_GEMM_STRIP, (tile < larger ? larger : tiles) - tile);
            t.more = strip - 1;
            t.x = first + tile;
            t.at = t.added_at = at + rows * tile + cnn_min(tile, larger);
            k->gemm->tile[n.vectors][rows + (tile < larger)](&t);
        }
    }
}

void cnn_rows_product_run(const cnn_kernels *k, const cnn_rows_product *p, int64_t pixels, const float *x, float *y) {
    for (int64_t i = 0; i < pixels; i += CHUNK_PIXELS)
        chunk(k, p, cnn_min(CHUNK_PIXELS, pixels - i), x + i * p->in, p->added ? p->added + i * p->out : NULL,
              y + i * p->out);
}

void cnn_rows_outer(const cnn_kernels *k, int64_t pixels, int64_t in, const float *const *x, const int32_t *number,
                    int64_t out, const float *y, int64_t pitch, int add, float *sums) {
    const cnn_panels panels = cnn_panels_of(k, out);
    const int64_t tiles = cnn_ceil_div(in, panels.rows), rows = in / tiles, larger = in % tiles;
    for (int64_t panel = 0; panel < panels.count; panel++) {
        const cnn_panel n = cnn_panel_at(&panels, panel);
        cnn_gemm_outer outer = {.pixels = pixels, .x = x, .row = number, .grad_y = y + n.begin,
                                .grad_y_stride = pitch, .added_stride = out, .stride = out, .last = n.last};
        for (int64_t tile = 0; tile < tiles; tile++) {
            outer.w = sums + outer.channel * out + n.begin;
            outer.added = add ? outer.w : NULL;
            k->gemm->outer[n.vectors][rows + (tile < larger)](&outer);
            outer.channel += rows + (tile < larger);
        }
    }
}
