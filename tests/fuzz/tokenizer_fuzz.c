/* Tokenizer files of every kind, and text through what opens.  An input is the file's bytes, then
 * 0xFF (which no text holds; the last one counts), then a text; a first byte of the file tells
 * which kind it is. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "engine/format/files.h"
#include "engine/vocab/vocab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_BYTES_MAX = 2048, TOKENS_MAX_SHOWN = 512 };

static void decode_all(const struct vocab *v, const struct ids *ids, bool skip)
{
    struct vocab_stream s;
    struct buf out;
    size_t count = ids->len < TOKENS_MAX_SHOWN ? ids->len : TOKENS_MAX_SHOWN;

    buf_init(&out, 1 << 26);
    (void)!vocab_decode(v, ids->at, count, skip, &out);
    if (!out.bad && !utf8_valid(buf_str(&out))) abort();
    buf_clear(&out);
    vocab_stream_init(&s, v, skip);
    for (size_t i = 0; i < count; i++) vocab_stream_add(&s, ids->at[i], &out);
    vocab_stream_end(&s, &out);
    if (!out.bad && !utf8_valid(buf_str(&out))) abort();
    buf_fini(&out);
}

static void use(const struct vocab *v, str text)
{
    static const unsigned flags[] = {VOCAB_PLAIN, VOCAB_ADD_SPECIAL, VOCAB_GUARDED};
    struct buf guarded;

    text = str_head(text, TEXT_BYTES_MAX);
    buf_init(&guarded, 1 << 16);
    if (utf8_valid(text)) vocab_guard(v, text, &guarded);
    for (size_t i = 0; i < 3; i++) {
        struct ids ids = {0};
        str what = flags[i] == VOCAB_GUARDED ? buf_str(&guarded) : text;
        enum err e = vocab_encode(v, what, flags[i], &ids, NULL, NULL);
        if (e && ids.len) abort(); /* a failure leaves nothing behind */
        for (size_t k = 0; k < ids.len; k++)
            if (ids.at[k] < 0 || ids.at[k] >= vocab_size(v)) abort();
        decode_all(v, &ids, i == 0);
        ids_fini(&ids);
    }
    struct ids odd = {0};
    for (size_t i = 0; i < text.len && i < 64;
         i++) /* any numbers: the model's, or a caller's mistake */
        if (ids_add(&odd, (int32_t)(unsigned char)text.at[i] - 8)) abort();
    decode_all(v, &odd, true);
    ids_fini(&odd);
    buf_fini(&guarded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str all = str_span(data, size);
    size_t end = str_rfind_char(all, (char)0xFF);
    str file = str_head(all, end == STR_NPOS ? size : end);
    str text = str_tail(all, end == STR_NPOS ? size : end + 1);
    struct files_blob blobs[3];
    size_t count = 1;
    struct files *f = NULL;
    struct vocab *v = NULL;
    struct err_note why = {0};

    if (file.len && file.at[0] == '{') {
        blobs[0] = (struct files_blob){"tokenizer.json", file};
        blobs[1] = (struct files_blob){"tokenizer_config.json", STR("{\"eos_token\":\"</s>\"}")};
        count = 2;
    } else if (file.len && file.at[0] == 'V') { /* vocab.json, a NUL, merges.txt */
        size_t cut = str_find_char(file, '\0');
        blobs[0] = (struct files_blob){"vocab.json", str_tail(str_head(file, cut), 1)};
        blobs[1] =
            (struct files_blob){"merges.txt", cut == STR_NPOS ? STR("") : str_tail(file, cut + 1)};
        count = 2;
    } else if (file.len && file.at[0] == 'G') {
        blobs[0] = (struct files_blob){"model.gguf", file};
    } else {
        blobs[0] = (struct files_blob){"tokenizer.model", file};
    }
    if (files_of_memory(&f, blobs, count, "fuzz")) return 0;
    enum err e = vocab_open(&v, f, &why);
    if (e && e != ERR_MODEL_UNUSABLE && e != ERR_MEMORY && e != ERR_IO) abort();
    if (e == ERR_MODEL_UNUSABLE && (why.text[0] == '\0' || strchr(why.text, '\n'))) abort();
    if (v) use(v, text);
    vocab_close(v);
    files_close(f);
    return 0;
}
