/* Constrained output: what a schema lets through, and that whatever the masks lead to is valid JSON
 * of the schema. */
#include "check.h"

#include <string.h>

#include "base/clock.h"
#include "engine/format/files.h"
#include "engine/sample/grammar.h"
#include "engine/sample/random.h"
#include "engine/vocab/vocab.h"
#include "schema_check.h"

/* ---- by bytes: a vocabulary of the 256 bytes and an end token ---- */

static struct grammar_vocab *bytes_vocab;
static char byte_texts[256];

static str byte_token(const void *ctx, int32_t id)
{
    return id < 256 ? str_span(&byte_texts[id], 1) : STR("");
}

static int set_up(void **state)
{
    static const int32_t end = 256;
    for (int i = 0; i < 256; i++) byte_texts[i] = (char)i;
    return grammar_vocab_new(&bytes_vocab, 257, byte_token, NULL, &end, 1);
}

static int tear_down(void **state)
{
    grammar_vocab_free(bytes_vocab);
    return 0;
}

static bool takes(const char *schema, str text)
{
    struct grammar *g;
    struct err_note why = {0};
    enum err e = grammar_new_text(&g, bytes_vocab, str_of(schema), &why);

    if (e) print_error("%s: %s\n", schema, err_text(&why, e));
    check_int(e, ERR_NONE);
    bool whole = grammar_accept_text(g, text) && grammar_done(g);
    grammar_free(g);
    return whole;
}

