#!/usr/bin/env python3
"""Tries out every backend that has its credential in the environment or in .env:

    python examples/test_backends.py [--backend NAME] [--ask | --free] [--json]

It runs `sema test-backends` (build/sema, else the one on PATH, else what SEMA_BINARY names), whose exit status counts
the failures; nothing but Python's own library is needed."""
import os
import shutil
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def find_sema():
    """The program, or None."""
    for path in (os.environ.get("SEMA_BINARY"), os.path.join(ROOT, "build", "sema"), os.path.join(ROOT, "build", "src", "sema")):
        if path and os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return shutil.which("sema")


def main():
    sema = find_sema()
    if sema is None:
        sys.exit("test_backends.py: no sema here; build it with: ./dev build")
    sys.stdout.flush()
    os.execv(sema, [sema, "test-backends", *sys.argv[1:]])


if __name__ == "__main__":
    main()
