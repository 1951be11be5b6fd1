#include "conv2d_gather.h"

/* SPARE: floats that are moved at a time, at most, so that up to SPARE - 1 more than asked for are read and written;
 * what comes next overwrites them. PIXELS: gathered at a time, so that few are copied for those at the border. */
enum { SPARE = CNN_GEMM_PIECE, PIXELS = 32 };

cnn_conv2d_geometry cnn_conv2d_gathered(const cnn_conv2d_geometry *g) {
    return cnn_dense_geometry((int64_t)g->images * g->out_h * g->out_w,
                              (int64_t)g->kernel_h * g->kernel_w * g->in_channels, g->out_channels);
}

static int64_t gathered_floats(int64_t pixels, int64_t pitch) { return cnn_round_up(pixels * pitch + SPARE, 16); }

int64_t cnn_conv2d_gather_floats(const cnn_conv2d_geometry *g, int64_t pixels, int64_t pitch) {
    return gathered_floats(pixels, pitch) + cnn_windows_floats(g, pixels, SPARE);
}

void cnn_conv2d_gather(const cnn_conv2d_geometry *g, const cnn_conv2d_images *x, int64_t begin, int64_t end,
                       int64_t pitch, float *memory) {
    cnn_windows windows = cnn_windows_of(g, x, begin, end, SPARE, memory + gathered_floats(end - begin, pitch));
    for (float *to = memory; windows.left > 0;) {
        const cnn_window_row w = cnn_windows_next(&windows, PIXELS);
        x->kernels->gemm->gather(w.count, g->kernel_h, (int64_t)g->kernel_w * g->in_channels, w.first, w.apart, w.row,
                                 pitch, to);
        to += w.count * pitch;
    }
}
