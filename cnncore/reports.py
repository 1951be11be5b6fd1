"""What a model tells about itself: its layers, its program, where the time goes and how much memory it takes."""

from .lazy import LazyModule

report = LazyModule("compiler.report")


class Reports:
    """The part of Model that tells; see Model."""

    def summary(self, line_length=None, print_fn=None, expand_nested=False, show_trainable=False):
        """Print a table of the layers: output shapes, numbers of weights, connections."""
        report.summary(self, line_length, print_fn or print, expand_nested, show_trainable)

    def describe(self, batch_size=1, training=False):
        """The program as text: every operation with its kernel, shapes, bytes and FLOPs, what was fused, and the memory
        that is planned.

        Parameters
        ----------
        batch_size : int
        training : bool
            The training program (the model must be compiled) rather than that of predict.
        """
        return report.describe(self, self._program_for(batch_size, training), batch_size)

    def profile(self, x=None, y=None, batch_size=32, training=False, repeats=5, threads=0):
        """Time per operation: milliseconds (the best of `repeats` runs), GFLOP/s, share of the peak that is measured
        beside it.

        Parameters
        ----------
        x, y : arrays, optional
            One batch; random numbers by default. The weights are left as they are. Of a large batch, which predict cuts
            into parts, it is the first part.
        batch_size, training
            As of describe.
        """
        self._require_built(x)
        return report.profile(self, x, y, batch_size, training, repeats, threads)

    def memory(self, batch_size=32, training=False, threads=None):
        """Bytes that running will take, by purpose, before anything runs: a dict with "parameters", "state",
        "gradients", "optimizer", "arena", "packed_weights" and "total". The gradients of a weight of a mebibyte or more
        are part of the arena, where they follow activations that are done with."""
        return report.memory(self, self._program_for(batch_size, training), training, threads)