/* Each schema with texts that it takes whole and texts that it does not. */
static void test_texts(void **state)
{
    static const struct {
        const char *schema;
        const char *yes[8], *no[8];
    } cases[] = {
        {"{\"type\":\"null\"}", {"null"}, {"nul", "nulll", "true"}},
        {"{\"type\":\"boolean\"}", {"true", "false", " true"}, {"True", "  true"}},
        {"{\"type\":\"integer\"}", {"0", "-1", "123456"}, {"01", "-0", "1.0", "1e3", "-", ""}},
        {"{\"type\":\"number\"}",
         {"0", "-0.5", "1.25", "1e-3", "12E+5"},
         {"01", ".5", "1.", "1e", "+1"}},
        {"{\"type\":\"integer\",\"minimum\":7,\"maximum\":123}",
         {"7", "9", "10", "99", "100", "123"},
         {"6", "124", "0", "-7", "1000"}},
        {"{\"type\":\"integer\",\"minimum\":-12,\"maximum\":3}",
         {"-12", "-9", "-1", "0", "3"},
         {"-13", "4", "-0", "-20"}},
        {"{\"type\":\"integer\",\"minimum\":100}", {"100", "1000", "999999"}, {"99", "1", "-100"}},
        {"{\"type\":\"integer\",\"maximum\":-5}", {"-5", "-10", "-999"}, {"-4", "5", "0"}},
        {"{\"type\":\"number\",\"minimum\":0,\"maximum\":1}",
         {"0", "1", "0.5", "1.0"},
         {"1.1", "2", "-0.1"}},
        {"{\"type\":\"number\",\"minimum\":-1,\"maximum\":1}",
         {"-0.5", "-1", "0.25"},
         {"-1.1", "1.5"}},
        {"{\"type\":\"string\"}",
         {"\"\"", "\"a\\\"b\"", "\"\xe1\x88\xb0 \xf0\x9f\x98\x80\"",
          "\"\\ud83d\\ude00\\n\\u00e9\""},
         {"\"a", "\"a\nb\"", "\"\\x\"", "\"\\ud83d\"", "\"\xff\"", "\"\xed\xa0\x80\"",
          "\"\xc0\x80\""}},
        {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
         {"\"ab\"", "\"abc\"", "\"\xf0\x9f\x98\x80\xf0\x9f\x98\x80\"", "\"\\n\\n\""},
         {"\"a\"", "\"abcd\"", "\"\""}},
        {"{\"type\":\"string\",\"pattern\":\"^[A-Z]{2}-\\\\d+$\"}",
         {"\"AB-1\"", "\"ZZ-1234\""},
         {"\"A-1\"", "\"AB-\"", "\"ab-1\""}},
        {"{\"type\":\"string\",\"pattern\":\"^(ab|c)*$\",\"minLength\":2,\"maxLength\":4}",
         {"\"ab\"", "\"cab\"", "\"cccc\""},
         {"\"c\"", "\"ababc\"", "\"\""}},
        {"{\"type\":\"string\",\"pattern\":\"[^\\\"]\\\\\\\\\"}",
         {"\"x\\\\\""},
         {"\"\\\"\\\\\"", "\"x\""}},
        {"{\"type\":\"string\",\"format\":\"date\"}",
         {"\"2024-02-28\"", "\"1999-12-31\""},
         {"\"2024-13-01\"", "\"2024-02-30\""}},
        {"{\"type\":\"string\",\"format\":\"time\"}",
         {"\"09:05:03Z\"", "\"23:59:59.5+02:00\""},
         {"\"24:00:00Z\"", "\"09:05:03\""}},
        {"{\"type\":\"string\",\"format\":\"uuid\"}",
         {"\"123e4567-e89b-12d3-a456-426614174000\""},
         {"\"123e4567\""}},
        {"{\"type\":\"string\",\"format\":\"email\"}", {"\"anything\""}, {"1"}},
        {"{\"enum\":[\"a\",1,null,[1,{\"x\":\"\\n\"}]]}",
         {"\"a\"", "1", "null", "[1,{\"x\":\"\\n\"}]"},
         {"2", "\"b\"", "\"\""}},
        {"{\"const\":\"x y\"}", {"\"x y\""}, {"\"x\""}},
        {"{\"type\":\"string\",\"enum\":[\"a\",1]}", {"\"a\""}, {"1"}},
        {"{\"type\":[\"string\",\"null\"]}", {"\"a\"", "null"}, {"1"}},
        {"{\"type\":\"array\"}", {"[]", "[1,\"a\", null]", "[[],{}]"}, {"[1,]", "[ 1]", "[1,  2]"}},
        {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":2,\"maxItems\":3}",
         {"[1,2]", "[1, 2,3]"},
         {"[]", "[1]", "[1,2,3,4]", "[\"a\",1]"}},
        {"{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"minItems\":1}",
         {"[null]", "[null,null]"},
         {"[]"}},
        {"{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"maxItems\":0}", {"[]"}, {"[null]"}},
        {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"null\"}],"
         "\"items\":{\"type\":\"boolean\"},\"minItems\":1}",
         {"[1]", "[1,null]", "[1,null,true,false]"},
         {"[]", "[null]", "[1,true]"}},
        {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"}],\"items\":false}",
         {"[]", "[1]"},
         {"[1,2]"}},
        {"{\"type\":\"object\"}",
         {"{}", "{\"a\":1}", "{\"a\": {\"b\": []}, \"c\":\"d\"}"},
         {"[]", "{a:1}", "{\"a\" :1}", "{ \"a\":1}"}},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":"
         "\"string\"}},\"required\":[\"a\"]}",
         {"{\"a\":1}", "{\"a\":1, \"b\":\"x\"}"},
         {"{}", "{\"b\":\"x\"}", "{\"b\":\"x\",\"a\":1}", "{\"a\":1,\"c\":2}", "{\"a\":1,}"}},
        {"{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{},\"c\":{}}}",
         {"{}", "{\"a\":1}", "{\"b\":1}", "{\"a\":1,\"c\":2}", "{\"c\":[]}"},
         {"{\"c\":1,\"a\":2}", "{,\"a\":1}"}},
        {"{\"type\":\"object\",\"properties\":{\"ab\":{\"type\":\"null\"}},"
         "\"additionalProperties\":{\"type\":\"integer\"}}",
         {"{}", "{\"ab\":null}", "{\"ab\":null,\"x\":1}", "{\"a\":1,\"abc\":2}",
          "{\"\xc3\xa9\":1}"},
         {"{\"ab\":1}", "{\"x\":null}", "{\"\":1}"}},
        {"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}",
         {"{}", "{\"x\":1}"},
         {"{\"x\":\"1\"}"}},
        {"{\"type\":\"object\",\"additionalProperties\":false}", {"{}"}, {"{\"x\":1}"}},
        {"{\"type\":\"object\",\"required\":[\"z\"]}",
         {"{\"z\":1}", "{\"z\":1,\"y\":2}"},
         {"{}", "{\"y\":2}"}},
        {"{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\",\"maxLength\":1}]}",
         {"12", "\"a\""},
         {"\"ab\"", "null"}},
        {"{\"oneOf\":[{\"const\":1},{\"const\":2}]}", {"1", "2"}, {"3"}},
        {"{\"allOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},"
         "\"required\":[\"a\"]},"
         "{\"type\":\"object\",\"properties\":{\"b\":{\"type\":\"null\"}},\"required\":[\"b\"]}]}",
         {"{\"a\":1,\"b\":null}"},
         {"{\"a\":1}", "{\"b\":null}"}},
        {"{\"properties\":{\"a\":{\"minimum\":3,\"type\":\"integer\"}},\"allOf\":[{\"properties\":{"
         "\"a\":{\"maximum\":5}}}],\"required\":[\"a\"]}",
         {"{\"a\":3}", "{\"a\":5}"},
         {"{\"a\":2}", "{\"a\":6}"}},
        {"{\"type\":\"object\",\"properties\":{\"kind\":{\"enum\":[\"a\",\"b\"]}},\"required\":["
         "\"kind\"],"
         "\"anyOf\":[{\"properties\":{\"x\":{\"type\":\"null\"}},\"required\":[\"x\"]},{"
         "\"properties\":{\"y\":{\"type\":\"null\"}},\"required\":[\"y\"]}]}",
         {"{\"kind\":\"a\",\"x\":null}", "{\"kind\":\"b\",\"y\":null}"},
         {"{\"kind\":\"a\"}", "{\"kind\":\"c\",\"x\":null}"}},
        {"{\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},"
         "\"next\":{\"anyOf\":[{\"$ref\":\"#/$defs/node\"},{\"type\":\"null\"}]}},"
         "\"required\":[\"v\",\"next\"]}},\"$ref\":\"#/$defs/node\"}",
         {"{\"v\":1,\"next\":null}",
          "{\"v\":1,\"next\":{\"v\":2,\"next\":{\"v\":3,\"next\":null}}}"},
         {"{\"v\":1}", "{\"v\":1,\"next\":{}}"}},
        {"{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}", {"[]", "[[],[[]]]"}, {"[1]", "[[]"}},
        {"{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}", {"null"}, {"1"}},
        {"{}", {"1", "\"a\"", "{\"a\":[1,{}]}", "null"}, {"", "a"}},
        {"true", {"1", "[true]"}, {"tru"}},
        {"{\"title\":\"T\",\"description\":\"D\",\"default\":1,\"examples\":[1],\"$schema\":\"x\","
         "\"$id\":\"y\",\"type\":\"null\"}",
         {"null"},
         {"1"}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t k = 0; k < 8 && cases[i].yes[k]; k++) {
            if (takes(cases[i].schema, str_of(cases[i].yes[k]))) continue;
            print_error("%s refuses %s\n", cases[i].schema, cases[i].yes[k]);
            fail();
        }
        for (size_t k = 0; k < 8 && cases[i].no[k]; k++) {
            if (!takes(cases[i].schema, str_of(cases[i].no[k]))) continue;
            print_error("%s takes %s\n", cases[i].schema, cases[i].no[k]);
            fail();
        }
    }
}

