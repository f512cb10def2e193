#!/usr/bin/env python3
"""Tokens of real and made tokenizers against the reference's (shared test data, tokenizers/ and below).

Usage: tokenizer.py TOOL [NAME...]     TOOL is golden-tokenizer; names pick some of the cases
Each tokenizer is one TAP case; a difference prints the text that shows it."""
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile

TOOL = sys.argv[1]
ONLY = sys.argv[2:]
DATA = os.environ.get("SEMA_SHARED_DATA", "")
ROOT = os.environ.get("SEMA_SOURCE_ROOT", ".")


def lines(path):
    with open(path, encoding="ascii") as file:
        return [json.loads(line) for line in file if line.strip()]


def unpack(folder, names, to):
    """The named files of a folder, those stored compressed unpacked, in a folder of their own."""
    for name in names:
        path = os.path.join(folder, name)
        if os.path.exists(path):
            shutil.copy(path, to)
        elif os.path.exists(path + ".gz"):
            with gzip.open(path + ".gz") as packed, open(os.path.join(to, name), "wb") as plain:
                shutil.copyfileobj(packed, plain)


def ask(model, questions):
    text = "".join(json.dumps(q) + "\n" for q in questions)
    run = subprocess.run([TOOL, model], input=text, capture_output=True, text=True, encoding="utf-8", check=False)
    answers = [json.loads(line) for line in run.stdout.split("\n") if line]
    if run.returncode or len(answers) != len(questions):
        raise RuntimeError(f"{len(answers)} answers to {len(questions)} questions: {run.stderr.strip()[-300:]}")
    return answers


class Check:
    """Questions with what the answer must hold."""

    def __init__(self):
        self.asked, self.wanted = [], []

    def add(self, question, **want):
        self.asked.append(question)
        self.wanted.append(want)

    def failures(self, model):
        for question, want, got in zip(self.asked, self.wanted, ask(model, self.asked)):
            for key, value in want.items():
                if callable(value):
                    if not value(got[key]):
                        yield f"{json.dumps(question)[:300]}: {key} is {json.dumps(got[key])[:300]}"
                elif got[key] != value:
                    yield f"{json.dumps(question)[:300]}: {key}\n#   got  {json.dumps(got[key])[:300]}\n#   want {json.dumps(value)[:300]}"


def check_encode(check, rows):
    for row in rows:
        check.add({"text": row["text"]}, ids=row["ids"])
        check.add({"text": row["text"], "special": True}, ids=row.get("ids_with_special", row["ids"]))
        check.add({"ids": row["ids"], "skip": False}, text=row["decoded"])
        check.add({"ids": row["ids"], "skip": True}, text=row.get("decoded_skip_special", row["decoded"]))


def check_stream(check, rows):
    for row in rows:
        check.add({"ids": row["ids"], "skip": True}, stream=row["joined"])


def model_files(folder, to):
    unpack(folder, ["tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "added_tokens.json",
                    "special_tokens_map.json"], to)


def case_published(name):
    folder = os.path.join(DATA, "tokenizers", name)
    check = Check()
    check_encode(check, lines(os.path.join(folder, "encode.jsonl")))
    check_stream(check, lines(os.path.join(folder, "stream.jsonl")))
    chat = os.path.join(folder, "chat.jsonl")
    for row in lines(chat) if os.path.exists(chat) else []:
        if "ids" in row:
            check.add({"text": row["prompt"]}, ids=row["ids"])
    with tempfile.TemporaryDirectory() as to:
        model_files(folder, to)
        return list(check.failures(to))


def case_published_sentencepiece(name):
    """tokenizer.model alone.  The ids differ from tokenizer.json's nowhere but in what surrounds the text."""
    folder = os.path.join(DATA, "tokenizers", name)
    check = Check()
    check_encode(check, lines(os.path.join(folder, "encode.jsonl")))
    with tempfile.TemporaryDirectory() as to:
        unpack(folder, ["tokenizer.model", "tokenizer_config.json"], to)
        return list(check.failures(to))


def case_synthetic(name):
    folder = os.path.join(DATA, "tokenizers", "synthetic")
    check = Check()
    check_encode(check, lines(os.path.join(folder, name + ".encode.jsonl")))
    with tempfile.TemporaryDirectory() as to:
        shutil.copy(os.path.join(folder, name + ".tokenizer.json"), os.path.join(to, "tokenizer.json"))
        return list(check.failures(to))


def case_chat_model(model, expected):
    check = Check()
    for row in lines(expected):
        check.add({"text": row["prompt"]}, ids=row["prompt_ids"])
        check.add({"ids": row["reply_ids"], "skip": True}, text=row["reply_text"], stream=row["reply_text"])
        if "stream_pieces" in row:
            wanted = [piece or "" for piece in row["stream_pieces"]]
            check.add({"ids": row["reply_ids"], "skip": True},
                      pieces=lambda got, wanted=wanted: got[:len(wanted)] == wanted)
    return list(check.failures(model))


