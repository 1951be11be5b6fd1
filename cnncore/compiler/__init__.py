"""The compiler: from the graph of layers to a program of the engine, in passes over one plain data structure.

ir.py            the data structure
gradients.py     the gradient rule of every operation
differentiate.py the pass that applies them
fuse.py          what shares a pass over memory; normalise_on_load.py, pool_with_convolution.py, rescale_on_load.py and
                 normalised_gradients.py: what is computed where it is read, and never written; concatenations.py:
                 moments that are known already
order.py         the order of operations
executable.py    the planned program with its memory
programs.py      which passes run for training, evaluation and inference
report.py        what describe(), profile(), memory() and summary() print
"""
