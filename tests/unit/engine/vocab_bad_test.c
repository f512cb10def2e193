/* Damaged and hostile tokenizer files: one line that names the file and the reason, nothing worse.
 */
#include "vocab_small.h"

static void check_refused(str json, const char *reason)
{
    struct vocab *v = NULL;
    struct err_note why = {0};
    enum err e = small_open_text(&v, json, &why);

    if (e != ERR_MODEL_UNUSABLE)
        print_error("opened: %.*s\n", (int)(json.len < 300 ? json.len : 300), json.at);
    check_int(e, ERR_MODEL_UNUSABLE);
    check_true(v == NULL);
    check_true(strchr(why.text, '\n') == NULL);
    if (!strstr(why.text, "small: ") || !strstr(why.text, "tokenizer.json") ||
        !strstr(why.text, reason)) {
        print_error("says \"%s\", not \"%s\"\n", why.text, reason);
        fail();
    }
}

/* A whole file of which one part is bad. */
static void test_parts(void **state)
{
    static const struct {
        const char *json, *reason;
    } cases[] = {
        {"", "at character 0"},
        {"[]", "not a JSON object"},
        {"{}", "model"},
        {"{\"model\":7}", "model"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", "\"Unigram\" is not supported"},
        {"{\"model\":{\"vocab\":[],\"merges\":[]}}", "vocabulary is not an object"},
        {"{\"model\":{\"vocab\":{},\"merges\":[]}}", "vocabulary is empty"},
        {"{\"model\":{\"vocab\":{\"a\":-1},\"merges\":[]}}", "not a small whole number"},
        {"{\"model\":{\"vocab\":{\"a\":1.5},\"merges\":[]}}", "not a small whole number"},
        {"{\"model\":{\"vocab\":{\"a\":99999999999999999999},\"merges\":[]}}",
         "not a small whole number"},
        {"{\"model\":{\"vocab\":{\"a\":\"0\"},\"merges\":[]}}", "not a small whole number"},
        {"{\"model\":{\"vocab\":{\"a\":9000000},\"merges\":[]}}",
         "far beyond the number of tokens"},
        {"{\"model\":{\"vocab\":{\"a\":0}}}", "merges is not a list"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":{}}}", "merges is not a list"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a\"]}}", "entry 0 is not a pair"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}}", "entry 0 is not a pair"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[[1,2]]}}", "entry 0 is not a pair"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", "entry 0 joins tokens"},
        {"{\"model\":{\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a b\"]}}", "entry 0 joins tokens"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused(str_of(cases[i].json), cases[i].reason);
}

static void test_pipeline(void **state)
{
    static const struct {
        const char *rest, *reason;
    } cases[] = {
        {",'added_tokens':{}", "added_tokens is not a list"},
        {",'added_tokens':[{'id':1}]", "without a valid content and id"},
        {",'added_tokens':[{'id':-1,'content':'x'}]", "without a valid content and id"},
        {",'added_tokens':[{'id':16000000,'content':'x'}]", "far beyond the number of tokens"},
        {",'normalizer':{'type':'Precompiled'}", "normalizer \"Precompiled\" is not supported"},
        {",'normalizer':[]", "normalizer \"\" is not supported"},
        {",'normalizer':{'type':'Replace','pattern':{'Regex':'['},'content':''}",
         "normalizer Replace: a pattern"},
        {",'normalizer':{'type':'Replace','pattern':{'String':''},'content':''}",
         "normalizer Replace: a pattern"},
        {",'pre_tokenizer':{'type':'Split','pattern':{'Regex':'(a'}}",
         "pre_tokenizer Split: a pattern"},
        {",'pre_tokenizer':{'type':'Split','pattern':{'Regex':'a)'}}",
         "pre_tokenizer Split: a pattern"},
        {",'pre_tokenizer':{'type':'Split','pattern':{'Regex':'(?<=(a'}}", "is not valid"},
        {",'pre_tokenizer':{'type':'Split','pattern':{'String':'a'},'behavior':"
         "'x'}",
         "unknown behavior"},
        {",'pre_tokenizer':{'type':'Metaspace','replacement':'ab'}", "not one character"},
        {",'pre_tokenizer':{'type':'UnicodeScripts'}", "\"UnicodeScripts\" is not supported"},
        {",'decoder':{'type':'CTC'}", "decoder \"CTC\" is not supported"},
        {",'decoder':{'type':'C\\nT\u00e9'}", "decoder \"C?T??\" is not supported"},
        {",'decoder':{'type':'Strip','content':'ab'}", "decoder Strip"},
        {",'decoder':{'type':'Replace','pattern':{'String':''}}", "decoder Replace"},
        {",'post_processor':{'type':'Other'}", "post_processor"},
        {",'post_processor':{'type':'TemplateProcessing','single':[{'SpecialToken':{"
         "'id':'x'}}],"
         "'special_tokens':{'x':{'ids':[70000]}}}",
         "out of range"},
        {",'post_processor':{'type':'BertProcessing'}", "out of range"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf json;
        small_json(&json, cases[i].rest);
        check_refused(buf_str(&json), cases[i].reason);
        buf_fini(&json);
    }
}

/* Nesting, long lists of steps and texts that grow are bounded. */
static void test_bounds(void **state)
{
    struct buf json, rest;

    buf_init(&rest, 1 << 20);
    buf_add(&rest, STR(",'normalizer':{'type':'Sequence','normalizers':[{'type':'NFC'}"));
    for (int i = 0; i < 40; i++) buf_add(&rest, STR(",{'type':'NFC'}"));
    buf_add(&rest, STR("]}"));
    buf_add_char(&rest, '\0');
    small_json(&json, rest.at);
    check_refused(buf_str(&json), "more than");
    buf_fini(&json);

    buf_clear(&rest);
    for (int i = 0; i < 100; i++)
        buf_add(&rest, i ? STR("{'type':'Sequence','normalizers':[") : STR(",'normalizer':{'a':["));
    for (int i = 0; i < 100; i++) buf_add(&rest, STR("]}"));
    buf_add_char(&rest, '\0');
    small_json(&json, rest.at);
    check_refused(buf_str(&json), "at character");
    buf_fini(&json);

    buf_clear(&rest);
    buf_add(&rest, STR(",'decoder':{'type':'Sequence','decoders':["));
    for (int i = 0; i < 20; i++)
        buf_addf(&rest, "%s{'type':'Replace','pattern':{'String':'a'},'content':'aaaaaaaaaa'}",
                 i ? "," : "");
    buf_add(&rest, STR("]}"));
    buf_add_char(&rest, '\0');
    small_json(&json, rest.at);
    struct vocab *v = NULL;
    struct buf out;
    const int32_t a[] = {'a'};
    check_int(small_open_text(&v, buf_str(&json), NULL), ERR_NONE);
    buf_init(&out, 1 << 30);
    check_int(vocab_decode(v, a, 1, false, &out), ERR_MEMORY);
    vocab_close(v);
    buf_fini(&out);
    buf_fini(&json);
    buf_fini(&rest);
}

/* Cut anywhere, or with any byte changed, a file opens or is refused with a note; nothing else. */
static void test_cut_and_changed(void **state)
{
    struct buf json;

    small_json(&json, SMALL_BYTE_LEVEL
               ",'added_tokens':[{'id':259,'content':'<x>','special':true}],"
               "'normalizer':{'type':'NFC'},'post_processor':{'type':'ByteLevel'}");
    for (size_t cut = 0; cut < json.len; cut += 7)
        check_refused(str_head(buf_str(&json), cut), "at character");
    for (size_t i = 0; i < json.len; i += 3) {
        static const char bytes[] = {'"', '{', ']', '9', 0, (char)0xFF};
        char was = json.at[i];
        json.at[i] = bytes[i / 3 % sizeof bytes];
        struct vocab *v = NULL;
        struct err_note why = {0};
        enum err e = small_open_text(&v, buf_str(&json), &why);
        check_true(e == ERR_NONE ||
                   (e == ERR_MODEL_UNUSABLE && why.text[0] && !strchr(why.text, '\n')));
        if (v) check_ids(v, STR(""), VOCAB_PLAIN, "");
        vocab_close(v);
        json.at[i] = was;
    }
    buf_fini(&json);
}

/* A pattern that would run for ever ends with an error, in our matcher and in PCRE2. */
static void test_slow_patterns(void **state)
{
    static const char *const patterns[] = {"(a|a)*b", "((a+)b?)+c", "(?:a?){30}a{30}x",
                                           "(a+)+\\\\1[bc]"};
    char text[4000];

    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        char rest[300];
        struct ids ids = {0};
        struct err_note why = {0};
        snprintf(rest, sizeof rest, ",'pre_tokenizer':{'type':'Split','pattern':{'Regex':'%s'}}",
                 patterns[i]);
        struct vocab *v = small_open(rest);
        check_int(vocab_encode(v, str_span(text, sizeof text), VOCAB_PLAIN, &ids, NULL, &why),
                  ERR_LIMIT);
        check_true(strstr(why.text, "too long") != NULL);
        check_int(ids.len, 0);
        ids_fini(&ids);
        vocab_close(v);
    }
}

static void test_growth(void **state)
{
    struct vocab *v =
        small_open(",'normalizer':{'type':'Sequence','normalizers':["
                   "{'type':'Replace','pattern':{'String':'a'},'content':'aaaaaaaaaaaaaaaa'},"
                   "{'type':'Replace','pattern':{'String':'a'},'content':'aaaaaaaaaaaaaaaa'}]}");
    static char text[100000];
    struct ids ids = {0};

    memset(text, 'a', sizeof text);
    check_int(vocab_encode(v, str_span(text, sizeof text), VOCAB_PLAIN, &ids, NULL, NULL),
              ERR_LIMIT);
    ids_fini(&ids);
    vocab_close(v);
}

/* Files beside tokenizer.json are read as carefully, and named when they are bad. */
static void test_beside(void **state)
{
    struct buf json;
    struct files *f = NULL;
    struct vocab *v = NULL;
    struct err_note why = {0};

    small_json(&json, SMALL_BYTE_LEVEL);
    struct files_blob blobs[] = {{"tokenizer.json", buf_str(&json)},
                                 {"tokenizer_config.json", STR("{\"a\":")}};
    check_int(files_of_memory(&f, blobs, 2, "small"), ERR_NONE);
    check_int(vocab_open(&v, f, &why), ERR_MODEL_UNUSABLE);
    check_true(strstr(why.text, "tokenizer_config.json") != NULL);
    files_close(f);

    blobs[1].bytes = STR("{\"eos_token\":{\"content\":\"<e>\"},\"bos_token\":null,\"pad_token\":7,"
                         "\"model_max_length\":1e30,"
                         "\"added_tokens_decoder\":{\"259\":{\"content\":\"<e>\",\"special\":true},"
                         "\"x\":{},\"260\":null,"
                         "\"99999999999\":{\"content\":\"<f>\"},\"5\":{\"content\":\"taken\"}}}");
    check_int(files_of_memory(&f, blobs, 2, "small"), ERR_NONE);
    check_int(vocab_open(&v, f, &why), ERR_NONE);
    check_str(vocab_role(v, "eos_token"), STR("<e>"));
    check_str(vocab_role(v, "bos_token"), STR(""));
    check_int(vocab_find(v, STR("<e>")), 259);
    check_int(vocab_find(v, STR("taken")), -1);
    check_int(vocab_size(v), 260);
    vocab_close(v);
    files_close(f);

    check_int(files_of_memory(&f, NULL, 0, "empty"), ERR_NONE);
    check_int(vocab_open(&v, f, &why), ERR_MODEL_UNUSABLE);
    check_true(strstr(why.text, "empty: no tokenizer") != NULL);
    files_close(f);
    buf_fini(&json);
}

/* Added tokens are numbered on from the highest one, which may be the model's own last token. */
static void test_numbered_on(void **state)
{
    struct vocab *v = NULL;
    struct err_note why = {0};

    check_int(small_open_text(&v,
                              STR("{\"model\":{\"vocab\":{\"<unk>\":52,\"a\":3},\"merges\":[]},"
                                  "\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\"},"
                                  "{\"id\":1,\"content\":\"</s>\"}]}"),
                              &why),
              ERR_NONE);
    check_int(vocab_find(v, STR("</s>")), 53);
    check_int(vocab_size(v), 54);
    vocab_close(v);
}

/* ---- tokenizer.model ---- */

/* An identity rule, the algorithm given, then pieces of text, score and type. */
static void model_add_piece(struct buf *b, const char *text, float score, int type)
{
    size_t len = strlen(text);
    buf_addf(b, "\n%c\n%c%s\x15", (char)(2 + len + 5 + 2), (char)len, text);
    buf_add(b, str_span(&score, 4));
    buf_addf(b, "\x18%c", type);
}

static enum err model_open(struct vocab **v, str bytes, struct err_note *why)
{
    struct files *f = NULL;
    struct files_blob blob = {"tokenizer.model", bytes};
    enum err e = files_of_memory(&f, &blob, 1, "small");

    if (!e) e = vocab_open(v, f, why);
    files_close(f);
    return e;
}

static void test_model(void **state)
{
    struct buf b;
    struct vocab *v = NULL;
    struct err_note why = {0};

    buf_init(&b, 4096);
    model_add_piece(&b, "<unk>", 0, 2);
    model_add_piece(&b, "<s>", 0, 3);
    model_add_piece(&b, "</s>", 0, 3);
    model_add_piece(&b, "\xE2\x96\x81", -5, 1);
    model_add_piece(&b, "a", -6, 1);
    model_add_piece(&b, "aa", -1, 1);
    model_add_piece(&b,
                    "\xE2\x96\x81"
                    "a",
                    -2, 1);
    size_t pieces = b.len;
    buf_add(&b, STR("\x12\x02\x18\x02")); /* TrainerSpec: BPE */
    buf_add(&b, STR("\x1a\x02\x20\x01")); /* NormalizerSpec: repeated blanks go */
    check_int(model_open(&v, buf_str(&b), &why), ERR_NONE);
    check_ids(v, STR("aaa"), VOCAB_PLAIN, "3 5 4"); /* "aa" scores higher than the prefixed one */
    check_ids(v, STR(" a  x"), VOCAB_ADD_SPECIAL, "1 6 3 0"); /* no token for x, no bytes */
    check_ids(v, STR("a</s>a"), VOCAB_PLAIN, "6 2 6");
    vocab_close(v);

    for (size_t cut = 0; cut < b.len; cut++) { /* never more than a refusal */
        v = NULL;
        enum err e = model_open(&v, str_head(buf_str(&b), cut), &why);
        check_true(e == ERR_NONE || e == ERR_MODEL_UNUSABLE);
        vocab_close(v);
    }
    b.len = pieces;
    check_int(model_open(&v, buf_str(&b), &why), ERR_MODEL_UNUSABLE);
    check_true(strstr(why.text, "tokenizer.model: only vocabularies of byte pair") != NULL);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),         cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_bounds),        cmocka_unit_test(test_cut_and_changed),
        cmocka_unit_test(test_slow_patterns), cmocka_unit_test(test_growth),
        cmocka_unit_test(test_beside),        cmocka_unit_test(test_numbered_on),
        cmocka_unit_test(test_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
