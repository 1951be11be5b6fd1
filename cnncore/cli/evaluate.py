"""cnncore evaluate: the accuracy of a saved model."""

import sys
import time

import numpy as np

from . import arguments, data as data_module, reading

HELP = "measure the accuracy of a saved model"
DESCRIPTION = """\
Print the accuracy of a saved model on test images, the loss, and which classes it confuses most.

Of a folder of images those in val/ are used, or all of them where there is none: then leave out what the model was
trained with."""
EXAMPLES = """\
  cnncore evaluate model.cnn                             on the digits' test images
  cnncore evaluate photos.cnn photos/
  CNNCORE_DATA=~/data cnncore evaluate fashion.cnn fashion-mnist
"""
CONFUSIONS = 5


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="a file that cnncore train or Model.save wrote")
    parser.add_argument("data", nargs="?", default="digits", metavar="DATA", help=data_module.HELP)
    parser.add_argument(
        "--batch-size", type=arguments.positive_integer, default=64, metavar="N", help="images at a time (default: 64)"
    )


def run(args):
    from .. import data

    model, classes = arguments.load_classifier(args.model)
    name, test = data_module.load_test(args.data, model.input_shape[1:], classes)
    loader = data.Loader(test, args.batch_size, image_size=model.input_shape[1:3], on_error="skip")
    begin = time.perf_counter()
    with reading.without_warnings():
        parts = [(model.predict_on_batch(x), y) for x, y in loader]
    seconds = time.perf_counter() - begin
    for line in reading.skipped_lines(loader.skipped):
        print(line, file=sys.stderr)
    if not parts:
        raise ValueError(f"{name}: no image can be read")
    probabilities, y = (np.concatenate(column) for column in zip(*parts))
    predicted = probabilities.argmax(axis=1)
    loss = -np.log(np.maximum(probabilities[np.arange(len(y)), y], 1e-7)).mean(dtype=np.float64)
    print(f"{name}: {len(y):,} images, {len(y) / seconds:,.0f} images/s")
    print(f"accuracy {(predicted == y).mean():.4f} ({(predicted != y).sum()} wrong), cross-entropy {loss:.4f}")
    pairs, counts = np.unique(np.stack([y, predicted], axis=1)[predicted != y], axis=0, return_counts=True)
    for k in np.argsort(-counts, kind="stable")[:CONFUSIONS]:
        print(f"  {counts[k]} x {classes[pairs[k][0]]} taken for {classes[pairs[k][1]]}")
