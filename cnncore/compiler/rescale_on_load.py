"""The rescaling of an image of bytes into the convolution that reads it, and into the gradient of its weights.

Where pixels have few channels a convolution copies what lies under its kernel anyway; it rescales the bytes while it
does, with the same bits, and the image of floats, four times as large, is never written.
"""

from .ir import accepts


def rescale_on_load(graph):
    """Fuse all that can be, after the other passes, so that whatever is to read the rescaled image is there."""
    readers = graph.uses()
    for affine in list(graph.operations):
        if affine.name != "affine" or affine.inputs[0].dtype != "uint8":
            continue
        image, rescaled = affine.inputs[0], affine.outputs[0]
        own = {"x_scale": affine.attribute("scale"), "x_offset": affine.attribute("offset")}
        if graph.keeps(rescaled) or not all(
            _takes_bytes(reader, rescaled, image, own) for reader in readers.get(rescaled, ())
        ):
            continue
        for reader in readers.get(rescaled, ()):
            reader.set_input(0, image)
            reader.attributes = {**reader.attributes, **own}
            if reader.name == "conv2d" and reader.layer != affine.layer:
                reader.layer = f"{affine.layer} + {reader.layer}"
        graph.operations.remove(affine)


def _takes_bytes(reader, rescaled, image, own):
    """Can the operation rescale the image itself? That is the engine's rule."""
    if (
        reader.name not in ("conv2d", "conv2d_backward_weight")
        or reader.inputs[0] is not rescaled
        or rescaled in reader.inputs[1:]
    ):
        return False
    return accepts(reader.name, [image, *reader.inputs[1:]], {**reader.attributes, **own})