/* What is not supported is said by name; what cannot be is refused, quickly. */
static void test_refused(void **state)
{
    static const struct {
        const char *schema;
        enum err e;
        const char *names;
    } cases[] = {
        {"{\"type\":\"object\",\"patternProperties\":{\"^a\":{}}}", ERR_UNSUPPORTED,
         "patternProperties"},
        {"{\"type\":\"array\",\"items\":{\"not\":{}}}", ERR_UNSUPPORTED, "not"},
        {"{\"type\":\"integer\",\"multipleOf\":2}", ERR_UNSUPPORTED, "multipleOf"},
        {"{\"type\":\"array\",\"uniqueItems\":true}", ERR_UNSUPPORTED, "uniqueItems"},
        {"{\"type\":\"integer\",\"exclusiveMinimum\":2}", ERR_UNSUPPORTED, "exclusiveMinimum"},
        {"{\"if\":{},\"then\":{}}", ERR_UNSUPPORTED, "if"},
        {"{\"type\":\"string\",\"pattern\":\"(?=a)b\"}", ERR_UNSUPPORTED, "look-around"},
        {"{\"type\":\"string\",\"pattern\":\"(a)\\\\1\"}", ERR_UNSUPPORTED, "pattern"},
        {"{\"type\":\"string\",\"pattern\":\"a**\"}", ERR_UNSUPPORTED, "pattern"},
        {"{\"type\":\"string\",\"pattern\":\"(a\"}", ERR_UNSUPPORTED, "pattern"},
        {"{\"type\":\"string\",\"pattern\":\"(a{1000}){1000}\"}", ERR_LIMIT, "pattern"},
        {"{\"type\":\"string\",\"pattern\":\"((((((((a*)*)*)*)*)*)*)*)*b{999}\",\"maxLength\":"
         "100000}",
         ERR_LIMIT, "pattern"},
        {"{\"type\":\"thing\"}", ERR_INVALID, "thing"},
        {"{\"type\":5}", ERR_INVALID, ""},
        {"{\"$ref\":\"#/nowhere\"}", ERR_INVALID, "#/nowhere"},
        {"{\"$ref\":\"http://x/y\"}", ERR_INVALID, "http://x/y"},
        {"{\"$ref\":\"#\"}", ERR_INVALID, "no value"},
        {"{\"allOf\":[{\"$ref\":\"#\"}]}", ERR_INVALID, "no value"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}",
         ERR_INVALID, "no value"},
        {"{\"type\":\"array\",\"items\":{\"$ref\":\"#\"},\"minItems\":1}", ERR_INVALID, "no value"},
        {"{\"enum\":[]}", ERR_INVALID, "no value"},
        {"{\"type\":\"integer\",\"minimum\":5,\"maximum\":4}", ERR_INVALID, "no value"},
        {"{\"type\":\"string\",\"minLength\":5,\"maxLength\":4}", ERR_INVALID, "no value"},
        {"{\"allOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", ERR_INVALID, "no value"},
        {"false", ERR_INVALID, "no value"},
        {"[]", ERR_INVALID, ""},
        {"\"x\"", ERR_INVALID, ""},
        {"{\"type\":", ERR_INVALID, "JSON"},
        {"{\"minLength\":-1}", ERR_INVALID, "minLength"},
        {"{\"properties\":[]}", ERR_INVALID, "properties"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grammar *g = NULL;
        struct err_note why = {0};
        enum err e = grammar_new_text(&g, bytes_vocab, str_of(cases[i].schema), &why);
        if (e != cases[i].e || strstr(why.text, cases[i].names) == NULL) {
            print_error("%s: %d %s\n", cases[i].schema, e, why.text);
            fail();
        }
    }
}

