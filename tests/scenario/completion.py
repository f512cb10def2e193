"""Completions of the command line, asked of the shells themselves."""
import shutil

from harness import *

FILES = ["notes.txt", "model.gguf"]


def completions(shell):
    status, out, err = run_sema("help", "--completion", shell)
    if (status, err) != (0, ""):
        raise Failed(f"{status}: {err}")
    return out


def shell(name, script, stdin=None):
    """Runs a script in a folder with FILES, beside the completions in `made`; without start-up files."""
    if shutil.which(name) is None:
        raise Skipped(f"no {name} here")
    with tempfile.TemporaryDirectory() as folder:
        for file in FILES:
            open(os.path.join(folder, file), "w").close()
        with open(os.path.join(folder, "made"), "w", encoding="utf-8") as f:
            f.write(completions(name))
        env = {"PATH": os.environ["PATH"], "HOME": folder, "LANG": "C.UTF-8", "TERM": "dumb"}
        quiet = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config"]}[name]
        done = subprocess.run([name, *quiet, "-c", script], cwd=folder, env=env, capture_output=True, text=True, timeout=60)
        if done.stderr:
            raise Failed(f"{name}: {done.stderr}")
        return done.stdout.split("\n")


# What is typed, with the cursor at the end; what must be offered; what must not.
CASES_OF_ALL = [
    ("sema ser", ["serve"], ["sessions"]),
    ("sema ", ["serve", "chat", "sessions", "config", "help"], ["--port"]),
    ("sema help co", ["config"], ["chat"]),
    ("sema sessions ", ["list", "show", "export", "delete"], ["serve"]),
    ("sema serve --max-new", ["--max-new-tokens"], ["--port", "--openai-api-key"]),
    ("sema serve --model-type ", ["local", "hf_api", "openai", "anthropic", "minimax", "google"], ["scripted"]),
    ("sema serve --device ", ["auto", "cpu"], ["cuda:N"]),
    ("sema serve --debug ", ["true", "false"], []),
    ("sema config --document ", ["env", "markdown", "man"], ["FORMAT"]),
    ("sema sessions list --own", ["--owner"], ["--json"]),
    ("sema chat --url ", [], ["serve", "notes.txt"]),
    ("sema inspect no", ["notes.txt"], ["model.gguf"]),
    ("sema serve --env-file no", ["notes.txt"], ["model.gguf"]),
]


def check(t, offered, typed, want, lack):
    for word in want:
        t.true(word in offered, f"{word} after {typed!r} in {offered}")
    for word in lack:
        t.true(word not in offered, f"{word} after {typed!r} not in {offered}")


@case("bash")
def in_bash(t):
    for typed, want, lack in [*CASES_OF_ALL, ("sema serve --model-type=min", ["minimax"], ["google"])]:
        words = [w for part in typed.split(" ") for w in re.split("(=)", part)]
        words = [w for i, w in enumerate(words) if w or i == len(words) - 1]
        script = (f"shopt -s extglob; . ./made; COMP_WORDS=({' '.join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}; "
                  "complete -p sema >/dev/null && _sema sema && printf '%s\\n' \"${COMPREPLY[@]}\"")
        check(t, shell("bash", script), typed, want, lack)


@case("fish")
def in_fish(t):
    for typed, want, lack in [*CASES_OF_ALL, ("sema serve --model-type=min", ["--model-type=minimax"], [])]:
        out = shell("fish", f"source made; complete -C '{typed}'")
        check(t, [line.split("\t")[0] for line in out], typed, want, lack)


# zsh completes only in a terminal, which zsh/zpty makes; a function in the command's name shows what came of the line.
ZSH = """
zmodload zsh/zpty
zpty inner zsh -f -i
told() { local line; zpty -w inner $1; while zpty -r inner line; do [[ $line == *$2* ]] && { print -r -- ${line//$'\\r'}; return }; done }
told 'PS1= RPS1= PROMPT_SP=; unsetopt zle_bracketed_paste; autoload -Uz compinit; compinit -D -u; . ./made; print READY$((1+1))' READY2
told 'sema() { print -r -- "GOT""<$*>" }; print READY$((1+2))' READY3
told $'%s' 'GOT<'
zpty -d inner
"""


@case("zsh")
def in_zsh(t):
    for typed, want in (("sema serv\t", "serve"), ("sema config --docu\tmark\t", "config --document=markdown"),
                        ("sema serve --max-new\t9", "serve --max-new-tokens=9"),
                        ("sema serve --model-type mini\t", "serve --model-type minimax"), ("sema sessions exp\t", "sessions export"),
                        ("sema help sess\t", "help sessions"), ("sema inspect no\t", "inspect notes.txt")):
        out = shell("zsh", ZSH % typed.replace("\t", "\\t"))
        t.true(any(f"GOT<{want}>" in line for line in out), f"{typed!r}: {out}")


@case("an unknown shell is named")
def unknown(t):
    status, out, err = run_sema("help", "--completion", "tcsh")
    t.equal((status, out, err), (1, "", 'sema help: no completions for "tcsh"; one of bash, zsh, fish\n'))


main()
