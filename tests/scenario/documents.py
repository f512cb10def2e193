"""Documents that are made from the program's tables: they say what the program says."""
import os
import re
import sys

from program import Folder, equal, main

ROOT = os.environ.get("SEMA_SOURCE_ROOT") or os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "..", "..")
MADE = {
    "docs/guide/settings.md": ("config", "--document", "markdown"),
    ".env.example": ("config", "--document", "env"),
    "docs/man/sema.env.5": ("config", "--document", "man"),
    "docs/man/sema.1": ("help", "--man"),
}


def test_each_is_what_the_program_prints():
    with Folder() as f:
        for name, command in MADE.items():
            with open(os.path.join(ROOT, name), encoding="utf-8") as text:
                assert text.read() == f.run(*command).stdout, f"make it anew: build/sema {' '.join(command)} > {name}"


def test_the_example_with_every_line_in_force_changes_nothing():
    with Folder() as f:
        before = f.run("config", "--json")
        with open(os.path.join(ROOT, ".env.example"), encoding="utf-8") as text:
            f.file(".env", re.sub(r"^#([A-Z])", r"\1", text.read(), flags=re.M))
        after = f.run("config", "--json")
        equal((after.returncode, after.stderr), (0, before.stderr))

        def values(text):
            return re.findall(r'"(\w+)":\{"value":(.*?),"source"', text)
        equal(values(after.stdout), values(before.stdout))


def test_every_setting_is_in_the_guide():
    with Folder() as f:
        guide = f.run("config", "--document", "markdown").stdout
        for name in re.findall(r"^([A-Z_]+) = ", f.run("config").stdout, re.M):
            assert f"| {name} |" in guide, name


main(globals())
