"""The guide, held to the program: its commands run, its answers are those that come, and what it names exists."""
import pages
from harness import *

ROOT = pages.ROOT
NAMES = pages.page_names()
TEXTS = {}  # every document of the tree


def read_all():
    skipped = {"build", "node_modules", "tests", "src"}
    for folder, inside, files in os.walk(ROOT):
        inside[:] = [d for d in inside if d not in skipped and not d.startswith((".", "build"))]
        for file in files:
            if file.endswith(".md"):
                path = os.path.join(folder, file)
                with open(path, encoding="utf-8") as f:
                    TEXTS[os.path.relpath(path, ROOT)] = f.read()


read_all()

# Blocks that cannot be run here, by page: what a page says is not run is counted, so that none is left out silently.
NOT_RUN = {
    "README.md": 1,
    "docs/guide/backends.md": 1,
    "docs/guide/clients.md": 7,
    "docs/guide/first-answer.md": 1,
    "docs/guide/hosting.md": 4,
    "docs/guide/installing.md": 2,
    "docs/guide/sessions.md": 1,
}

# Names that look like settings and belong to others.
OTHERS_NAMES = {"HF_TOKEN", "GEMINI_API_KEY", "HUGGINGFACE_HUB_CACHE", "STATE_DIRECTORY", "OLLAMA_HOST", "OPENAI_API_BASE",
                "OPENAI_API_BASE_URL", "ANTHROPIC_MODEL", "SEMA_KEY", "BASE_URL", "SPACE_ADDRESS"}


def check_page(name):
    def run(t):
        wrong = []

        def answered(block, real):
            if not pages.same(block.text, real):
                wrong.append(f"{block}: what is printed differs\n--- the page\n{pages.normal(block.text)}\n--- printed\n{pages.normal(real)}")
        with pages.Run(pages.Page(name)) as r:
            r.run(answered)
        t.true(not wrong, "\n".join(wrong) + "\nmade anew by: tools/docs-answers " + name + "\nit")
    return run


for _name in NAMES:
    case(f"{_name}: its commands run and answer as it shows")(check_page(_name))


@case("an answer that is altered is noticed")
def altered(t):
    page = pages.Page("docs/guide/routes.md")
    answers = [b for b in page.blocks if b.role == "answer"]
    t.true(len(answers) > 30, f"{len(answers)} answers")
    seen = []
    for block in answers:
        words = re.search(r"(?<![\w-])[A-Za-z]{5,}(?![\w-])", pages.normal(block.text))
        block.text = block.text.replace(words[0], "zzzzz", 1) if words else "zzzzz" + block.text
    with pages.Run(page) as r:
        r.run(lambda block, real: seen.append((block, pages.same(block.text, real))))
    t.equal([b for b, fine in seen if fine], [])


@case("each block says its role")
def roles(t):
    for name in NAMES:
        for b in pages.Page(name).blocks:
            t.true(b.role in pages.ROLES.get(b.language, ()), f"{b}: {b.language} {b.role}")
            t.true(b.role != "not-run:" or len(b.words) > 1, f"{b}: the reason")


@case("what is not run is counted")
def not_run(t):
    found = {n: sum(b.role == "not-run:" for b in pages.Page(n).blocks) for n in NAMES}
    t.equal({n: c for n, c in found.items() if c}, NOT_RUN)


def headings(name):
    """The anchors of a page, as the sites that show it make them."""
    text = re.sub(r"^```.*?^```", "", TEXTS[name], flags=re.M | re.S)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.M)}


@case("each link leads to something")
def links(t):
    t.true(len(TEXTS) > 20, f"{len(TEXTS)} documents")
    for name in TEXTS:
        for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[name]):
            if re.match(r"https?://", target):
                continue
            path, _, anchor = target.partition("#")
            to = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
            t.true(os.path.exists(os.path.join(ROOT, to)), f"{name}: {target}")
            if anchor:
                t.true(anchor in headings(to), f"{name}: {target}")


@case("each document is found by links from the README")
def found(t):
    seen, todo = set(), ["README.md"]
    while todo:
        name = todo.pop()
        if name in seen or name not in TEXTS:
            continue
        seen.add(name)
        todo += [os.path.normpath(os.path.join(os.path.dirname(name), to)) for to in re.findall(r"\]\(([^)\s#]+)", TEXTS[name])]
    t.equal([n for n in TEXTS if n not in seen], [])


@case("the measured figures are those of docs/bench.md")
def figures(t):
    part = TEXTS["README.md"].partition("Measured on ")[2].partition("##")[0]
    bench = TEXTS["docs/bench.md"]
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \|$", part, re.M)
    t.true(len(rows) > 5, f"{len(rows)} figures")
    t.has(bench, part.split()[0])  # the date
    for row in rows:
        for figure in row.split(" / "):
            t.true(f"| {figure} |" in bench, figure)


