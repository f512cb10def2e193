/* Chat templates that anybody may have written.  An input is a template, then 0xFF (which no text
 * holds; the last one counts), then a JSON object of variables; the template also serves as a
 * model's own, with a conversation that has everything. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "engine/format/files.h"
#include "engine/template/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct tm now = {.tm_year = 124, .tm_mon = 6, .tm_mday = 26, .tm_hour = 9};

static void check_end(enum err e, const struct buf *out, const struct err_note *why)
{
    if (e != ERR_NONE && e != ERR_INVALID && e != ERR_UNSUPPORTED && e != ERR_LIMIT &&
        e != ERR_MEMORY)
        abort();
    if (e != ERR_NONE && out->len) abort(); /* a failure leaves nothing behind */
    if (e == ERR_UNSUPPORTED && why->text[0] == '\0') abort();
    if (e == ERR_NONE && !utf8_valid(buf_str(out))) abort();
}

static void render_alone(str source, str context)
{
    struct template *t;
    struct err_note why = {0};
    struct buf out;
    yyjson_doc *doc = NULL;

    buf_init(&out, 1 << 26);
    if (json_read(&doc, context, 64, JSON_RAW_NUMBERS, NULL)) doc = yyjson_read("{}", 2, 0);
    enum err e = template_parse(&t, source, &why);
    if (!e) {
        e = template_render(t, yyjson_doc_get_root(doc), &now, &out, &why);
        template_free(t);
    }
    check_end(e, &out, &why);
    yyjson_doc_free(doc);
    buf_fini(&out);
}

static void render_as_model(str source)
{
    static const char messages[] = "[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\","
                                   "\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
                                   "{\"type\":\"image\"}]},{\"role\":\"assistant\",\"content\":"
                                   "null,\"tool_calls\":[{\"id\":\"call_1\",\"type\":"
                                   "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{"
                                   "\\\"a\\\": 1}\"}},{\"id\":\"2\",\"function\":{}}]},"
                                   "{\"role\":\"tool\",\"tool_call_id\":\"2\",\"content\":\"r\"},{"
                                   "\"role\":\"developer\",\"content\":\"d\"},5]";
    static const char tools[] =
        "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}]";
    struct files_blob blob = {"chat_template.jinja", source};
    struct files *f = NULL;
    struct chat_form *form = NULL;
    struct err_note why = {0};
    struct buf out;

    if (files_of_memory(&f, &blob, 1, "fuzz")) return;
    enum err e = chat_form_open(&form, f, NULL, "llama", &why);
    if (e && e != ERR_MODEL_UNUSABLE && e != ERR_MEMORY) abort();
    if (e == ERR_MODEL_UNUSABLE && (why.text[0] == '\0' || strchr(why.text, '\n'))) abort();
    buf_init(&out, 1 << 26);
    for (int round = 0; !e && round < 4; round++) {
        yyjson_doc *m = yyjson_read(messages, sizeof messages - 1, 0);
        yyjson_doc *t = yyjson_read(tools, sizeof tools - 1, 0);
        struct chat_form_ask ask = {.messages = yyjson_doc_get_root(m),
                                    .tools = round & 1 ? yyjson_doc_get_root(t) : NULL,
                                    .add_generation_prompt = true,
                                    .exact = round & 2,
                                    .now = now};
        why = (struct err_note){0};
        buf_clear(&out);
        check_end(chat_form_render(form, &ask, &out, &why), &out, &why);
        yyjson_doc_free(m);
        yyjson_doc_free(t);
    }
    buf_fini(&out);
    chat_form_close(form);
    files_close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str all = str_span(data, size);
    size_t end = str_rfind_char(all, (char)0xFF);
    str source = str_head(all, end == STR_NPOS ? size : end);

    render_alone(source, str_tail(all, end == STR_NPOS ? size : end + 1));
    render_as_model(source);
    return 0;
}
