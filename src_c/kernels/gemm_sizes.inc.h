/* Includes ITEM for ROWS = 1, 2, ... as far as a tile of ROWS x VECTORS fits the registers. */
#if ROWS_THAT_FIT(VECTORS) >= 1
#define ROWS 1
#include ITEM
#undef ROWS
#endif
#if ROWS_THAT_FIT(VECTORS) >= 2
#define ROWS 2
#include ITEM
#undef ROWS
#endif
#if ROWS_THAT_FIT(VECTORS) >= 3
#define ROWS 3
#include ITEM
#undef ROWS
#endif
#if ROWS_THAT_FIT(VECTORS) >= 4
#define ROWS 4
#include ITEM
#undef ROWS
#endif
#if ROWS_THAT_FIT(VECTORS) >= 5
#define ROWS 5
#include ITEM
#undef ROWS
#endif
#if ROWS_THAT_FIT(VECTORS) >= 6
#define ROWS 6
#include ITEM
#undef ROWS
#endif
#if ROWS_THAT_FIT(VECTORS) >= 7
#define ROWS 7
#include ITEM
#undef ROWS
#endif
#if ROWS_THAT_FIT(VECTORS) >= 8
#define ROWS 8
#include ITEM
#undef ROWS
#endif
#if ROWS_THAT_FIT(VECTORS) >= 9
#define ROWS 9
#include ITEM
#undef ROWS
#endif
#if ROWS_THAT_FIT(VECTORS) >= 10
#define ROWS 10
#include ITEM
#undef ROWS
#endif
#if ROWS_THAT_FIT(VECTORS) >= 11
#define ROWS 11
#include ITEM
#undef ROWS
#endif
#if ROWS_THAT_FIT(VECTORS) >= 12
#define ROWS 12
#include ITEM
#undef ROWS
#endif
#if ROWS_THAT_FIT(VECTORS) >= 13
#define ROWS 13
#include ITEM
#undef ROWS
#endif
#if ROWS_THAT_FIT(VECTORS) >= 14
#define ROWS 14
#include ITEM
#undef ROWS
#endif
#if ROWS_THAT_FIT(VECTORS) >= 15
#define ROWS 15
#include ITEM
#undef ROWS
#endif
#if ROWS_THAT_FIT(VECTORS) >= 16
#define ROWS 16
#include ITEM
#undef ROWS
#endif
