"""The model tools of the command line against the reference data (testdata/README.md): the same vectors as
the golden tests in C, asked through the program, as other people's checks will ask it."""
import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

SEMA = sys.argv[1]
DATA = os.environ.get("SEMA_SHARED_DATA", "")
CLOCK = "2024-07-26 09:05:03"
count = 0
failures = 0


def case(name, good, why=""):
    global count, failures
    count += 1
    failures += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)
    if not good:
        print("# " + str(why)[:2000].replace("\n", "\n# "))


def lines(*path):
    with open(os.path.join(DATA, *path), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def tool(asks, *args, status=0):
    """One answer for each ask."""
    text = "".join(json.dumps(a) + "\n" for a in asks)
    done = subprocess.run([SEMA, *args], input=text, capture_output=True, text=True, encoding="utf-8", timeout=280)
    assert done.returncode == status, (args, done.returncode, done.stderr)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(asks), (args, len(answers), len(asks))
    return answers


def first_wrong(asks, answers, wants):
    return next(((a, g, w) for a, g, w in zip(asks, answers, wants) if g != w), None)


def unpacked(folder, to):
    """The data keep large files compressed; models have them plain."""
    for name in os.listdir(folder):
        source = os.path.join(folder, name)
        if name.endswith(".gz"):
            with gzip.open(source) as f, open(os.path.join(to, name[:-3]), "wb") as out:
                shutil.copyfileobj(f, out)
        elif os.path.isfile(source):
            os.symlink(source, os.path.join(to, name))
    return to


def tokenizers():
    for folder in sorted(os.listdir(os.path.join(DATA, "tokenizers"))):
        path = os.path.join(DATA, "tokenizers", folder)
        if not os.path.exists(os.path.join(path, "encode.jsonl")):
            continue
        with tempfile.TemporaryDirectory() as to:
            tokenizer(folder, unpacked(path, to))


def tokenizer(folder, path):
    vectors = lines("tokenizers", folder, "encode.jsonl")
    asks = [{"text": v["text"]} for v in vectors]
    wants = [{"ids": v["ids"]} for v in vectors]
    bad = first_wrong(asks, tool(asks, "tokenize", "--model", path, "--jsonl"), wants)
    case(f"tokenize {folder}", bad is None, bad)
    asks = [{"ids": v["ids"], "skip_special": skip} for v in vectors for skip in (False, True)]
    wants = [{"text": v["decoded"] if not skip else v.get("decoded_skip_special", v["decoded"])}
             for v in vectors for skip in (False, True)]
    bad = first_wrong(asks, tool(asks, "detokenize", "--model", path, "--jsonl"), wants)
    case(f"detokenize {folder}", bad is None, bad)


def template_result(want, got):
    if "error" not in want:
        return got == {"prompt": want["expected"]}
    if want["error"] == "TemplateError" and "message" in want:
        return got == {"error": want["message"]}
    return list(got) == ["error"]


def templates():
    index = {t["name"]: t for t in json.load(open(os.path.join(DATA, "templates", "index.json"), encoding="utf-8"))}
    cases = lines("templates", "cases.jsonl")
    for name in index:
        mine = [c for c in cases if c["template"] == name]
        asks = [{"messages": c["messages"], "add_generation_prompt": c["add_generation_prompt"],
                 "kwargs": c.get("kwargs"), "now": CLOCK, "bos_token": index[name].get("bos_token"),
                 "eos_token": index[name].get("eos_token")} for c in mine]
        got = tool(asks, "template", "--file", os.path.join(DATA, "templates", name + ".jinja"), "--jsonl")
        bad = next(((c, g) for c, g in zip(mine, got) if not template_result(c, g)), None)
        case(f"template --file {name}", bad is None, bad)

    context = json.load(open(os.path.join(DATA, "templates", "jinja-context.json"), encoding="utf-8"))
    features = lines("templates", "jinja-features.jsonl")
    got = tool([{"template": f["template"], "context": context, "now": CLOCK} for f in features], "template", "--jsonl")
    bad = next(((f, g) for f, g in zip(features, got) if not template_result(f, g)), None)
    case("template of the line", bad is None, bad)

    for folder in sorted(os.listdir(os.path.join(DATA, "chat-models"))):
        path = os.path.join(DATA, "chat-models", folder)
        if not os.path.exists(os.path.join(path, "expected", "chat.jsonl")):
            continue
        vectors = lines("chat-models", folder, "expected", "chat.jsonl")
        asks = [{"messages": v["messages"], "add_generation_prompt": True, "now": CLOCK} for v in vectors]
        bad = first_wrong(asks, tool(asks, "template", "--model", path, "--jsonl"),
                          [{"prompt": v["prompt"]} for v in vectors])
        case(f"template --model {folder}", bad is None, bad)
        v = vectors[0]
        got = generate(path, v["prompt_ids"], 64, "--stop-at-end")
        case(f"generate {folder} to its end", got == v["reply_ids"], (got, v["reply_ids"]))


def generate(path, prompt, n, *more):
    done = subprocess.run([SEMA, "generate", "--model", path, "--tokens", ",".join(map(str, prompt)), "--max-tokens",
                           str(n), "--temperature", "0", *more], capture_output=True, text=True, timeout=280)
    return json.loads(done.stdout)["ids"] if done.returncode == 0 else done.stderr


def logits(path, tokens, *more):
    with tempfile.NamedTemporaryFile() as out:
        done = subprocess.run([SEMA, "logits", "--model", path, "--tokens", ",".join(map(str, tokens)), "--out",
                               out.name, *more], capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
        data = open(out.name, "rb").read()
    return struct.unpack(f"<{len(data) // 4}f", data)


def close(got, want):
    """The bound of the contract: 1e-3 * max(1, the largest reference logit)."""
    if len(got) != len(want):
        return f"{len(got)} numbers, want {len(want)}"
    worst = max(abs(g - w) for g, w in zip(got, want))
    bound = 1e-3 * max(1, max(abs(w) for w in want))
    return None if worst <= bound else f"off by {worst}, bound {bound}"


def models():
    for folder in ("llama-gqa", "gemma2", "qwen2-sharded", "gpt2-bin-zip", "phi3", "phi3-longrope"):
        path = os.path.join(DATA, "tiny-models", folder)
        known = folder if os.path.exists(os.path.join(path, "expected", "expected.jsonl")) else None
        if known is None:
            with open(os.path.join(path, "SAME_EXPECTED_AS"), encoding="utf-8") as f:
                known = f.read().strip()
        for v in lines("tiny-models", known, "expected", "expected.jsonl"):
            if v["case"] == "A":
                with open(os.path.join(DATA, "tiny-models", known, "expected", v["logits_file"]), "rb") as f:
                    want = struct.unpack(f"<{v['shape'][0] * v['shape'][1]}f", f.read())
                bad = close(logits(path, v["tokens"], "--all"), want)
                case(f"logits --all {folder}", bad is None, bad)
                bad = close(logits(path, v["tokens"]), want[-v["shape"][1]:])
                case(f"logits {folder}", bad is None, bad)
            if v["case"] == "C" and "positions" in v:  # more rows than one step; LongRoPE's border is within
                with open(os.path.join(DATA, "tiny-models", known, "expected", v["logits_file"]), "rb") as f:
                    want = struct.unpack(f"<{v['shape'][0] * v['shape'][1]}f", f.read())
                width = v["shape"][1]
                rows = logits(path, v["tokens"], "--all")
                bad = close([x for p in v["positions"] for x in rows[p * width:(p + 1) * width]], want)
                case(f"logits --all {folder}, long", bad is None, bad)
            if v["case"] == "greedy_A":
                got = generate(path, v["prompt"], len(v["generated"]))
                case(f"generate {folder}", got == v["generated"], (got, v["generated"]))
    for name in ("chat-qwen2-q4_0", "chat-llama-h256-q4_k_m", "llama-gqa-q8_0-split-00001-of-00003"):
        path = os.path.join(DATA, "gguf", name + ".gguf")
        expected = os.path.join(DATA, "gguf", name.split("-split")[0] + ".expected.json")
        if not os.path.exists(path) or not os.path.exists(expected):
            continue
        for v in json.load(open(expected, encoding="utf-8"))["cases"]:
            got = generate(path, v["tokens"], 16)
            case(f"generate {name} {v['case']}", got == v["greedy16"], (got, v["greedy16"]))


def sampling():
    vectors = lines("sampling", "processors.jsonl")
    got = tool([{k: v[k] for k in ("logits", "previous_tokens", "params")} for v in vectors], "sample-probs", "--jsonl")
    bad = None
    for v, g in zip(vectors, got):
        if "argmax" in v:
            good = g == {"argmax": v["argmax"]}
        else:
            good = all(abs(a - b) <= 2e-5 for a, b in zip(g["probs"], v["probs"])) and len(g["probs"]) == len(v["probs"])
        if not good:
            bad = (v, g)
            break
    case("sample-probs", bad is None, bad)


def bad_utf8():
    asks = b"".join(b'{"text":"' + bytes + b'"}\n' for bytes in (b"a\xff\xe4\xbdb", "a\ufffd\ufffdb".encode()))
    done = subprocess.run([SEMA, "tokenize", "--model", "sema-guide", "--jsonl"], input=asks, capture_output=True, timeout=60)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    good = done.returncode == 0 and len(answers) == 2 and answers[0] == answers[1] and "ids" in answers[0]
    case("bad UTF-8 is read as U+FFFD", good, done)


def bad_lines():
    asks = "{\"text\":\"Hello\"}\n\nnonsense\n[1]\n{\"text\":5}\n{\"text\":\"Hello\"}\n"
    done = subprocess.run([SEMA, "tokenize", "--model", "sema-guide", "--jsonl"], input=asks, capture_output=True,
                          text=True, timeout=60)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    good = (done.returncode == 1 and len(answers) == 5 and answers[0] == answers[4] and "ids" in answers[0]
            and all(list(a) == ["error"] for a in answers[1:4]))
    case("a bad line gets an error in its place", good, done)


bad_lines()
bad_utf8()
if DATA and os.path.isdir(os.path.join(DATA, "tokenizers")):
    sampling()
    tokenizers()
    templates()
    models()
else:
    print("ok 3 - reference data # SKIP not here")
    count += 1
print(f"1..{count}")
sys.exit(failures > 0)
