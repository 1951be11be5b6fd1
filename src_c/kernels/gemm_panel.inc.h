/* All tiles for panels of VECTORS vectors, and their two tables by the number of rows. Included by gemm.c. */
#define ITEM "gemm_tile.inc.h"
#include "gemm_sizes.inc.h"
#undef ITEM

#define ITEM "gemm_entry.inc.h"
#define FAMILY tile
static const cnn_gemm_tile_function PANEL(tile)[CNN_GEMM_ROWS + 1] = {
#include "gemm_sizes.inc.h"
};
#undef FAMILY
#define FAMILY outer
static const cnn_gemm_outer_function PANEL(outer)[CNN_GEMM_ROWS + 1] = {
#include "gemm_sizes.inc.h"
};
#undef FAMILY
#undef ITEM
