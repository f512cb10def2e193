/* Small tokenizers for tests, made as text: the 256 characters of the byte-level alphabet, a few
 * merges, and whatever the test puts around them. */
#ifndef SEMA_TESTS_VOCAB_SMALL_H
#define SEMA_TESTS_VOCAB_SMALL_H

#include "check.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/utf8.h"
#include "engine/format/files.h"
#include "engine/vocab/decoder.h"
#include "engine/vocab/vocab.h"

/* `rest` follows the model: ",'added_tokens':[...]" and so on, with ' for ".  Ids 0 to 255 are the
 * bytes; 256 is "ab", 257 "abab", 258 "<|". */
static inline void small_json(struct buf *out, const char *rest)
{
    buf_init(out, 1 << 20);
    buf_add(out, STR("{'model':{'type':'BPE','vocab':{"));
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[4];
        size_t len = utf8_put(text, decoder_character_of((uint8_t)byte));
        if (byte == '\'') {
            buf_add(out, STR("'\\u0027"));
        } else {
            buf_add_char(out, '\'');
            json_escape(out, (str){text, len}, false);
        }
        buf_addf(out, "':%u,", byte);
    }
    buf_add(out, STR("'ab':256,'abab':257,'<|':258},'merges':['a b',['ab','ab'],'< |']}"));
    buf_add(out, str_of(rest));
    buf_add_char(out, '}');
    for (size_t i = 0; i < out->len; i++)
        if (out->at[i] == '\'') out->at[i] = '"';
}

#define SMALL_BYTE_LEVEL                                                                           \
    ",'pre_tokenizer':{'type':'ByteLevel','add_prefix_space':false},"                              \
    "'decoder':{'type':'ByteLevel'}"

static inline enum err small_open_text(struct vocab **v, str json, struct err_note *why)
{
    struct files *f = NULL;
    struct files_blob blob = {"tokenizer.json", json};
    enum err e = files_of_memory(&f, &blob, 1, "small");

    if (!e) e = vocab_open(v, f, why);
    files_close(f); /* a vocabulary keeps nothing of them */
    return e;
}

static inline struct vocab *small_open(const char *rest)
{
    struct vocab *v = NULL;
    struct err_note why = {0};
    struct buf json;

    small_json(&json, rest);
    enum err e = small_open_text(&v, buf_str(&json), &why);
    if (e) print_error("%s\n", err_text(&why, e));
    check_int(e, ERR_NONE);
    buf_fini(&json);
    return v;
}

/* Ids as "1 2 3". */
static inline void check_ids(const struct vocab *v, str text, unsigned flags, const char *want)
{
    struct ids ids = {0};
    struct buf got;

    buf_init(&got, 1 << 20);
    check_int(vocab_encode(v, text, flags, &ids, NULL, NULL), ERR_NONE);
    for (size_t i = 0; i < ids.len; i++) buf_addf(&got, i ? " %d" : "%d", ids.at[i]);
    check_str(buf_str(&got), str_of(want));
    buf_fini(&got);
    ids_fini(&ids);
}

#endif
