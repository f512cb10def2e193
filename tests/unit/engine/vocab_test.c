/* Tokenizers: what holds for every one of them, on small ones whose ids can be followed by hand.
 * That published ones give the reference's ids is tests/golden/tokenizer.py. */
#include "vocab_small.h"

#include <time.h>

static const char chat[] = SMALL_BYTE_LEVEL
    ",'added_tokens':["
    "{'id':259,'content':'<|im_end|>','special':true,'normalized':false},"
    "{'id':260,'content':'<|im_start|>','special':true,'normalized':false},"
    "{'id':261,'content':'<tool_call>','special':false,'normalized':false},"
    "{'id':262,'content':'</s>','special':true,'normalized':false},"
    "{'id':263,'content':'\\n\\n','special':false,'normalized':false},"
    "{'id':264,'content':'aba','special':true,'normalized':false},"
    "{'id':265,'content':'bax','special':true,'normalized':false}],"
    "'post_processor':{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'B'}},"
    "{'Sequence':{'id':'A'}},{'SpecialToken':{'id':'E'}}],"
    "'special_tokens':{'B':{'ids':[260]},'E':{'ids':[262,259]}}}";

static void test_lookup(void **state)
{
    struct vocab *v = small_open(chat);

    check_int(vocab_size(v), 266);
    check_int(vocab_find(v, STR("<|im_end|>")), 259);
    check_int(vocab_find(v, STR("abab")), 257);
    check_int(vocab_find(v, STR("nothing")), -1);
    check_true(vocab_has(v, 265) && !vocab_has(v, 266) && !vocab_has(v, -1));
    check_true(vocab_is_special(v, 259) && !vocab_is_special(v, 261) && !vocab_is_special(v, 256));
    check_str(vocab_bytes(v, 257), STR("abab"));
    check_str(vocab_bytes(v, 0xE9), STR("\xE9"));
    check_str(vocab_bytes(v, 259), STR(""));
    check_str(vocab_bytes(v, 261), STR("<tool_call>"));
    check_str(vocab_role(v, "eos_token"), STR(""));
    vocab_close(v);
    vocab_close(NULL);
}

static void test_encode(void **state)
{
    struct vocab *v = small_open(chat);
    struct ids ids = {0};

    check_ids(v, STR(""), VOCAB_PLAIN, "");
    check_ids(v, STR("bab"), VOCAB_PLAIN, "98 256");
    check_ids(v, STR("cababb"), VOCAB_ADD_SPECIAL, "260 99 264 98 98 262 259");
    check_ids(v, STR("<|im_end|>b<tool_call>\n\n"), VOCAB_PLAIN, "259 98 261 263");
    check_ids(v, STR("\xC3\xA9"), VOCAB_PLAIN, "195 169");
    check_ids(v, STR("a\xFFz"), VOCAB_PLAIN, "97 239 191 189 122"); /* bad UTF-8 is U+FFFD */

    /* What was there stays in front, and a failure takes only its own part back. */
    _Atomic bool stop = true;
    check_int(ids_add(&ids, 7), ERR_NONE);
    check_int(vocab_encode(v, STR("zzz<|im_end|>zzz"), VOCAB_PLAIN, &ids, &stop, NULL),
              ERR_CANCELLED);
    check_int(ids.len, 1);
    ids_fini(&ids);
    vocab_close(v);
}

/* What a user writes never becomes a control token, wherever it stands and however it is put
 * together. */
static void test_guard(void **state)
{
    static const struct {
        const char *before, *user, *after; /* a template's text around a user's */
        const char *ids;
    } cases[] = {
        {"", "b<|im_end|>b", "", "98 258 105 109 95 101 110 100 124 62 98"},
        {"<|im_end|>", "<|im_end|>", "<|im_end|>", "259 258 105 109 95 101 110 100 124 62 259"},
        {"", "<tool_call>", "", "60 116 111 111 108 95 99 97 108 108 62"},
        {"<", "/s>", "", "60 47 115 62"},      /* completes what stands before */
        {"", "x<", "/s>", "120 60 47 115 62"}, /* begins what stands behind */
        {"", "abax", "", "256 97 120"},        /* two that overlap */
        {"", "\n\n", "", "263"},               /* blanks are not control */
        {"",
         "<|im_\xF4\x8F\x9E\xA3"
         "end|>",
         "", "258 105 109 95 101 110 100 124 62"}, /* the marker itself */
        {"",
         "\xF4\x8F\x9E\xA3"
         "b",
         "", "98"},
        {"", "plain", "", "112 108 97 105 110"},
    };
    struct vocab *v = small_open(chat);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf text;
        buf_init(&text, 4096);
        buf_add(&text, str_of(cases[i].before));
        vocab_guard(v, str_of(cases[i].user), &text);
        buf_add(&text, str_of(cases[i].after));
        check_ids(v, buf_str(&text), VOCAB_GUARDED, cases[i].ids);
        buf_fini(&text);
    }
    vocab_close(v);
}

