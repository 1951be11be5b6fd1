# Threads, instruction sets, exactness, and the compiler that the library was built by.

def has_openmp():
    return bool(cnn_has_openmp())

def get_threads():
    return cnn_get_threads()

def set_threads(int threads):
    if cnn_set_threads(threads):
        raise ValueError(f"threads must be 1 to {CNN_MAX_THREADS}, or 0 for the default, got {threads}")

def built_isas():
    return tuple(cnn_isa_name(i).decode() for i in range(cnn_isa_count()))

def available_isas():
    return tuple(cnn_isa_name(i).decode() for i in range(cnn_isa_count()) if cnn_isa_available(i))

def isa_number(name):
    """The number of an available instruction set; ValueError names the available ones."""
    for i in range(cnn_isa_count()):
        if cnn_isa_name(i).decode() == name and cnn_isa_available(i):
            return i
    raise ValueError(f"instruction set {name!r} is not available; this build on this processor has "
                     f"{', '.join(available_isas())}")

def get_isa():
    return cnn_isa_name(cnn_isa_in_use()).decode()

def set_isa(name):
    cnn_set_isa(isa_number(name))

_exact = os.environ.get("CNNCORE_EXACT") == "1"

def get_exact():
    return _exact

def set_exact(exact):
    global _exact
    if not isinstance(exact, bool):
        raise ValueError(f"exact must be True or False, got {exact!r}")
    _exact = exact

def compiler():
    return cnn_compiler().decode()

def measure_peak(isa=None, seconds=0.2):
    """Floating-point operations per second that one thread reaches in a loop of multiply-adds."""
    cdef int number = cnn_isa_in_use() if isa is None else isa_number(isa)
    cdef double s = seconds, peak
    with nogil:
        peak = cnn_measure_peak(number, s)
    return peak
