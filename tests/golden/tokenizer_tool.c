/* Answers JSON lines with a tokenizer, for the golden driver beside it:
 *   {"text": T, "special": bool, "guard": bool}   -> {"ids": [...]}
 *   {"ids": [...], "skip": bool}                  -> {"text": T, "stream": T, "pieces": [...]}
 * Usage: golden-tokenizer MODEL_DIR_OR_GGUF */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "engine/format/files.h"
#include "engine/vocab/vocab.h"

static void fail_with(const char *what, enum err e, const struct err_note *why)
{
    fprintf(stderr, "%s: %s\n", what, err_text(why, e));
    exit(1);
}

static void answer_encode(const struct vocab *v, yyjson_val *ask, struct json_out *o)
{
    struct ids ids = {0};
    struct err_note why = {0};
    struct buf guarded;
    str text = json_get_str(ask, "text");
    unsigned flags = json_get_bool(ask, "special", false) ? VOCAB_ADD_SPECIAL : VOCAB_PLAIN;

    buf_init(&guarded, 1 << 28);
    if (json_get_bool(ask, "guard", false)) {
        vocab_guard(v, text, &guarded);
        text = buf_str(&guarded);
        flags |= VOCAB_GUARDED;
    }
    enum err e = vocab_encode(v, text, flags, &ids, NULL, &why);
    if (e) fail_with("encode", e, &why);
    json_key(o, "ids");
    json_array(o);
    for (size_t i = 0; i < ids.len; i++) json_int(o, ids.at[i]);
    json_end_array(o);
    ids_fini(&ids);
    buf_fini(&guarded);
}

static void answer_decode(const struct vocab *v, yyjson_val *ask, struct json_out *o)
{
    struct ids ids = {0};
    struct buf text, stream;
    struct vocab_stream s;
    bool skip = json_get_bool(ask, "skip", false);
    yyjson_arr_iter each = yyjson_arr_iter_with(json_get(ask, "ids"));

    buf_init(&text, 1 << 28);
    buf_init(&stream, 1 << 28);
    for (yyjson_val *id; (id = yyjson_arr_iter_next(&each));)
        if (ids_add(&ids, (int32_t)yyjson_get_sint(id))) abort();
    enum err e = vocab_decode(v, ids.at, ids.len, skip, &text);
    if (e) fail_with("decode", e, NULL);

    json_key(o, "pieces");
    json_array(o);
    vocab_stream_init(&s, v, skip);
    for (size_t i = 0; i <= ids.len; i++) {
        size_t before = stream.len;
        if (i < ids.len)
            vocab_stream_add(&s, ids.at[i], &stream);
        else
            vocab_stream_end(&s, &stream);
        json_text(o, str_tail(buf_str(&stream), before));
    }
    json_end_array(o);
    json_key(o, "text");
    json_text(o, buf_str(&text));
    json_key(o, "stream");
    json_text(o, buf_str(&stream));
    ids_fini(&ids);
    buf_fini(&text);
    buf_fini(&stream);
}

int main(int argc, char **argv)
{
    struct files *f = NULL;
    struct vocab *v = NULL;
    struct err_note why = {0};
    char *line = NULL;
    size_t cap = 0;

    if (argc != 2) return 2;
    enum err e = files_open(&f, argv[1], &why);
    if (!e) e = vocab_open(&v, f, &why);
    if (e) fail_with("open", e, &why);
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
        yyjson_doc *doc;
        struct buf out;
        if (json_read(&doc, (str){line, (size_t)n}, 16, JSON_PLAIN, NULL)) return 3;
        yyjson_val *ask = yyjson_doc_get_root(doc);
        buf_init(&out, 1 << 28);
        struct json_out o = json_begin(&out);
        json_object(&o);
        if (json_get(ask, "text"))
            answer_encode(v, ask, &o);
        else
            answer_decode(v, ask, &o);
        json_end_object(&o);
        buf_add_char(&out, '\n');
        if (out.bad || fwrite(out.at, 1, out.len, stdout) != out.len) return 3;
        buf_fini(&out);
        yyjson_doc_free(doc);
    }
    free(line);
    vocab_close(v);
    files_close(f);
    return 0;
}
