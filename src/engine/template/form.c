/* The chat form of a model: its template out of its files, the special tokens it may name, and its
 * habits, found by rendering small conversations when the model is opened. */
#include "engine/template/form.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/json.h"
#include "conf/limits.h"
#include "engine/format/files.h"
#include "engine/format/gguf.h"
#include "engine/template/template.h"
#include "engine/vocab/vocab.h"

enum { ROLES_MAX = 64, CONFIG_DEPTH_MAX = 64 };

struct chat_form {
    struct arena arena; /* of texts */
    const struct vocab *vocab;
    struct template *plain, *with_tools; /* the same unless the files name a `tool_use` template */
    str source;                          /* of `plain`; empty for a built-in form */
    struct {
        str name, token;
    } roles[ROLES_MAX]; /* "bos_token" and its like, as variables */
    size_t roles_count;
    struct form_habits habits;
};

/* ---- the special tokens ---- */

static void add_role(struct chat_form *c, str name, str token)
{
    if (token.len == 0 || c->roles_count == ROLES_MAX) return;
    for (size_t i = 0; i < c->roles_count; i++)
        if (str_eq(c->roles[i].name, name)) return;
    name = arena_str(&c->arena, name);
    token = arena_str(&c->arena, token);
    if (name.at == NULL || token.at == NULL) return;
    c->roles[c->roles_count].name = name;
    c->roles[c->roles_count++].token = token;
}

/* What the vocabulary knows first, then every other "..._token" of the configuration, then what the
 * family's tokenizer class means when nothing is said (DialoGPT's files name no special token). */
static void read_roles(struct chat_form *c, yyjson_val *config, const char *family)
{
    static const char *const known[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    size_t i, max;
    yyjson_val *key, *v;

    for (i = 0; c->vocab && i < sizeof known / sizeof *known; i++)
        add_role(c, str_of(known[i]), vocab_role(c->vocab, known[i]));
    yyjson_obj_foreach(json_object_of(config), i, max, key, v)
    {
        str name = json_str(key);
        if (!str_ends(name, STR("_token"))) continue;
        add_role(c, name, yyjson_is_obj(v) ? json_get_str(v, "content") : json_str(v));
    }
    if (family && strcmp(family, "gpt2") == 0)
        for (i = 0; i < 3; i++) add_role(c, str_of(known[i]), STR("<|endoftext|>"));
}

/* ---- the template ---- */

/* The form that a family documents where its files hold no template. */
static str built_in(const char *family)
{
    /* ai.google.dev/gemma/docs/core/prompt-structure: turns of user and model, no system's. */
    static const char gemma[] =
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}"
        "{{ raise_exception('System role not supported') }}{% endif %}"
        "{% if (m['role'] == 'user') != (loop.index0 is even) %}{{ raise_exception("
        "'Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
        "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + "
        "m['content']|trim + '<end_of_turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}";
    /* microsoft/phi-2's model card, "QA format". */
    static const char phi[] =
        "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ 'Output: ' + m['content'] + "
        "'\n' }}"
        "{% else %}{{ 'Instruct: ' + m['content'] + '\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'Output:' }}{% endif %}";
    /* DialoGPT: turns joined, each followed by the end token (its model card). */
    static const char turns[] =
        "{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}";

    str name = str_of(family);
    if (str_starts(name, STR("gemma"))) return str_of(gemma);
    return str_of(str_eq(name, STR("phi")) ? phi : turns);
}

static enum err parse_source(struct chat_form *c, str source, struct template **out,
                             const char *file, struct err_note *why)
{
    enum err e = template_parse(out, source, why);
    return e ? err_context(why, e, "%s", file) : ERR_NONE;
}

/* A string, or a list of {name, template}: `default`, and `tool_use` when there are tools. */
static enum err read_field(struct chat_form *c, yyjson_val *field, struct err_note *why)
{
    str plain = json_str(field), tools = STR_NONE;
    yyjson_val *one;
    size_t i, max;

