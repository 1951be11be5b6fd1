/* One entry of a table in gemm_panel.inc.h. */
    [ROWS] = TILE(FAMILY),
