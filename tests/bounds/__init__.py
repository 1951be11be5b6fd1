"""How far a float32 result may be from the float64 reference: derived, stated here once, never tuned.

u = 2^-24 is the relative error of one rounding.

- Reductions. A sum of n products in any order, with or without fused multiply-add, is off by at most n u sum |a||b|
(Higham 2002, section 3.1, to first order). The bound used is REDUCTION (n + 2) u sum |a||b|: two more roundings for an
addend and the store.
- Elementwise functions. ULPS units in the last place of the result (2 u |y|), for a polynomial of exp, log, tanh or erf
with its range reduction; where the definition itself subtracts, relative to the larger term.
- Chains. Errors are carried through the formula to first order, every term by its absolute value.

Numbers below 2^-126 are flushed to zero, results and what they are made of: FLUSHED bounds a result made of such a
number times one of at most 128, such as x in x sigmoid(x) where sigmoid(x) is that small.
"""

# Each registers its bounds.
from . import conv, loss, norm, optimizer, preprocess, reductions
from .base import bounds, split_activation
from .conv import normalised, normalised_gradient