static void add_many(struct buf *b, const char *before, const char *each, int count,
                     const char *after)
{
    buf_init(b, 8 << 20);
    buf_add(b, str_of(before));
    for (int i = 0; i < count; i++) buf_addf(b, each, i);
    buf_add(b, str_of(after));
}

/* Schemas built to be slow or large end soon, one way or the other. */
static void test_hostile_schemas(void **state)
{
    static const struct {
        const char *before, *each, *after;
        int count;
        enum err e;
    } cases[] = {
        {"{\"properties\":{", "\"p%d\":{\"type\":\"string\"},", "\"z\":{}}}", 5000, ERR_LIMIT},
        {"{\"enum\":[", "\"value number %d\",", "0]}", 8000, ERR_LIMIT},
        {"", "{\"items\":", "{}", 3000, ERR_INVALID},
        {"{\"anyOf\":[", "{\"anyOf\":[{\"const\":%d},{\"type\":\"null\"}]},", "true]}", 200,
         ERR_LIMIT},
        {"{\"allOf\":[", "{\"anyOf\":[{\"minLength\":%d},{\"maxLength\":7}]},", "true]}", 31,
         ERR_LIMIT},
        {"{\"allOf\":[", "{\"minLength\":%d},", "true]}", 100, ERR_LIMIT},
        {"{\"$defs\":{", "\"d%d\":{\"allOf\":[{\"$ref\":\"#\"},{\"$ref\":\"#/$defs/d0\"}]},",
         "\"e\":{}},\"anyOf\":[{\"$ref\":\"#/$defs/d1\"},{\"type\":\"null\"}]}", 20, ERR_NONE},
        {"{\"title\":\"", "%d padding ", "\"}", 30000, ERR_LIMIT},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        struct grammar *g = NULL;
        struct err_note why = {0};
        add_many(&b, cases[i].before, cases[i].each, cases[i].count, cases[i].after);
        for (int k = 0; k < cases[i].count && cases[i].before[0] == '\0'; k++)
            buf_add_char(&b, '}');
        uint64_t from = clock_mono_us();
        enum err e = grammar_new_text(&g, bytes_vocab, buf_str(&b), &why);
        uint64_t took = clock_mono_us() - from;
        if (e != cases[i].e) print_error("case %zu: %d %s\n", i, e, why.text);
        check_int(e, cases[i].e);
        check_true(took < check_slow(2 * 1000 * 1000)); /* milliseconds without a sanitizer */
        if (!e) grammar_free(g);
        buf_fini(&b);
    }
}

