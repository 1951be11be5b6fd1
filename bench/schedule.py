"""The learning rate of the training benchmarks, as a plain function for the peer; the same as CosineDecay with
warmup."""

import math


def warmup_cosine(step, steps, peak, warmup_steps, start=0.0):
    """Linear from `start` to `peak` in `warmup_steps`, then half a cosine down to 0 at `steps`; step counts from 0."""
    if step < warmup_steps:
        return start + (peak - start) * step / warmup_steps
    return 0.5 * peak * (1 + math.cos(math.pi * min(1, (step - warmup_steps) / (steps - warmup_steps))))


def cosine_decay(cc, steps, peak, warmup_steps, start=0.0):
    """The same as a schedule of cnncore."""
    return cc.optimizers.schedules.CosineDecay(
        start, steps - warmup_steps, warmup_target=peak, warmup_steps=warmup_steps
    )
