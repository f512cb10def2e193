"""`images` of /api/v1/chat: to each provider in its own form, and refused where the model takes none (http-api.md 5)."""
from harness import *

PIXEL = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
DATA = "data:image/png;base64," + PIXEL
ADDRESS = "https://img.example/cat.png"


def ask(s, *images, session="s"):
    return s.chat("What is this?", session, images=list(images))


def newest(f):
    return [r for r in f.requests() if r["method"] == "POST"][-1]["body"]


def refused(t, s, *images):
    r = ask(s, *images)
    t.equal((r.status, r.json()["detail"][0]["loc"], r.json()["detail"][0]["type"]), (422, ["body", "images"], "value_error"), r.text)
    t.equal(s.get("/api/v1/sessions/s").status, 404)


@case("openai: parts of the message, as data and as an address; later turns carry the text only")
def openai(t):
    with Fake("openai") as f, Server(MODEL_TYPE="openai", MODEL_NAME="gpt-4o", OPENAI_BASE_URL=f.url + "/v1", OPENAI_API_KEY="k") as s:
        r = ask(s, DATA, ADDRESS)
        t.equal(r.status, 200, r.text)
        parts = newest(f)["messages"][-1]["content"]
        t.equal(parts[0], {"type": "text", "text": "What is this?"})
        t.equal([p["image_url"]["url"] for p in parts[1:]], [DATA, ADDRESS])
        t.equal(s.get("/api/v1/sessions/s").json()["messages"][0]["metadata"]["images"], 2)
        t.equal(s.chat("And now?").status, 200)
        t.lacks(json.dumps(newest(f)), "image_url")


@case("anthropic: blocks with a source of base64 or of an address")
def anthropic(t):
    with Fake("anthropic") as f, Server(MODEL_TYPE="anthropic", MODEL_NAME="claude-sonnet-5", ANTHROPIC_BASE_URL=f.url,
                                        ANTHROPIC_API_KEY="k") as s:
        r = ask(s, DATA, ADDRESS)
        t.equal(r.status, 200, r.text)
        sources = [b["source"] for b in newest(f)["messages"][-1]["content"] if b["type"] == "image"]
        t.equal(sources, [{"type": "base64", "media_type": "image/png", "data": PIXEL}, {"type": "url", "url": ADDRESS}])


@case("google: inline data; an address is a value_error, nobody is asked")
def google(t):
    with Fake("google") as f, Server(MODEL_TYPE="google", MODEL_NAME="gemini-2.5-flash", GOOGLE_GEMINI_BASE_URL=f.url,
                                     GOOGLE_API_KEY="k") as s:
        refused(t, s, ADDRESS)
        t.equal(len([r for r in f.requests() if r["method"] == "POST"]), 0)
        t.equal(ask(s, DATA).status, 200)
        t.equal(newest(f)["contents"][-1]["parts"][-1], {"inlineData": {"mimeType": "image/png", "data": PIXEL}})


@case("local: 422, in words that say what to do")
def local(t):
    with Server(MODEL_TYPE="local", MODEL_NAME="sema-guide") as s:
        refused(t, s, DATA)
        t.equal(s.chat("What can you do?").status, 200)


main()
