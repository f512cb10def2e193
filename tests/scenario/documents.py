"""Documents that are made from the program's tables: they say what the program says."""
from harness import *

ROOT = os.environ.get("SEMA_SOURCE_ROOT") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
MADE = {
    "docs/guide/settings.md": ("config", "--document", "markdown"),
    ".env.example": ("config", "--document", "env"),
    "docs/man/sema.env.5": ("config", "--document", "man"),
    "docs/man/sema.1": ("help", "--man"),
}


@case("each is what the program prints")
def same(t):
    for name, command in MADE.items():
        with open(os.path.join(ROOT, name), encoding="utf-8") as f:
            t.true(f.read() == run_sema(*command)[1], f"make it anew: build/sema {' '.join(command)} > {name}")


@case("the example with every line in force changes nothing")
def example(t):
    def values(text):
        return re.findall(r'"(\w+)":\{"value":(.*?),"source"', text)
    with tempfile.TemporaryDirectory() as folder:
        before = run_sema("config", "--json", folder=folder)
        with open(os.path.join(ROOT, ".env.example"), encoding="utf-8") as f:
            text = re.sub(r"^#([A-Z])", r"\1", f.read(), flags=re.M)
        with open(os.path.join(folder, ".env"), "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(f.name, 0o600)
        after = run_sema("config", "--json", folder=folder)
        t.equal((after[0], after[2]), (0, before[2]))
        t.equal(values(after[1]), values(before[1]))


@case("every setting is in the guide")
def guide(t):
    text = run_sema("config", "--document", "markdown")[1]
    for name in re.findall(r"^([A-Z_]+) = ", run_sema("config")[1], re.M):
        t.true(f"| {name} |" in text, name)


main()