    yyjson_arr_foreach(json_array_of(field), i, max, one)
    {
        str name = json_get_str(one, "name"), text = json_get_str(one, "template");
        if (str_eq(name, STR("default"))) plain = text;
        if (str_eq(name, STR("tool_use"))) tools = text;
        if (max == 1 && plain.at == NULL) plain = text;
    }
    if (plain.at == NULL) plain = tools;
    if (plain.at == NULL) return ERR_NONE;
    c->source = arena_str(&c->arena, plain);
    if (c->source.at == NULL) return ERR_MEMORY;
    enum err e = parse_source(c, plain, &c->plain, "tokenizer_config.json: chat_template", why);
    if (!e && tools.at && tools.at != plain.at)
        e = parse_source(c, tools, &c->with_tools, "tokenizer_config.json: chat_template tool_use",
                         why);
    return e;
}

static enum err read_file(struct chat_form *c, struct files *f, struct err_note *why)
{
    str text;
    enum err e = files_get(f, "chat_template.jinja", &text, why);

    if (e) return e == ERR_NOT_FOUND ? ERR_NONE : e;
    c->source = arena_str(&c->arena, text);
    if (c->source.at == NULL) return ERR_MEMORY;
    return parse_source(c, c->source, &c->plain, "chat_template.jinja", why);
}

static enum err read_config(struct chat_form *c, struct files *f, const char *family,
                            struct err_note *why)
{
    str text;
    yyjson_doc *doc;
    enum err e = files_get(f, "tokenizer_config.json", &text, why);

    if (e == ERR_NOT_FOUND) {
        read_roles(c, NULL, family);
        return ERR_NONE;
    }
    if (e) return e;
    if (json_read(&doc, text, CONFIG_DEPTH_MAX, JSON_RAW_NUMBERS, NULL))
        return err_set(why, ERR_MODEL_UNUSABLE, "tokenizer_config.json: not valid JSON");
    yyjson_val *config = yyjson_doc_get_root(doc);
    read_roles(c, config, family);
    if (c->plain == NULL) e = read_field(c, json_get(config, "chat_template"), why);
    yyjson_doc_free(doc);
    return e;
}

static enum err read_gguf(struct chat_form *c, struct files *f, struct err_note *why)
{
    struct gguf *g;
    str text;
    enum err e = files_gguf(f) ? gguf_open(&g, f, why) : ERR_NOT_FOUND;

    if (e) return e == ERR_NOT_FOUND ? ERR_NONE : e;
    if (gguf_str(g, "tokenizer.chat_template", &text)) {
        c->source = arena_str(&c->arena, text);
        e = c->source.at ? parse_source(c, c->source, &c->plain, "tokenizer.chat_template", why)
                         : ERR_MEMORY;
    }
    if (!e && c->plain && gguf_str(g, "tokenizer.chat_template.tool_use", &text))
        e = parse_source(c, text, &c->with_tools, "tokenizer.chat_template.tool_use", why);
    gguf_close(g);
    return e;
}

/* ---- rendering ---- */

static bool add_member(yyjson_mut_doc *doc, yyjson_mut_val *to, str key, yyjson_mut_val *v)
{
    yyjson_mut_val *name = yyjson_mut_strn(doc, key.at, key.len);
    return name && v && yyjson_mut_obj_put(to, name, v);
}

static yyjson_mut_val *copy_or_null(yyjson_mut_doc *doc, yyjson_val *v)
{
    return v ? yyjson_val_mut_copy(doc, v) : yyjson_mut_null(doc);
}

/* The variables of the reference's call, those of the caller last. */
static bool fill_context(const struct chat_form *c, yyjson_mut_doc *doc, yyjson_mut_val *root,
                         yyjson_mut_val *messages, yyjson_mut_val *tools, yyjson_mut_val *kwargs,
                         bool add_generation_prompt)
{
    size_t i, max;
    yyjson_mut_val *key, *v;
    bool ok = add_member(doc, root, STR("messages"), messages) &&
              add_member(doc, root, STR("tools"), tools ? tools : yyjson_mut_null(doc)) &&
              add_member(doc, root, STR("documents"), yyjson_mut_null(doc)) &&
              add_member(doc, root, STR("add_generation_prompt"),
                         yyjson_mut_bool(doc, add_generation_prompt));

    for (i = 0; ok && i < c->roles_count; i++)
        ok = add_member(doc, root, c->roles[i].name,
                        yyjson_mut_strn(doc, c->roles[i].token.at, c->roles[i].token.len));
    yyjson_mut_obj_foreach(kwargs, i, max, key, v)
    {
        str name = {yyjson_mut_get_str(key), yyjson_mut_get_len(key)};
        ok = ok && add_member(doc, root, name, yyjson_mut_val_mut_copy(doc, v));
    }
    return ok;
}