/* ---- random walks over the built-in model's tokens ---- */

struct model {
    struct files *files;
    struct vocab *vocab;
    struct grammar_vocab *tokens;
    int32_t end;
};

static str model_bytes(const void *ctx, int32_t id)
{
    const struct vocab *v = ctx;
    return vocab_has(v, id) && !vocab_is_special(v, id) ? vocab_bytes(v, id) : STR("");
}

static void model_open(struct model *m)
{
    char path[4096];
    struct err_note why;

    snprintf(path, sizeof path, "%s/model/sema-guide", getenv("SEMA_SOURCE_ROOT"));
    check_int(files_open(&m->files, path, &why), ERR_NONE);
    check_int(vocab_open(&m->vocab, m->files, &why), ERR_NONE);
    m->end = vocab_find(m->vocab, vocab_role(m->vocab, "eos_token"));
    check_int(grammar_vocab_new(&m->tokens, vocab_size(m->vocab), model_bytes, m->vocab, &m->end,
                                1),
              ERR_NONE);
}

static void model_close(struct model *m)
{
    grammar_vocab_free(m->tokens);
    vocab_close(m->vocab);
    files_close(m->files);
}

static bool allowed(const uint64_t *mask, int32_t id)
{
    return mask[id / 64] >> (id % 64) & 1;
}

/* Any allowed token; late in the walk one that closes something, if there is one. */
static int32_t choose(const struct model *m, const uint64_t *mask, struct random *r, int step)
{
    int32_t size = vocab_size(m->vocab), best = -1;
    uint64_t seen = 0, closing_seen = 0;
    int32_t closing = -1;

    if (step > 40 && allowed(mask, m->end)) return m->end;
    for (int32_t id = 0; id < size; id++) {
        if (!allowed(mask, id)) continue;
        str b = vocab_bytes(m->vocab, id);
        if (random_next(r) % ++seen == 0) best = id;
        bool closes = b.len && strchr("\"]}", b.at[0]) && (b.len == 1 || step < 60);
        if (closes && random_next(r) % ++closing_seen == 0) closing = id;
    }
    bool close = closing >= 0 && (step > 60 || random_next(r) % 4 == 0);
    return close ? closing : best;
}

