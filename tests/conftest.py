"""Test settings.

CNNCORE_TEST_SCALE (default 1) multiplies the number of random cases: 100 makes a long run.
CNNCORE_DATA names the folder of the data sets; tests that read them are skipped without it.
"""

import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))  # `import reference`, `import op_cases` from any folder

# Tests ask for more threads than there may be cores: a waiting thread must sleep, not spin. Read when OpenMP is loaded.
# A job in the background of a shell starts with Ctrl-C ignored, and hands that on to the processes that tests start
# and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

TEST_SCALE = float(os.environ.get("CNNCORE_TEST_SCALE", "1"))


def pytest_report_header():
    return f"CNNCORE_TEST_SCALE={TEST_SCALE:g}"


@pytest.fixture(scope="session")
def keras():
    """Keras 3 on PyTorch; tests that compare with it are skipped where they are not installed."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    pytest.importorskip("torch")
    return pytest.importorskip("keras", minversion="3")