static enum err render(const struct chat_form *c, const struct chat_form_ask *ask,
                       const struct form_habits *habits, struct buf *out, struct err_note *why)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *messages = copy_or_null(doc, ask->messages);
    yyjson_mut_val *tools =
        yyjson_arr_size(ask->tools) ? yyjson_val_mut_copy(doc, ask->tools) : NULL;
    yyjson_mut_val *kwargs = ask->kwargs ? yyjson_val_mut_copy(doc, ask->kwargs) : NULL;
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    const struct template *t = tools && c->with_tools ? c->with_tools : c->plain;
    yyjson_doc *context = NULL;
    enum err e = root && messages ? ERR_NONE : ERR_MEMORY;

    if (!e && habits) e = chat_form_shape(doc, messages, &tools, habits);
    if (!e && ask->guard && c->vocab) {
        e = shape_guard(doc, messages, c->vocab);
        if (!e) e = shape_guard(doc, tools, c->vocab);
        if (!e) e = shape_guard(doc, kwargs, c->vocab);
    }
    if (!e && !fill_context(c, doc, root, messages, tools, kwargs, ask->add_generation_prompt))
        e = ERR_MEMORY;
    if (!e) {
        yyjson_mut_doc_set_root(doc, root);
        context = yyjson_mut_doc_imut_copy(doc, NULL);
        if (context == NULL) e = ERR_MEMORY;
    }
    if (!e) e = template_render(t, yyjson_doc_get_root(context), &ask->now, out, why);
    yyjson_doc_free(context);
    yyjson_mut_doc_free(doc);
    return e;
}

enum err chat_form_render(const struct chat_form *c, const struct chat_form_ask *ask,
                          struct buf *out, struct err_note *why)
{
    if (!yyjson_is_arr(ask->messages)) return err_set(why, ERR_INVALID, "messages must be a list");
    return render(c, ask, ask->exact ? NULL : &c->habits, out, why);
}

/* ---- habits ---- */

/* Renders a probe: did every text of `want` (separated by '|') come out, in this order? */
static bool probe(const struct chat_form *c, const char *messages, bool tools, const char *want,
                  const char *never)
{
    static const char tool_json[] =
        "[{\"type\":\"function\",\"function\":{\"name\":\"probe_tool\",\"description\":\"Probes.\","
        "\"parameters\":{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\","
        "\"description\":\"Where.\"}},\"required\":[\"city\"]}}}]";
    yyjson_doc *doc = yyjson_read(messages, strlen(messages), 0);
    yyjson_doc *tool_doc = yyjson_read(tool_json, strlen(tool_json), 0);
    struct chat_form_ask ask = {
        .messages = yyjson_doc_get_root(doc),
        .tools = tools ? yyjson_doc_get_root(tool_doc) : NULL,
        .now = {.tm_year = 124, .tm_mday = 1},
    };
    struct buf out;

    buf_init(&out, TEMPLATE_OUTPUT_BYTES_MAX);
    bool ok = doc && tool_doc && render(c, &ask, NULL, &out, NULL) == ERR_NONE;
    str rest = buf_str(&out), wanted = str_of(want), one;
    ok = ok && (never == NULL || str_find(rest, str_of(never)) == STR_NPOS);
    while (ok && str_split(&wanted, '|', &one)) {
        size_t at = str_find(rest, one);
        ok = at != STR_NPOS;
        if (ok) rest = str_tail(rest, at + one.len);
    }
    buf_fini(&out);
    yyjson_doc_free(doc);
    yyjson_doc_free(tool_doc);
    return ok;
}

#define USER(text) "{\"role\":\"user\",\"content\":\"" text "\"}"
#define ASSISTANT(text) "{\"role\":\"assistant\",\"content\":\"" text "\"}"
#define SYSTEM(text) "{\"role\":\"system\",\"content\":\"" text "\"}"

static void probe_system(struct chat_form *c)
{
    struct form_habits *h = &c->habits;

    h->system =
        probe(c, "[" SYSTEM("Sema-rules") "," USER("Sema-asks") "]", false, "Sema-rules", NULL);
    h->late_system =
        h->system && probe(c,
                           "[" SYSTEM("Sema-rules") "," USER("Sema-asks") "," ASSISTANT(
                               "Sema-says") "," SYSTEM("Sema-later") "," USER("Sema-again") "]",
                           false, "Sema-rules|Sema-says|Sema-later|Sema-again", NULL);
    h->developer = str_find(c->source, STR("developer")) != STR_NPOS;
}