static void walk_schema(struct model *m, const char *schema, int walks)
{
    yyjson_doc *doc = yyjson_read(schema, strlen(schema), 0);
    struct random r;
    struct buf text;
    int complete = 0;

    random_seed(&r, 7);
    buf_init(&text, 1 << 20);
    for (int i = 0; i < walks; i++) {
        struct grammar *g;
        struct err_note why;
        bool ended = false;
        check_int(grammar_new(&g, m->tokens, yyjson_doc_get_root(doc), &why), ERR_NONE);
        buf_clear(&text);
        for (int step = 0; step < 400 && !ended; step++) {
            const uint64_t *mask = grammar_mask(g);
            assert_non_null(mask);
            int32_t id = choose(m, mask, &r, step);
            check_true(id >= 0);
            check_true(grammar_accept(g, id));
            ended = id == m->end;
            if (!ended) buf_add(&text, vocab_bytes(m->vocab, id));
        }
        if (ended) {
            struct json_fault fault;
            yyjson_doc *value;
            complete++;
            if (json_read(&value, buf_str(&text), 512, JSON_PLAIN, &fault)) {
                print_error("%s: not JSON: %.*s\n", schema, STR_ARG(buf_str(&text)));
                fail();
            }
            if (!schema_holds(yyjson_doc_get_root(doc), yyjson_doc_get_root(doc),
                              yyjson_doc_get_root(value))) {
                print_error("%s: does not hold: %.*s\n", schema, STR_ARG(buf_str(&text)));
                fail();
            }
            yyjson_doc_free(value);
        }
        grammar_free(g);
    }
    if (complete < walks / 2)
        print_error("%s: only %d of %d walks came to an end\n", schema, complete, walks);
    check_true(complete >= walks / 2);
    buf_fini(&text);
    yyjson_doc_free(doc);
}

static void test_random_walks(void **state)
{
    static const char *const schemas[] = {
        "{\"type\":\"object\"}",
        "{}",
        "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"age\":{\"type\":"
        "\"integer\",\"minimum\":0,\"maximum\":150},"
        "\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":5},\"maxItems\":"
        "3}},\"required\":[\"name\",\"age\"]}",
        "{\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":\"number\"},{\"enum\":[\"a\",\"b\","
        "null]}]},\"minItems\":1,\"maxItems\":4}",
        "{\"type\":\"string\",\"minLength\":3,\"maxLength\":6}",
        "{\"type\":\"string\",\"pattern\":\"^[a-z]{2,4}( \\\\w+)?$\"}",
        "{\"type\":\"string\",\"format\":\"date-time\"}",
        "{\"type\":\"number\",\"minimum\":-2,\"maximum\":30}",
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"boolean\"},\"abc\":{\"type\":"
        "\"null\"}},\"additionalProperties\":{\"type\":\"integer\"}}",
        "{\"$defs\":{\"t\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},"
        "\"kids\":{\"type\":\"array\",\"maxItems\":2,"
        "\"items\":{\"$ref\":\"#/$defs/t\"}}},\"required\":[\"v\"]}},\"$ref\":\"#/$defs/t\"}",
        "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"x\"},\"n\":{\"type\":"
        "\"integer\"}},\"required\":[\"k\",\"n\"]},"
        "{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"y\"},\"s\":{\"type\":\"string\","
        "\"format\":\"uuid\"}},\"required\":[\"k\",\"s\"]}]}",
    };
    struct model m;

    model_open(&m);
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++) walk_schema(&m, schemas[i], 20);
    model_close(&m);
}

static const char *cstr(str s)
{
    static char text[256];
    snprintf(text, sizeof text, "%.*s", STR_ARG(s));
    return text;
}

