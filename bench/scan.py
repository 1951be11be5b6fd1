"""Scanning a large folder: files per second, and how far memory grows, which must not depend on the size of images.

Tiny image files are generated in a temporary folder (one in a thousand of them damaged), found by ImageFolder and
decoded by check_files, in a process of their own whose memory is read from /proc. Linux only.
"""

import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from . import memory, timing

FOLDERS = 100
DAMAGED = 1000  # every so many files


def add_arguments(parser):
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--folder", help="where the temporary folder is made")
    parser.add_argument("--child", metavar="FOLDER", help="scan this folder in this process and print JSON")


def generate(folder, files):
    """Write PNG files of 16 x 16 pixels, in FOLDERS folders; returns the number of damaged ones."""
    from PIL import Image

    rng = np.random.default_rng(0)
    contents = []
    for _ in range(64):
        stream = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(stream, "PNG")
        contents.append(stream.getvalue())
    damaged = 0
    for i in range(files):
        if i < FOLDERS:
            (folder / f"class{i:03}").mkdir()
        is_damaged = i % DAMAGED == DAMAGED - 1
        damaged += is_damaged
        content = contents[i % len(contents)]
        with open(folder / f"class{i % FOLDERS:03}" / f"{i:08}.png", "wb") as file:
            file.write(content[: len(content) // 2] if is_damaged else content)
    return damaged


def scan(folder):
    """In this process: seconds of both steps, peak bytes above what was resident before, and what was found."""
    from cnncore import data

    data.check_files(data.ArrayDataset(np.zeros((1, 2, 2, 3), np.uint8)), verbose=0)  # what is imported is no growth
    pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # high-water mark := resident now
    before = memory.status_bytes("VmRSS")
    start = time.perf_counter()
    files = data.ImageFolder(folder)
    found = time.perf_counter()
    report = data.check_files(files)
    return {
        "files": len(files),
        "find_s": found - start,
        "check_s": time.perf_counter() - found,
        "growth_bytes": memory.status_bytes("VmHWM") - before,
        "unreadable": len(report.unreadable),
    }


def run(args):
    if not sys.platform.startswith("linux"):
        raise SystemExit(f"scan: the system must be Linux, got {sys.platform}; its /proc is what is read")
    if args.child:
        print(json.dumps(scan(args.child)))
        return 0
    if args.files < FOLDERS:
        raise SystemExit(f"scan: --files must be at least {FOLDERS}, got {args.files}")
    print(timing.environment(args.threads, ("cnncore", "pillow", "numpy")))
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        damaged = generate(pathlib.Path(folder), args.files)
        command = [sys.executable, "-m", __package__, "scan", "--child", folder, "--threads", str(args.threads)]
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ)
    found = json.loads(child.stdout.splitlines()[-1])
    print(
        f"{found['files']:,} files found in {found['find_s']:.1f} s ({found['files'] / found['find_s']:,.0f} a second)"
    )
    print(
        f"decoded in {found['check_s']:.1f} s ({found['files'] / found['check_s']:,.0f} a second), "
        f"{found['unreadable']:,} unreadable of {damaged:,} that were damaged"
    )
    print(
        f"peak memory grew by {found['growth_bytes'] / 2**20:.1f} MiB, {found['growth_bytes'] / found['files']:.0f} "
        "bytes a file, the paths included"
    )
    return 0 if (found["files"], found["unreadable"]) == (args.files, damaged) else 1
