"""A pytest plugin: writes the ids of the tests that were skipped because a module cannot be imported, one a line, to
the file that the environment variable SKIPPED_IMPORTS names. Those are the tests to run once more where the modules
are installed."""

import os

_ids = []


def _note(report):
    if (
        report.skipped
        and isinstance(report.longrepr, tuple)
        and "could not import" in report.longrepr[2]
        and report.nodeid not in _ids
    ):
        _ids.append(report.nodeid)


pytest_runtest_logreport = pytest_collectreport = _note


def pytest_sessionfinish():
    with open(os.environ["SKIPPED_IMPORTS"], "w") as file:
        file.writelines(f"{i}\n" for i in _ids)