/* The mask says yes exactly where accepting does. */
static void test_mask_is_exact(void **state)
{
    static const char schema[] = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\","
                                 "\"maxLength\":9},\"b\":{\"type\":\"array\",\"items\":"
                                 "{\"type\":\"number\"}}},\"additionalProperties\":{\"type\":"
                                 "\"string\",\"pattern\":\"x+[^y]{0,3}\"}}";
    static const char text[] = "{\"a\":\"he said \", \"b\":[1.5,-20],\"k\":\"xx\xc3\xa9\"}";
    struct model m;
    struct err_note why;

    model_open(&m);
    for (size_t upto = 0; upto <= sizeof text - 1; upto++) {
        struct grammar *g, *probe;
        check_int(grammar_new_text(&g, m.tokens, str_of(schema), &why), ERR_NONE);
        check_true(grammar_accept_text(g, str_span(text, upto)));
        const uint64_t *mask = grammar_mask(g);
        assert_non_null(mask);
        check_int(grammar_new_text(&probe, m.tokens, str_of(schema), &why), ERR_NONE);
        for (int32_t id = 0; id < vocab_size(m.vocab); id++) {
            str bytes = model_bytes(m.vocab, id);
            /* Tokens that leave a string or a number, all of them; of the others a few. */
            bool leaves = bytes.len > 1 && strpbrk(cstr(bytes), "\",:}]");
            if (!leaves && id > 40 && id % 97 != (int32_t)upto) continue;
            bool takes_it = id == m.end && grammar_done(g);
            if (bytes.len) {
                grammar_free(probe);
                check_int(grammar_new_text(&probe, m.tokens, str_of(schema), &why), ERR_NONE);
                check_true(grammar_accept_text(probe, str_span(text, upto)));
                takes_it = takes_it || grammar_accept_text(probe, bytes);
            }
            if (allowed(mask, id) != takes_it)
                print_error("after %.*s: token %d \"%.*s\"\n", (int)upto, text, id, STR_ARG(bytes));
            check_int(allowed(mask, id), takes_it);
        }
        grammar_free(probe);
        grammar_free(g);
    }
    model_close(&m);
}

/* Long answers: numbers of states are forgotten on the way and found again. */
static void test_long_answer(void **state)
{
    struct grammar *g;
    struct err_note why;

    check_int(grammar_new_text(
                  &g, bytes_vocab,
                  STR("{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":60000}}"),
                  &why),
              ERR_NONE);
    check_true(grammar_accept_text(g, STR("[\"")));
    for (int i = 0; i < 50000; i++) check_true(grammar_accept_text(g, STR("x")));
    const uint64_t *mask = grammar_mask(g);
    check_true(mask && allowed(mask, 'y') && allowed(mask, '"') && !allowed(mask, '\n'));
    for (int i = 0; i < 10000; i++) check_true(grammar_accept_text(g, STR("\xc3\xa9")));
    mask = grammar_mask(g);
    check_true(mask && !allowed(mask, 'y') && allowed(mask, '"'));
    check_true(grammar_accept_text(g, STR("\"]")));
    check_true(grammar_done(g) && grammar_ended(g));
    mask = grammar_mask(g);
    check_true(mask && allowed(mask, 256) && !allowed(mask, ' '));
    check_true(!grammar_accept(g, ' '));
    check_true(grammar_accept(g, 256));
    check_true(grammar_mask(g) == NULL);
    grammar_free(g);

    check_int(grammar_new_text(&g, bytes_vocab, STR("{}"), &why), ERR_NONE);
    for (int i = 0; i < 20000; i++) check_true(grammar_accept_text(g, STR("[")));
    for (int i = 0; i < 20000; i++) check_true(grammar_accept_text(g, STR("]")));
    check_true(grammar_ended(g));
    grammar_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),           cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hostile_schemas), cmocka_unit_test(test_random_walks),
        cmocka_unit_test(test_mask_is_exact),   cmocka_unit_test(test_long_answer),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