static void probe_content(struct chat_form *c)
{
    c->habits.text_content = probe(c, "[" USER("Sema-asks") "]", false, "Sema-asks", NULL);
    c->habits.list_content =
        probe(c, "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Sema-asks\"}]}]",
              false, "Sema-asks", "type'") &&
        probe(c, "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Sema-asks\"}]}]",
              false, "Sema-asks", "\"type\"");
}

/* A call and its result in the eight ways that templates are known to want them; the first that
 * comes out counts, the reference's usual one (object, long id, null) being tried first. */
static void probe_calls(struct chat_form *c)
{
    struct form_habits *h = &c->habits;
    char messages[1024];

    for (unsigned way = 0; way < 8 && !h->calls; way++) {
        const char *args = way & 4 ? "\"{\\\"city\\\": \\\"Oslo\\\"}\"" : "{\"city\": \"Oslo\"}";
        const char *id = way & 1 ? "probe1234" : "call_probe_12345678";
        snprintf(messages, sizeof messages,
                 "[" USER(
                     "Sema-asks") ",{\"role\":\"assistant\",\"content\":%s,\"tool_calls\":[{\"id\":"
                                  "\"%s\",\"type\":\"function\",\"function\":{\"name\":\"probe_"
                                  "call\",\"arguments\":%s}}]},{\"role\":\"tool\",\"tool_call_id\":"
                                  "\"%s\",\"name\":\"probe_call\",\"content\":\"Sema-result\"}]",
                 way & 2 ? "\"\"" : "null", id, args, id);
        if (!probe(c, messages, h->tools, "probe_call|Oslo|Sema-result", "{'city'")) continue;
        h->calls = true;
        h->short_ids = way & 1;
        h->empty_text = way & 2;
        h->text_args = way & 4;
        snprintf(messages, sizeof messages,
                 "[" USER(
                     "Sema-asks") ",{\"role\":\"assistant\",\"content\":%s,\"tool_calls\":[{\"id\":"
                                  "\"%s\",\"type\":\"function\",\"function\":{\"name\":\"probe_"
                                  "call\",\"arguments\":%s}},{\"id\":\"%s\",\"type\":\"function\","
                                  "\"function\":{\"name\":\"probe_more\",\"arguments\":%s}}]},{"
                                  "\"role\":\"tool\",\"tool_call_id\":\"%s\",\"name\":\"probe_"
                                  "call\",\"content\":\"Sema-result\"}]",
                 way & 2 ? "\"\"" : "null", id, args, id, args, id);
        h->many_calls = probe(c, messages, h->tools, "probe_call|probe_more|Sema-result", NULL);
    }
}

/* ---- life ---- */

enum err chat_form_open(struct chat_form **out, struct files *f, const struct vocab *vocab,
                        const char *family, struct err_note *why)
{
    struct chat_form *c = calloc(1, sizeof *c);

    if (c == NULL) return ERR_MEMORY;
    arena_init(&c->arena, 0);
    c->vocab = vocab;
    enum err e = read_file(c, f, why);
    if (!e) e = read_config(c, f, family, why);
    if (!e && c->plain == NULL) e = read_gguf(c, f, why);
    if (!e && c->plain == NULL)
        e = parse_source(c, built_in(family), &c->plain, "built-in form", why);
    if (e) {
        chat_form_close(c);
        return e == ERR_INVALID || e == ERR_LIMIT ? ERR_MODEL_UNUSABLE : e;
    }
    probe_content(c);
    probe_system(c);
    c->habits.tools = probe(c, "[" USER("Sema-asks") "]", true, "probe_tool", NULL);
    probe_calls(c);
    *out = c;
    return ERR_NONE;
}

void chat_form_close(struct chat_form *c)
{
    if (c == NULL) return;
    template_free(c->plain);
    template_free(c->with_tools);
    arena_fini(&c->arena);
    free(c);
}

bool chat_form_takes_system(const struct chat_form *c)
{
    return c->habits.system;
}

bool chat_form_takes_tools(const struct chat_form *c)
{
    return c->habits.tools;
}

str chat_form_source(const struct chat_form *c)
{
    return c->source;
}
