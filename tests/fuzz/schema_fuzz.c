/* Schemas that a client may send.  An input is a schema, then 0xFF, then bytes that choose a way
 * through what the grammar lets through: whatever comes out complete is valid JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "engine/sample/grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 200, END = 260 };

static char texts[256];
static const char *const longer[] = {"\":", "\",", "}}", "[["};

static str token(const void *ctx, int32_t id)
{
    if (id >= 256 && id < END) return str_of(longer[id - 256]);
    return id < 256 ? str_span(&texts[id], 1) : STR("");
}

static int32_t choose(const uint64_t *mask, unsigned which)
{
    unsigned count = 0;

    for (int32_t id = 0; id <= END; id++) count += mask[id / 64] >> (id % 64) & 1;
    which %= count;
    for (int32_t id = 0;; id++)
        if ((mask[id / 64] >> (id % 64) & 1) && which-- == 0) return id;
}

static void walk(struct grammar *g, str choices)
{
    struct buf out;
    int32_t id = 0;

    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < STEPS_MAX && id != END; i++) {
        const uint64_t *mask = grammar_mask(g);
        if (mask == NULL) abort(); /* with all bytes there is always a way on */
        bool may_end = mask[END / 64] >> (END % 64) & 1;
        if (may_end != grammar_done(g)) abort();
        unsigned which = i < choices.len ? (unsigned char)choices.at[i] : (unsigned)i * 7;
        id = may_end && i >= choices.len ? END : choose(mask, which);
        if (!grammar_accept(g, id)) abort(); /* the mask said so */
        if (id != END) buf_add(&out, token(NULL, id));
    }
    if (id == END) {
        yyjson_doc *doc;
        if (json_read(&doc, buf_str(&out), 1024, JSON_RAW_NUMBERS, NULL)) abort();
        yyjson_doc_free(doc);
    }
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct grammar_vocab *v;
    str all = str_span(data, size);
    size_t end = str_rfind_char(all, (char)0xFF);
    struct grammar *g;
    struct err_note why = {0};

    if (v == NULL) {
        static const int32_t ends = END;
        for (int i = 0; i < 256; i++) texts[i] = (char)i;
        if (grammar_vocab_new(&v, END + 1, token, NULL, &ends, 1)) return 0;
    }
    enum err e = grammar_new_text(&g, v, str_head(all, end == STR_NPOS ? size : end), &why);
    if (e && e != ERR_INVALID && e != ERR_UNSUPPORTED && e != ERR_LIMIT && e != ERR_MEMORY) abort();
    if (e && e != ERR_MEMORY && why.text[0] == '\0') abort();
    if (e) return 0;
    walk(g, str_tail(all, end == STR_NPOS ? size : end + 1));
    grammar_free(g);
    return 0;
}
