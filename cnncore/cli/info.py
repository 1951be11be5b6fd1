"""cnncore info: what a model file holds; without one, what this installation is."""

from ..compiler.report import si

HELP = "describe a saved model, or this installation"
DESCRIPTION = """\
Describe a saved model: layers, classes, how it was trained, the memory that it takes and the operations that it runs.
Without a file: version, compiler, instruction sets, threads."""
EXAMPLES = """\
  cnncore info
  cnncore info model.cnn
  cnncore info model.cnn --operations                    what the engine runs, operation by operation
"""


def add_arguments(parser):
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a file that cnncore train or Model.save wrote")
    parser.add_argument(
        "--operations",
        action="store_true",
        help="list the operations for one image, with kernels, FLOP and what was fused",
    )


def run(args):
    from .. import load_model, show_config

    if args.model is None:
        if args.operations:
            raise ValueError("--operations needs a MODEL; give one")
        show_config()
        return
    model = load_model(args.model)
    model.summary(expand_nested=True)
    print()
    if model.class_names:
        print(f"classes:   {', '.join(model.class_names)}")
    print(f"trained:   {_training(model)}")
    print(f"inference: {_memory(model.memory(1))} for one image, {_memory(model.memory(32))} for 32")
    if model.optimizer is not None:
        print(f"training:  {_memory(model.memory(32, training=True))} for a batch of 32")
    if args.operations:
        print()
        print(model.describe())


def _memory(parts):
    return si(parts["total"], "B")


def _training(model):
    if model.optimizer is None:
        return "the file does not say"
    config = model.optimizer.get_config()
    rate = config.pop("learning_rate")
    if isinstance(rate, dict):
        arguments = (f"{key}={value}" for key, value in rate["config"].items() if value is not None and key != "name")
        rate = f"{rate['class_name']}({', '.join(arguments)})"
    rest = "".join(f", {key}={value}" for key, value in config.items() if key != "name" and value not in (None, False))
    return f"{model.optimizer.iterations:,} steps of {type(model.optimizer).__name__}, learning rate {rate}{rest}"
