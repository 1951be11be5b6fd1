"""cnncore predict: the classes of image files."""

from . import arguments

HELP = "classify image files with a saved model"
DESCRIPTION = """\
Print the most probable classes of image files, one line a file.

Any file that Pillow reads will do. Images are turned as the camera says, cropped around their centre to the model's
aspect ratio, resized, and made grey or RGB as the model needs."""
EXAMPLES = """\
  cnncore predict model.cnn examples/digits/*.png
  cnncore predict photos.cnn holiday.jpg --top 3
"""
BATCH_SIZE = 32


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help="a file that cnncore train or Model.save wrote")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files")
    parser.add_argument(
        "--top",
        type=arguments.positive_integer,
        default=1,
        metavar="K",
        help="print the K most probable classes (default: 1)",
    )


def run(args):
    from .. import data

    model, classes = arguments.load_classifier(args.model)
    height, width, channels = model.input_shape[1:]
    files = data.ImageFiles(args.images, channels=channels)
    column, names = max(map(len, args.images)), iter(args.images)
    for batch in data.Loader(files, BATCH_SIZE, image_size=(height, width)):
        for row in model.predict_on_batch(batch):
            best = (-row).argsort(kind="stable")[: args.top]
            print(f"{next(names):{column}}  " + "   ".join(f"{classes[k]} {100 * row[k]:.1f} %" for k in best))
