/* Which kernel tables were built, and which this processor runs. */
#ifndef CNN_RUNTIME_ISA_H
#define CNN_RUNTIME_ISA_H

#include "../kernels/kernels.h"

const cnn_kernels *cnn_isa_kernels(int isa);      /* isa below cnn_isa_count() */

#endif