/* Text that cannot be mistaken for anything goes through unchanged: templates compare and trim it.
 */
static void test_guard_leaves(void **state)
{
    static const char *const texts[] = {"user", "im_start", " padded ", "", "a > b", "\n\n", "s"};
    struct vocab *v = small_open(SMALL_BYTE_LEVEL ",'added_tokens':["
                                                  "{'id':259,'content':'<|user|>','special':true},"
                                                  "{'id':260,'content':'</s>','special':true},"
                                                  "{'id':261,'content':'\\n\\n'}]");

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct buf out;
        buf_init(&out, 4096);
        vocab_guard(v, str_of(texts[i]), &out);
        check_str(buf_str(&out), str_of(texts[i]));
        buf_fini(&out);
    }
    vocab_close(v);
}

/* Also where added tokens are searched in normalized text, as GPT-2's is. */
static void test_guard_normalized(void **state)
{
    struct vocab *v = small_open(SMALL_BYTE_LEVEL
                                 ",'added_tokens':["
                                 "{'id':259,'content':'<|x|>','special':true,'normalized':true}],"
                                 "'normalizer':{'type':'NFC'}");
    struct buf text;

    check_ids(v, STR("b<|x|>"), VOCAB_PLAIN, "98 259");
    buf_init(&text, 64);
    vocab_guard(v, STR("b<|x|>"), &text);
    check_ids(v, buf_str(&text), VOCAB_GUARDED, "98 258 120 124 62");
    buf_fini(&text);
    vocab_close(v);
}

static void test_added_flags(void **state)
{
    struct vocab *v =
        small_open(SMALL_BYTE_LEVEL ",'added_tokens':["
                                    "{'id':259,'content':'<L>','special':true,'lstrip':true},"
                                    "{'id':260,'content':'<R>','special':true,'rstrip':true},"
                                    "{'id':261,'content':'zz','special':true,'single_word':true},"
                                    "{'id':262,'content':'<R>x','special':true}]");

    check_ids(v, STR("z \n<L> z"), VOCAB_PLAIN, "122 259 32 122");
    check_ids(v, STR("z <R>\xC2\xA0 z"), VOCAB_PLAIN, "122 32 260 122");
    check_ids(v, STR("<R> <L>"), VOCAB_PLAIN, "260 259");
    check_ids(v, STR("<R>x"), VOCAB_PLAIN, "262"); /* the longest at one place */
    check_ids(v, STR("zz czz"), VOCAB_PLAIN, "261 32 99 122 122");
    vocab_close(v);
}

/* ---- decoding ---- */

/* However tokens come, what a stream gives is whole characters, never changes, and is the decoded
 * text. */
static void test_stream_is_whole(void **state)
{
    struct vocab *v = small_open(chat);
    uint32_t seed = 1;

    for (int round = 0; round < 300; round++) {
        int32_t ids[40];
        struct buf whole, streamed;
        struct vocab_stream s;

        buf_init(&whole, 4096);
        buf_init(&streamed, 4096);
        vocab_stream_init(&s, v, true);
        for (size_t i = 0; i < 40; i++) {
            seed = seed * 1664525 + 1013904223;
            ids[i] = (int32_t)(seed >> 16) % 270 - 2; /* some name nothing */
            if (round % 2 && ids[i] > 1)
                ids[i] = 0xE2 - (ids[i] % 3 ? 0x42 : 0); /* many cut characters */
            size_t before = streamed.len;
            vocab_stream_add(&s, ids[i], &streamed);
            check_true(utf8_valid(str_tail(buf_str(&streamed), before)));
        }
        vocab_stream_end(&s, &streamed);
        check_int(vocab_decode(v, ids, 40, true, &whole), ERR_NONE);
        check_str(buf_str(&streamed), buf_str(&whole));
        buf_fini(&whole);
        buf_fini(&streamed);
    }
    vocab_close(v);
}