def case_chat_model_sentencepiece(name):
    """tokenizer.model alone gives the prompts of a trained model the same ids."""
    folder = os.path.join(DATA, "chat-models", name)
    check = Check()
    for row in lines(os.path.join(folder, "expected", "chat.jsonl")):
        check.add({"text": row["prompt"]}, ids=row["prompt_ids"])
    with tempfile.TemporaryDirectory() as to:
        unpack(folder, ["tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"], to)
        return list(check.failures(to))


def case_qwen_older_files():
    """vocab.json and merges.txt, as Qwen's repositories also have them, made from its tokenizer.json."""
    folder = os.path.join(DATA, "tokenizers", "qwen2.5-instruct")
    check = Check()
    check_encode(check, lines(os.path.join(folder, "encode.jsonl")))
    with tempfile.TemporaryDirectory() as to:
        unpack(folder, ["tokenizer.json", "tokenizer_config.json"], to)
        with open(os.path.join(to, "tokenizer.json"), encoding="utf-8") as file:
            model = json.load(file)["model"]
        os.remove(os.path.join(to, "tokenizer.json"))
        with open(os.path.join(to, "vocab.json"), "w", encoding="utf-8") as file:
            json.dump(model["vocab"], file)
        with open(os.path.join(to, "merges.txt"), "w", encoding="utf-8") as file:
            file.write("#version: 0.2\n" + "".join(merge + "\n" for merge in model["merges"]))
        return list(check.failures(to))


def case_gguf(model, rows):
    """Equal to the tokenizer.json that the file was made from, where llama.cpp differs (it skips NFC)."""
    check = Check()
    for row in rows:
        check.add({"text": row["text"]}, ids=row["ggml_ids"] if row["same_as_tokenizer_json"] else row["tokenizer_json_ids"])
    if model.endswith(".gz"):
        with tempfile.TemporaryDirectory() as to:
            name = os.path.basename(model)[:-3]
            unpack(os.path.dirname(model), [name], to)
            return list(check.failures(os.path.join(to, name)))
    return list(check.failures(model))


def case_invalid(name, key):
    folder = os.path.join(DATA, "tokenizers", name)
    check = Check()
    for row in lines(os.path.join(DATA, "tokenizers", "invalid-utf8.jsonl")):
        check.add({"text": row["replaced"]}, ids=row[key])
    with tempfile.TemporaryDirectory() as to:
        model_files(folder, to)
        return list(check.failures(to))


def cases():
    built_in = os.path.join(ROOT, "model")
    yield "built-in", lambda: case_chat_model(os.path.join(built_in, "sema-guide"), os.path.join(built_in, "expected.jsonl"))
    if not os.path.isdir(DATA):
        return
    base = os.path.join(DATA, "tokenizers")
    for name in sorted(os.listdir(base)):
        if os.path.exists(os.path.join(base, name, "encode.jsonl")):
            yield name, lambda name=name: case_published(name)
    yield "tokenizer.model", lambda: case_published_sentencepiece("tinyllama-1.1b-chat-v1.0")
    yield "vocab.json of qwen2.5-instruct", case_qwen_older_files
    for name in sorted(os.listdir(os.path.join(base, "synthetic"))):
        if name.endswith(".tokenizer.json"):
            yield "synthetic/" + name[:-15], lambda name=name: case_synthetic(name[:-15])
    for model, key in (("tinyllama-1.1b-chat-v1.0", "tinyllama_ids"), ("qwen2.5-instruct", "qwen2.5_ids")):
        yield "invalid-utf8/" + model, lambda model=model, key=key: case_invalid(model, key)
    base = os.path.join(DATA, "chat-models")
    for name in sorted(os.listdir(base)):
        if os.path.isdir(os.path.join(base, name)):
            yield name, lambda name=name: case_chat_model(os.path.join(base, name), os.path.join(base, name, "expected", "chat.jsonl"))
            if os.path.exists(os.path.join(base, name, "tokenizer.model")):
                yield "tokenizer.model of " + name, lambda name=name: case_chat_model_sentencepiece(name)
    base = os.path.join(DATA, "gguf")
    for folder in (base, os.path.join(base, "vocab")):
        for name in sorted(os.listdir(folder)):
            if name.endswith(".tokenize.jsonl"):
                model = os.path.join(folder, name[:-len(".tokenize.jsonl")] + ".gguf")
                model = model if os.path.exists(model) else model + ".gz"
                rows = lines(os.path.join(folder, name))
                yield "gguf/" + name[:-len(".tokenize.jsonl")], lambda model=model, rows=rows: case_gguf(model, rows)


def main():
    number = failed = 0
    for name, run in cases():
        if ONLY and not any(part in name for part in ONLY):
            continue
        number += 1
        try:
            failures = run()
        except (RuntimeError, OSError, ValueError) as error:
            failures = [str(error)]
        for line in failures[:5]:
            print("# " + line)
        if len(failures) > 5:
            print(f"# and {len(failures) - 5} more")
        print(f"{'not ok' if failures else 'ok'} {number} - {name}")
        failed += bool(failures)
    if not os.path.isdir(DATA):
        number += 1
        print(f"ok {number} - published tokenizers # SKIP no shared test data")
    print(f"1..{number}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
