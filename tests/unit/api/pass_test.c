/* A request of the same dialect in and out, by OpenAI's and Anthropic's own rules: what came, and
 * what goes up, byte for byte (providers.md 3.1, 4, 5.1, 5.2; openai-compat.md 1.2). */
#include "check.h"

#include "pass_write.h"

#include "api/served/anthropic.h"
#include "api/served/google.h"
#include "api/served/openai.h"
#include "api/served/responses.h"
#include "base/loop.h"
#include "http/server.h"

static struct loop *loop;

static int setup(void **state)
{
    (void)state;
    return loop_new(&loop, NULL) ? 1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

typedef bool read_fn(struct served *s, yyjson_val *root, struct family_error *why);

struct row {
    const char *model, *came, *sent;
    enum pass_learned learned;
};

static void check_row(const struct backend_ops *ops, read_fn *read, const struct row *row)
{
    struct request r = {.body = str_of(row->came)};
    struct call call = {.r = &r};
    struct served s = {.call = &call, .arena = &r.arena, .ask = ask_none};
    struct family_error bad = {0};
    struct buf sent;
    yyjson_doc *doc;

    arena_init(&r.arena, 0);
    buf_init(&sent, 1 << 20);
    check_int(json_read(&doc, r.body, 512, JSON_RAW_NUMBERS, NULL), ERR_NONE);
    if (!read(&s, yyjson_doc_get_root(doc), &bad))
        fail_msg("%s: %.*s", row->came, STR_ARG(bad.message));
    s.ask.model = str_of(row->model);
    s.ask.stream = s.stream;
    pass_write(ops, &s.ask, loop, row->learned, &sent);
    if (!str_eq(buf_str(&sent), str_of(row->sent))) print_error("came %s\n", row->came);
    check_str(buf_str(&sent), str_of(row->sent));
    buf_fini(&sent);
    yyjson_doc_free(doc);
    arena_fini(&r.arena);
}

#define ASKED "\"messages\":[ {\"role\":\"user\",\"content\":\"a\"}]"
#define TOOL                                                                                       \
    "[ "                                                                                           \
    "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\","     \
    "\"x\":1.10}}}]"

static void test_openai(void **state)
{
    /* clang-format off */
    static const struct row rows[] = {
        /* Fields of the API pass, fields that OpenAI would refuse do not. */
        {"gpt-4o", "{\"model\":\"x\"," ASKED ",\"temperature\":0.70,\"top_k\":4,\"odd\":1,\"metadata\":{ },\"store\":false,"
                   "\"verbosity\":\"low\",\"prompt_cache_key\":\"k\",\"user\":\"u\",\"logprobs\":true,\"top_logprobs\":2}",
                   "{\"model\":\"gpt-4o\"," ASKED ",\"temperature\":0.70,\"metadata\":{ },\"store\":false,"
                   "\"verbosity\":\"low\",\"prompt_cache_key\":\"k\",\"user\":\"u\",\"logprobs\":true,\"top_logprobs\":2}", 0},
        /* A model that reasons: other names, no sampling. */
        {"o3", "{\"max_tokens\":5,\"model\":\"x\"," ASKED ",\"temperature\":0.5,\"logprobs\":true,\"stop\":\"x\",\"reasoning_effort\":\"low\"}",
               "{\"model\":\"o3\"," ASKED ",\"reasoning_effort\":\"low\",\"max_completion_tokens\":5}", 0},
        /* Whole numbers written as others; both names of the limit. */
        {"gpt-4o", "{\"model\":\"x\"," ASKED ",\"max_tokens\":100.0,\"max_completion_tokens\":7}",
                   "{\"model\":\"gpt-4o\"," ASKED ",\"max_tokens\":7}", 0},
        /* Tools: the list as it came; an empty one is none; those that only OpenAI runs are not ours to ask. */
        {"gpt-4o", "{\"model\":\"x\"," ASKED ",\"tools\":" TOOL ",\"tool_choice\":\"auto\"}",
                   "{\"model\":\"gpt-4o\"," ASKED ",\"tools\":" TOOL ",\"tool_choice\":\"auto\"}", 0},
        {"gpt-4o", "{\"model\":\"x\"," ASKED ",\"tools\":[],\"tool_choice\":\"auto\",\"parallel_tool_calls\":true}",
                   "{\"model\":\"gpt-4o\"," ASKED "}", 0},
        {"gpt-4o", "{\"model\":\"x\"," ASKED ",\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"c\"}}, {\"type\":\"function\","
                   "\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"x\":1.10}}}]}",
                   "{\"model\":\"gpt-4o\"," ASKED ",\"tools\":[{\"type\":\"function\","
                   "\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"x\":1.10}}}]}", 0},
        /* More stops than OpenAI takes. */
        {"gpt-4o", "{\"model\":\"x\"," ASKED ",\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}",
                   "{\"model\":\"gpt-4o\"," ASKED ",\"stop\":[\"a\",\"b\",\"c\",\"d\"]}", 0},
        /* What an answer of ours has and no request may: in one message only. */
        {"gpt-4o", "{\"model\":\"x\",\"messages\":[{\"role\":\"user\", \"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\","
                   "\"reasoning_content\":\"hm\",\"refusal\":null},{\"role\":\"user\",\"content\":\"c\"}]}",
                   "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\", \"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\","
                   "\"refusal\":null},{\"role\":\"user\",\"content\":\"c\"}]}", 0},
        /* "developer" is OpenAI's word. */
        {"gpt-4o", "{\"model\":\"x\",\"messages\":[{\"role\":\"developer\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"c\"}]}",
                   "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"developer\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"c\"}]}", 0},
        /* A form in JSON of which nobody speaks. */
        {"gpt-4o", "{\"model\":\"x\"," ASKED ",\"response_format\":{\"type\":\"json_object\"}}",
                   "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"system\",\"content\":\"Answer with a JSON object.\"},"
                   "{\"role\":\"user\",\"content\":\"a\"}],\"response_format\":{\"type\":\"json_object\"}}", 0},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(&backend_openai, openai_read_chat, &rows[i]);
}

#define ITEMS                                                                                      \
    "[ {\"content\":\"b\\u0065 brief\", \"role\":\"developer\"},\n "                               \
    "{\"role\":\"user\",\"content\":[ "                                                            \
    "{\"type\":\"input_text\",\"text\":\"a\"},{\"detail\":\"low\",\"type\":\"input_image\","       \
    "\"image_url\":\"data:image/png;base64,AAAA\"}]},{\"id\":\"msg_1\",\"type\":\"message\","      \
    "\"status\":\"completed\",\"role\":\"assistant\",\"phase\":\"commentary\",\"content\":[{"      \
    "\"type\":"                                                                                    \
    "\"output_text\",\"annotations\":[],\"text\":\"so\"}]},{\"arguments\":\"{ \\\"x\\\":1.10}\","  \
    "\"type\":\"function_call\",\"call_id\":\"call_9\",\"name\":\"f\"},\t{\"type\":\"function_"    \
    "call_output\","                                                                               \
    "\"call_id\":\"call_9\",\"output\":\"\"} ,{\"role\":\"user\",\"content\":\"go on\"} ]"
#define FLAT                                                                                       \
    "[ {\"name\":\"f\",\"type\":\"function\",\"parameters\":{\"type\":\"object\",\"x\":1.10}}, "   \
    "{\"type\":\"function\",\"name\":\"g\",\"parameters\":{ "                                      \
    "},\"strict\":false,\"description\":\"\"}]"
#define CUSTOM                                                                                     \
    "{\"type\":\"custom\",\"name\":\"c\", \"format\":{\"type\":\"grammar\",\"syntax\":\"lark\","   \
    "\"definition\":\"start: x\"}}"
#define CUSTOM_ITEMS                                                                               \
    "[{\"role\":\"user\",\"content\":\"a\"},{\"type\":\"custom_tool_call\",\"id\":\"ctc_1\","      \
    "\"call_id\":"                                                                                 \
    "\"k\",\"name\":\"c\",\"input\":\"x\"}, "                                                      \
    "{\"type\":\"custom_tool_call_output\",\"call_id\":\"k\","                                     \
    "\"output\":\"y\"}]"
#define SAID "\"input\":\"a\""
#define STORE ",\"store\":false"
#define INCLUDE ",\"include\":[\"reasoning.encrypted_content\"]"

static void test_responses(void **state)
{
    /* clang-format off */
    static const struct row rows[] = {
        /* Items and tools as they came; fields of the API pass, fields that OpenAI would refuse do not. */
        {"gpt-4o", "{\"input\":" ITEMS ",\"instructions\":\"b\\u0065 kind\",\"tools\":" FLAT ",\"model\":\"x\",\"temperature\":0.70,\"max_output_tokens\":100}",
                   "{\"input\":" ITEMS ",\"instructions\":\"b\\u0065 kind\",\"tools\":" FLAT ",\"model\":\"gpt-4o\",\"temperature\":0.70,\"max_output_tokens\":100" STORE "}", LEARNED_RESPONSES},
        {"gpt-4o", "{\"model\":\"x\"," SAID ",\"stream\":true,\"stream_options\":{ \"include_obfuscation\":false},\"odd\":1,\"metadata\":{ },\"store\":true,\"user\":null,\"top_logprobs\":2}",
                   "{\"model\":\"gpt-4o\"," SAID ",\"stream\":true,\"stream_options\":{ \"include_obfuscation\":false},\"metadata\":{ },\"store\":false}", LEARNED_RESPONSES},
        {"gpt-4o", "{\"model\":\"x\"," SAID ",\"stream\":false,\"stream_options\":{},\"include\":[\"reasoning.encrypted_content\"],\"reasoning\":{\"effort\":\"low\"},\"text\":{ \"format\":{\"type\":\"text\"}}}",
                   "{\"model\":\"gpt-4o\"," SAID ",\"stream\":false,\"text\":{ \"format\":{\"type\":\"text\"}}" STORE "}", LEARNED_RESPONSES},
        /* A model that reasons: no sampling, its own efforts, its thoughts encrypted. */
        {"gpt-5.3-codex", "{\"model\":\"x\"," SAID ",\"temperature\":0.5,\"reasoning\":{ \"summary\":\"concise\",\"effort\":\"high\",\"context\":\"auto\"},\"include\":[ \"reasoning.encrypted_content\"],\"store\":false}",
                          "{\"model\":\"gpt-5.3-codex\"," SAID ",\"reasoning\":{ \"summary\":\"concise\",\"effort\":\"high\",\"context\":\"auto\"},\"include\":[ \"reasoning.encrypted_content\"],\"store\":false}", 0},
        {"gpt-5.3-codex", "{\"model\":\"x\"," SAID ",\"reasoning\":{\"effort\":\"max\"},\"include\":[\"message.output_text.logprobs\"]}",
                          "{\"model\":\"gpt-5.3-codex\"," SAID ",\"reasoning\":{\"effort\":\"high\"},\"include\":[\"message.output_text.logprobs\",\"reasoning.encrypted_content\"]" STORE "}", 0},
        {"gpt-5.3-codex", "{\"model\":\"x\"," SAID ",\"reasoning\":{\"effort\":\"low\",\"summary\":\"auto\"},\"text\":{\"verbosity\":\"low\",\"odd\":1}}",
                          "{\"model\":\"gpt-5.3-codex\"," SAID ",\"reasoning\":{\"effort\":\"low\"},\"text\":{\"verbosity\":\"low\",\"odd\":1}" STORE INCLUDE "}", LEARNED_NO_SUMMARY},
        /* Thoughts: OpenAI's own as they came; those that nothing followed, or that bring nothing, stay away; so do items that nobody here knows. */
        {"gpt-5.3-codex", "{\"model\":\"x\",\"input\":[{\"role\":\"user\",\"content\":\"a\"},{\"type\":\"reasoning\", \"id\":\"rs_1\",\"summary\":[ {\"type\":\"summary_text\",\"text\":\"x\"}],\"encrypted_content\":\"gA\"},"
                          "{\"role\":\"assistant\",\"content\":\"b\"}, {\"role\":\"user\",\"content\":\"c\"}]" STORE INCLUDE "}",
                          "{\"model\":\"gpt-5.3-codex\",\"input\":[{\"role\":\"user\",\"content\":\"a\"},{\"type\":\"reasoning\", \"id\":\"rs_1\",\"summary\":[ {\"type\":\"summary_text\",\"text\":\"x\"}],\"encrypted_content\":\"gA\"},"
                          "{\"role\":\"assistant\",\"content\":\"b\"}, {\"role\":\"user\",\"content\":\"c\"}]" STORE INCLUDE "}", 0},
        {"gpt-5.3-codex", "{\"model\":\"x\",\"input\":[{\"role\":\"user\", \"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[]},{\"type\":\"web_search_call\",\"id\":\"ws_1\"},"
                          "{\"type\":\"reasoning\",\"id\":\"rs_2\",\"summary\":[],\"encrypted_content\":\"gB\"},{\"role\":\"user\", \"content\":\"c\",\"odd\":1}]" STORE INCLUDE "}",
                          "{\"model\":\"gpt-5.3-codex\",\"input\":[{\"role\":\"user\", \"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"c\"}]" STORE INCLUDE "}", 0},
        /* Custom tools stay what they are, with their calls; where the model refuses them they are functions. */
        {"gpt-5.3-codex", "{\"model\":\"x\",\"input\":" CUSTOM_ITEMS ",\"tools\":[" CUSTOM " , {\"type\":\"web_search\"}],\"tool_choice\":{ \"type\":\"custom\",\"name\":\"c\"}" STORE INCLUDE "}",
                          "{\"model\":\"gpt-5.3-codex\",\"input\":" CUSTOM_ITEMS ",\"tools\":[" CUSTOM "],\"tool_choice\":{ \"type\":\"custom\",\"name\":\"c\"}" STORE INCLUDE "}", 0},
        {"gpt-5.3-codex", "{\"model\":\"x\",\"input\":" CUSTOM_ITEMS ",\"tools\":[" CUSTOM "]" STORE INCLUDE "}",
                          "{\"model\":\"gpt-5.3-codex\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"a\"}]},{\"type\":\"function_call\",\"call_id\":\"k\",\"name\":\"c\","
                          "\"arguments\":\"{\\\"input\\\":\\\"x\\\"}\"},{\"type\":\"function_call_output\",\"call_id\":\"k\",\"output\":\"y\"}],\"tools\":[{\"type\":\"function\",\"name\":\"c\",\"parameters\":"
                          "{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},\"required\":[\"input\"],\"additionalProperties\":false},\"strict\":false}]" STORE INCLUDE "}", LEARNED_NO_CUSTOM},
        /* Choices among tools; without any there is none. */
        {"gpt-4o", "{\"model\":\"x\"," SAID ",\"tools\":" FLAT ",\"tool_choice\":{\"type\":\"allowed_tools\", \"mode\":\"auto\",\"tools\":[{\"type\":\"function\",\"name\":\"f\"}]},\"parallel_tool_calls\":true" STORE "}",
                   "{\"model\":\"gpt-4o\"," SAID ",\"tools\":" FLAT ",\"tool_choice\":{\"type\":\"allowed_tools\", \"mode\":\"auto\",\"tools\":[{\"type\":\"function\",\"name\":\"f\"}]},\"parallel_tool_calls\":true" STORE "}", LEARNED_RESPONSES},
        {"gpt-4o", "{\"model\":\"x\"," SAID ",\"tools\":[],\"tool_choice\":\"auto\",\"parallel_tool_calls\":true" STORE "}",
                   "{\"model\":\"gpt-4o\"," SAID STORE "}", LEARNED_RESPONSES},
        /* What only we take is put right; a form in JSON of which nobody speaks is spoken of. */
        {"gpt-4o", "{\"model\":\"x\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}],\"instructions\":\"k\"" STORE "}",
                   "{\"model\":\"gpt-4o\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"a\"}]}],\"instructions\":\"k\"" STORE "}", LEARNED_RESPONSES},
        {"gpt-4o", "{\"model\":\"x\"," SAID ",\"text\":{\"format\":{ \"type\":\"json_object\"}}" STORE "}",
                   "{\"model\":\"gpt-4o\",\"input\":[{\"role\":\"system\",\"content\":[{\"type\":\"input_text\",\"text\":\"Answer with a JSON object.\"}]},{\"role\":\"user\",\"content\":"
                   "[{\"type\":\"input_text\",\"text\":\"a\"}]}],\"text\":{\"format\":{ \"type\":\"json_object\"}}" STORE "}", LEARNED_RESPONSES},
        {"gpt-4o", "{\"model\":\"x\",\"\\u0069nstructions\":\"k\"," SAID STORE "}",
                   "{\"model\":\"gpt-4o\",\"input\":[{\"role\":\"system\",\"content\":[{\"type\":\"input_text\",\"text\":\"k\"}]},{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"a\"}]}]" STORE "}", LEARNED_RESPONSES},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(&backend_openai, responses_read, &rows[i]);
}

#define HEAD "\"max_tokens\":100,\"messages\":[ {\"role\":\"user\",\"content\":\"a\"}]"

static void test_anthropic(void **state)
{
    /* clang-format off */
    static const struct row rows[] = {
        {"claude-haiku-4-5", "{\"model\":\"x\"," HEAD ",\"temperature\":0.50,\"odd\":1,\"service_tier\":\"auto\",\"metadata\":{\"user_id\":\"u\"}}",
                             "{\"model\":\"claude-haiku-4-5\"," HEAD ",\"temperature\":0.50,\"service_tier\":\"auto\",\"metadata\":{\"user_id\":\"u\"}}", 0},
        /* No sampling; a budget where only efforts are known; more tokens than the model has. */
        {"claude-sonnet-5", "{\"model\":\"x\"," HEAD ",\"temperature\":0.5,\"top_k\":3}", "{\"model\":\"claude-sonnet-5\"," HEAD "}", 0},
        {"claude-sonnet-5", "{\"model\":\"x\"," HEAD ",\"thinking\":{\"type\":\"adaptive\"}}",
                            "{\"model\":\"claude-sonnet-5\"," HEAD ",\"thinking\":{\"type\":\"adaptive\"}}", 0},
        {"claude-sonnet-5", "{\"model\":\"x\"," HEAD ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000}}",
                            "{\"model\":\"claude-sonnet-5\"," HEAD ",\"thinking\":{\"type\":\"adaptive\",\"display\":\"summarized\"},"
                            "\"output_config\":{\"effort\":\"medium\"}}", 0},
        /* An effort alone is no wish for thinking; with it, none is none. */
        {"claude-sonnet-5", "{\"model\":\"x\"," HEAD ",\"output_config\":{ \"effort\":\"high\"}}",
                            "{\"model\":\"claude-sonnet-5\"," HEAD ",\"output_config\":{ \"effort\":\"high\"}}", 0},
        {"claude-opus-5", "{\"model\":\"x\"," HEAD ",\"thinking\":{ \"type\":\"disabled\"},\"output_config\":{\"effort\":\"low\"}}",
                          "{\"model\":\"claude-opus-5\"," HEAD ",\"thinking\":{ \"type\":\"disabled\"},\"output_config\":{\"effort\":\"low\"}}", 0},
        {"claude-sonnet-5-5", "{\"model\":\"x\"," HEAD ",\"thinking\":{\"type\":\"disabled\"}}", "{\"model\":\"claude-sonnet-5-5\"," HEAD "}", 0},
        {"claude-haiku-4-5", "{\"model\":\"x\"," HEAD ",\"output_config\":{\"effort\":\"high\"}}", "{\"model\":\"claude-haiku-4-5\"," HEAD "}", 0},
        /* A tool's schema must be an object's; the vendor's own tools are left out; the rest stays. */
        {"claude-haiku-4-5", "{\"model\":\"x\"," HEAD ",\"tools\":[{\"type\":\"bash_20250124\",\"name\":\"bash\"},{ \"name\":\"f\",\"input_schema\":"
                             "{\"type\":\"object\"},\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}},{\"name\":\"g\",\"input_schema\":{}}]}",
                             "{\"model\":\"claude-haiku-4-5\"," HEAD ",\"tools\":[{ \"name\":\"f\",\"input_schema\":"
                             "{\"type\":\"object\"},\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}},"
                             "{\"name\":\"g\",\"input_schema\":{\"type\":\"object\",\"properties\":{}}}]}", 0},
        /* Long answers are asked for as a stream, whatever the client asked. */
        {"claude-sonnet-5", "{\"model\":\"x\",\"max_tokens\":64000,\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"stream\":false}",
                            "{\"model\":\"claude-sonnet-5\",\"max_tokens\":64000,\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"stream\":true}", 0},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(&backend_anthropic, anthropic_read, &rows[i]);
}

/* As many members as nobody sends, in an object inside: what is known of them goes up, and the time
 * it takes does not grow with their square. */
static void test_many_members(void **state)
{
    struct buf came;
    struct call call = {.session = STR("gemini-2.5-flash")};
    struct served s = {.call = &call, .ask = ask_none};
    struct request r = {.body = STR_NONE};
    struct family_error bad = {0};
    struct buf sent;
    yyjson_doc *doc;

    (void)state;
    buf_init(&came, 16 << 20);
    buf_init(&sent, 1 << 20);
    buf_add(&came, STR("{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]}],"
                       "\"generationConfig\":{\"topP\":0.50"));
    for (int i = 0; i < 250; i++) buf_addf(&came, ",\"x%d\":1", i);
    for (int i = 0; i < 100000; i++) buf_add(&came, STR(",\"z\":1"));
    buf_add(&came, STR("}}"));
    r.body = buf_str(&came);
    arena_init(&r.arena, 0);
    call.r = &r;
    s.arena = &r.arena;
    check_int(json_read(&doc, r.body, 512, JSON_RAW_NUMBERS, NULL), ERR_NONE);
    s.body = doc;
    check_true(google_read(&s, yyjson_doc_get_root(doc), &bad));
    check_int(s.ask.wire, WIRE_GOOGLE);
    s.ask.model = call.session;
    s.ask.stream = true;
    pass_write(&backend_google, &s.ask, loop, 0, &sent);
    check_str(buf_str(&sent),
              STR("{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]}],"
                  "\"generationConfig\":{\"topP\":0.5}}"));
    buf_fini(&came);
    buf_fini(&sent);
    yyjson_doc_free(doc);
    arena_fini(&r.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openai),
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_anthropic),
        cmocka_unit_test(test_many_members),
    };
    return cmocka_run_group_tests_name("api/pass", tests, setup, teardown);
}