static const char sentence[] =
    ",'normalizer':{'type':'Sequence','normalizers':[{'type':'Prepend','prepend':'\xE2\x96\x81'},"
    "{'type':'Replace','pattern':{'String':' '},'content':'\xE2\x96\x81'}]},"
    "'decoder':{'type':'Sequence','decoders':["
    "{'type':'Replace','pattern':{'String':'\xE2\x96\x81'},'content':' '},{'type':'ByteFallback'},"
    "{'type':'Fuse'},{'type':'Strip','content':' ','start':1,'stop':0}]},"
    "'added_tokens':[{'id':259,'content':'</s>','special':true},"
    "{'id':260,'content':'\xE2\x96\x81','normalized':false},"
    "{'id':261,'content':'<0xE2>','normalized':false},"
    "{'id':262,'content':'<0x82>','normalized':false},"
    "{'id':263,'content':'<0xAC>','normalized':false}]";

static void check_stream(const struct vocab *v, const int32_t *ids, size_t count, bool mid,
                         str want)
{
    struct vocab_stream s;
    struct buf out;

    buf_init(&out, 4096);
    vocab_stream_init(&s, v, true);
    if (mid) vocab_stream_mid(&s);
    for (size_t i = 0; i < count; i++) vocab_stream_add(&s, ids[i], &out);
    vocab_stream_end(&s, &out);
    check_str(buf_str(&out), want);
    buf_fini(&out);
}

/* The first blank of a reply goes, whichever token brings it; in the middle of a text it stays. */
static void test_stream_sentence(void **state)
{
    struct vocab *v = small_open(sentence);
    const int32_t blanks[] = {259, 260, 260, 97}, euro[] = {97, 261, 262, 263},
                  cut[] = {261, 262, 97};

    check_stream(v, blanks, 4, false, STR(" a"));
    check_stream(v, blanks, 4, true, STR("  a"));
    check_stream(v, euro, 4, false, STR("a\xE2\x82\xAC"));
    check_stream(v, cut, 3, false,
                 STR("\xEF\xBF\xBD\xEF\xBF\xBD"
                     "a")); /* one U+FFFD a byte, as vocab_decode */
    check_stream(v, cut, 1, false, STR("\xEF\xBF\xBD"));
    vocab_close(v);
}

/* ---- time ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double encode_time(const struct vocab *v, const char *unit, size_t count)
{
    struct buf text;
    struct ids ids = {0};

    buf_init(&text, 1 << 24);
    while (count--) buf_add(&text, str_of(unit));
    double begin = seconds();
    check_int(vocab_encode(v, buf_str(&text), VOCAB_PLAIN, &ids, NULL, NULL), ERR_NONE);
    double took = seconds() - begin;
    ids_fini(&ids);
    buf_fini(&text);
    return took;
}

/* 64 KiB of one letter: under 50 ms on an idle machine without sanitizers; what is tested here is
 * that it is far from the minutes of a quadratic one, and that eight times the text is about eight
 * times that. */
static void test_one_letter(void **state)
{
    static const char *const units[] = {"a",  "_", " ", "\xE4\xBD\xA0", "\xF0\x9F\x98\x80",
                                        "ab", "\n"};
    struct vocab *v = small_open(chat);

    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        double small = encode_time(v, units[i], 65536), large = encode_time(v, units[i], 524288);
        check_true(small < 2);
        check_true(large < small * 40 + 1);
    }
    vocab_close(v);
}

/* Runs of marks in the worst order, which sorting by exchange takes minutes for. */
static void test_marks(void **state)
{
    struct vocab *v = small_open(SMALL_BYTE_LEVEL ",'normalizer':{'type':'NFD'}");

    check_true(encode_time(v, "\xCC\x81\xCC\xA3\xCC\xB4", 100000) < 10);
    check_ids(v, STR("q\xCC\x81\xCC\xA3"), VOCAB_PLAIN, "113 204 163 204 129");
    vocab_close(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_guard),
        cmocka_unit_test(test_guard_leaves),
        cmocka_unit_test(test_guard_normalized),
        cmocka_unit_test(test_added_flags),
        cmocka_unit_test(test_stream_is_whole),
        cmocka_unit_test(test_stream_sentence),
        cmocka_unit_test(test_one_letter),
        cmocka_unit_test(test_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
