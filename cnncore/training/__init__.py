"""Compile, fit, evaluate, predict: what a model does besides being a graph.

`trainer` has the loops, `steps` what happens to one batch, `output_loss` what compile() is told about each output,
`conversion` the checks of data, and `sources` cuts data into batches.
"""

from .trainer import Trainer
