/* Register tiles of ROWS x VECTORS vectors: the template files (*.inc.h) are included once per size, with the sizes as
 * constants, so that their loops unroll and the sums stay in registers. */
#ifndef CNN_KERNELS_REGISTER_TILES_H
#define CNN_KERNELS_REGISTER_TILES_H

#include "vec.h"

/* Three quarters of the registers hold a tile's sums: 6x4, 8x3, 12x2, 16x1 of 32; 4x3, 6x2, 12x1 of 16. The rest is
 * for columns and values. */
#define ROWS_THAT_FIT(vectors) (VREGISTERS * 3 / 4 / (vectors))

/* Names within a template file. */
#define TILE_NAME_(stem, rows, vectors) stem##_##rows##x##vectors
#define TILE_NAME(stem, rows, vectors) TILE_NAME_(stem, rows, vectors)
#define TILE(stem) TILE_NAME(stem, ROWS, VECTORS)                  /* tile_6x4 */
#define PANEL(stem) CNN_PASTE(stem, VECTORS)                       /* tile_4 */

#endif
