# cython: language_level=3, boundscheck=False, wraparound=False
"""The only bridge to C: the table of operations, programs, memory, threads and instruction sets.

Everything here takes and gives plain Python objects and NumPy arrays; sentences of errors come from C. What is used of
C is declared in _core.pxd, which Cython reads first; the parts of the module are the files _core_*.pxi.
"""
import os

import numpy as np

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.exc cimport PyErr_Occurred
from libc.errno cimport ENOMEM, errno
from libc.stdint cimport int32_t, int64_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

VERSION = CNN_VERSION.decode()
MAX_RANK, MAX_STORAGES, MAX_THREADS, ALIGNMENT = CNN_MAX_RANK, CNN_MAX_STORAGES, CNN_MAX_THREADS, CNN_ALIGNMENT
ARENA, PREPARED, FIRST_FREE = CNN_ARENA, CNN_PREPARED, CNN_FIRST_FREE
PREPARE, COMPUTE, UPDATE = CNN_PREPARE, CNN_COMPUTE, CNN_UPDATE
UNWANTED, ABSENT = -2, -1

DTYPES = ("float32", "uint8", "int32")
DTYPE_NAMES = {np.dtype(name): name for name in DTYPES}            # faster than dtype.name
_dtype_number = {name: i for i, name in enumerate(DTYPES)}
_dtype_bytes = (4, 1, 4)


# The parts of the module, each after those whose names it needs.
include "_core_operations.pxi"
include "_core_memory.pxi"
include "_core_programs.pxi"
include "_core_augment.pxi"
include "_core_images.pxi"
include "_core_system.pxi"
include "_core_model_file.pxi"