@case("each page of the guide is in its index")
def index(t):
    for name in NAMES:
        if name.startswith("docs/guide/") and name != "docs/guide/README.md":
            t.true(f"({os.path.basename(name)})" in TEXTS["docs/guide/README.md"], name)


def prose(name):
    """A page without what it shows as printed."""
    return re.sub(r"^```(json answer|text answer|text message).*?^```", "", TEXTS[name], flags=re.M | re.S)


@case("each setting that is named exists, and each exists in the guide")
def settings(t):
    known = set(re.findall(r"^([A-Z_]+) = ", run_sema("config")[1], re.M))
    t.true(len(known) > 60, f"{len(known)} settings")
    for name in TEXTS:
        for word in re.findall(r"(?<![\w-])[A-Z]{2,}(?:_[A-Z]+)+(?![\w*])", prose(name)):
            t.true(word in known or word in OTHERS_NAMES or word.startswith(("XDG_", "ERR_", "PR_")), f"{name}: {word}")
        for flag in re.findall(r"sema serve[^`\n]* --([a-z-]+)", prose(name)):
            t.true(flag.upper().replace("-", "_") in known or flag in ("env-file", "help"), f"{name}: --{flag}")


@case("each command that is named exists, with its flags")
def commands(t):
    listed = set(re.findall(r"^  ([a-z-]+) ", run_sema("help")[1], re.M))
    known = set(re.findall(r"^([A-Z_]+) = ", run_sema("config")[1], re.M))
    t.true("serve" in listed, listed)
    dev = subprocess.run([os.path.join(ROOT, "dev"), "help"], capture_output=True, text=True, timeout=20).stdout
    for name in TEXTS:
        for at in re.finditer(r"(?:`|^|[|;&] |[A-Z]=\S+ )(?:build/)?sema ([a-z-]+)([^`\n]*)", prose(name), re.M):
            t.true(at[1] in listed, f"{name}: sema {at[1]}")
            text = run_sema(at[1], "--help")[1]
            for flag in re.findall(r"(?<=\s)--[a-z-]+", at[2].split("|")[0]):
                setting = flag[2:].upper().replace("-", "_") in known and "Every setting is a flag" in text
                t.true(flag in text or setting, f"{name}: sema {at[1]} {flag}")
        for word in re.findall(r"\./dev ([a-z]+)", prose(name)):
            t.true(f"./dev {word}" in dev, f"{name}: ./dev {word}")


@case("the programs that pages call are built by ./dev build")
def built(t):
    with open(os.path.join(ROOT, "dev"), encoding="utf-8") as f:
        targets = re.search(r"^build_program\(\) \{.*?^    compile build ([^|]*)", f.read(), re.M | re.S)[1].split()
    named = {n for text in TEXTS.values() for n in re.findall(r"(?<![\w/])build/(examples/\w+)", text)}
    t.true(len(named) > 1, named)
    t.equal(sorted(named - set(targets)), [])


@case("each route of the program is asked on its page")
def asked(t):
    with open(os.path.join(ROOT, "src", "api", "route.c"), encoding="utf-8") as f:
        table = re.findall(r'^    \{"(GET|POST|DELETE)", "(/[^"]*)"', f.read(), re.M)
    t.true(len(table) > 40, f"{len(table)} routes")
    done = set()
    for b in pages.Page("docs/guide/routes.md").blocks:
        for command in re.findall(r"curl (?:\\\n|[^\n&|])*", b.text) if b.language == "bash" else []:
            method = re.search(r"-X (\w+)", command)
            path = re.search(r"localhost:7860(/[^\s'?]*)", command)[1]
            done.add((method[1] if method else "POST" if " -d " in command else "GET", path))
        if b.role == "send":
            done.add(("GET", "/api/v1/chat/ws"))
    for method, path in table:
        pattern = re.sub(r"\\\{\w+\\\}", "[^:]+", re.escape(path))
        t.true(any(m == method and re.fullmatch(pattern, p) for m, p in done), f"{method} {path}")


@case("each route that is named is served")
def routes(t):
    with Server(unset=("MODEL_TYPE", "MODEL_NAME"), HF_HUB_OFFLINE="1") as s:
        for name in TEXTS:
            for path in re.findall(r"(?<![\w.:/])(/(?:api|v1|v1beta|docs|redoc|health|status|metrics|openapi\.json)[\w/{}.:-]*)", prose(name)):
                path = re.sub(r"\{[^}]*\}", "x", path).rstrip("./:") or "/"
                if path in ("/api", "/api/v1", "/v1", "/v1beta", "/v1/text/chatcompletion_v2"):  # the last is MiniMax's
                    continue
                r = s.get(path)
                absent = r.status == 404 and (r.text == "" or '"unknown_url"' in r.text or '"not_found"' in r.text)
                t.true(not absent or path == "/api/v1/chat/ws", f"{name}: {path}: {r.status} {r.text[:200]}")


main()
