"""The compiler: from the graph of layers to a program of the engine, in passes over one plain data structure.

ir.py the data structure; gradients.py and differentiate.py the gradients; fuse.py what shares a pass over memory;
order.py the order;
executable.py the planned program with its memory; programs.py which passes run for training, evaluation and inference;
report.py what
describe(), profile(), memory() and summary() print.
"""
