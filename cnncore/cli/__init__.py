"""The command line: `cnncore train`, `evaluate`, `predict`, `show`, `info`, `bench`. One file per subcommand, each with

    HELP, DESCRIPTION, EXAMPLES    what `--help` says
    add_arguments(parser)
    run(args)                      prints its results; errors are exceptions

Errors are one sentence on stderr and exit status 2; Ctrl-C ends with 130.
"""

import argparse
import importlib
import os
import sys

COMMANDS = ("train", "evaluate", "predict", "show", "info", "bench")

_DESCRIPTION = "Train and run convolutional neural networks on the CPU."
_EXAMPLES = """\
  cnncore train                            learn the handwritten digits that come with the package, in seconds
  cnncore train photos/ --output m.cnn     learn to tell the folders of photos/ apart
  cnncore predict m.cnn new.jpg            which folder would it belong to?
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence that names the way to the help."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser():
    layout = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="cnncore", description=_DESCRIPTION, epilog=f"examples:\n{_EXAMPLES}", formatter_class=layout)
    from .. import __version__

    parser.add_argument("--version", action="version", version=f"cnncore {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f".{name}", __name__)
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            epilog=f"examples:\n{module.EXAMPLES}",
            formatter_class=layout,
        )
        module.add_arguments(command)
        command.add_argument(
            "--threads", type=int, default=0, metavar="N", help="threads to use (default: one for each core)"
        )
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(run=module.run)
    return parser


def _sentence(error):
    """An exception as one line."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif isinstance(error, MemoryError):
        text = f"out of memory: {error}" if str(error) else "out of memory; try a smaller --batch-size or --image-size"
    elif isinstance(error, (ValueError, ImportError, RuntimeError, OSError)):
        text = str(error) or type(error).__name__
    else:
        text = f"{type(error).__name__}: {error}; run the command again with --debug for the details"
    return " ".join(text.split())


def main(argv=None):
    """Run a command line, a list of str (default: that of the process); returns the exit status."""
    try:
        from .. import config  # noqa: F401, refuses wrong values of environment variables
    except ImportError as error:
        print(f"cnncore: {_sentence(error)}", file=sys.stderr)
        return 2
    args = _parser().parse_args(argv)
    try:
        if args.threads:
            from .. import set_threads

            set_threads(args.threads)
        args.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("cnncore: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if args.debug:
            raise
        print(f"cnncore {args.command}: {_sentence(error)}", file=sys.stderr)
        return 2
    return 0
