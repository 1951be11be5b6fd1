"""`python -m cnncore` is the command `cnncore`."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
