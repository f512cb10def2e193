/* What a client writes on /api/v1: bodies, queries, credentials, addresses, origins, images.  The
 * first byte says which.  Whatever comes, a refusal is a JSON list of bounded size that any reader
 * takes, what passes keeps the ranges of its fields, and nobody guesses a token. */
#include <math.h>
#include <stdlib.h>

#include "api/auth.h"
#include "api/client.h"
#include "api/cors.h"
#include "api/image.h"
#include "api/validate.h"
#include "base/utf8.h"
#include "conf/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COMPLAINTS_BYTES = 256 * 1024 };

static void must(bool holds)
{
    if (!holds) abort();
}

static void check_list(struct complaints *list)
{
    yyjson_doc *doc;

    json_end_array(&list->out);
    must(!list->json.bad && list->json.len < COMPLAINTS_BYTES);
    must(json_read(&doc, buf_str(&list->json), 70, JSON_PLAIN, NULL) == ERR_NONE);
    must(yyjson_arr_size(yyjson_doc_get_root(doc)) == list->count && list->count > 0);
    yyjson_doc_free(doc);
}

static void check_fields(const struct chat_request *r)
{
    must(r->message.len && utf8_count(r->message) <= MESSAGE_CHARS_MAX);
    must(r->session_id.len && utf8_count(r->session_id) <= SESSION_ID_CHARS_MAX);
    must(utf8_count(r->system_prompt) <= SYSTEM_PROMPT_CHARS_MAX);
    must(isnan(r->temperature) || (r->temperature >= 0 && r->temperature <= 1));
    must(r->max_tokens == -1 || (r->max_tokens >= 1 && r->max_tokens <= 2048));
    must(r->images.count <= IMAGES_MAX);
    must(r->resume_window >= -1);
}

static void try_body(str type, str text)
{
    struct chat_request r;
    struct complaints list;
    struct arena a;
    yyjson_doc *doc = NULL;

    arena_init(&a, 0);
    complaints_init(&list);
    chat_request_init(&r);
    enum body_fault fault = validate_body(&doc, type, text, &list);
    enum err e = ERR_NONE;
    if (fault == BODY_FINE)
        e = validate_object(chat_fields, chat_fields_count, IN_BODY, yyjson_doc_get_root(doc), &r,
                            &a, &list);
    must(fault != BODY_MEMORY && e != ERR_MEMORY);
    if (fault == BODY_INVALID || e)
        check_list(&list);
    else if (fault == BODY_FINE)
        check_fields(&r);
    yyjson_doc_free(doc);
    complaints_fini(&list);
    arena_fini(&a);
}

static void try_query(str text)
{
    struct chat_request r;
    struct complaints list;
    struct query q;
    struct arena a;

    arena_init(&a, 0);
    complaints_init(&list);
    chat_request_init(&r);
    must(query_parse(&q, text, &a) == ERR_NONE);
    for (size_t i = 0; i < q.count; i++)
        must(utf8_valid(q.at[i].name) && utf8_valid(q.at[i].value));
    if (validate_query(chat_fields, chat_fields_count, &q, &r, &a, &list))
        check_list(&list);
    else
        check_fields(&r);
    complaints_fini(&list);
    arena_fini(&a);
}

static void try_token(str text)
{
    struct arena a;
    str user;
    uint64_t until_s;

    arena_init(&a, 0);
    must(auth_token(text, STR("nobody-knows-these-thirty-two-bytes"), 1700000000, &a, &user,
                    &until_s) != ERR_NONE);
    arena_fini(&a);
}

static void try_address(str text)
{
    static const char *const trusted[] = {"127.0.0.1", "10.0.0.0/8", "fd00::/8"};
    const struct conf_list list = {trusted, 3, true};
    const struct header field = {STR("X-Forwarded-For"), text};
    const struct headers h = {&field, 1};
    struct networks n;
    char out[CLIENT_ADDRESS_BYTES];

    must(networks_init(&n, &list, NULL) == ERR_NONE);
    client_address(out, &n, STR("127.0.0.1"), &h);
    must(memchr(out, '\0', sizeof out) != NULL && out[0] != '\0');
    networks_fini(&n);
}

static void try_origin(str text)
{
    static const char *const origins[] = {"https://app.example"};
    const struct cors_rule listed = {{origins, 1, true}, false}, private = {.loopback = true};
    const struct cors_ask ask = {text, STR("sema.example:7860"), STR("sema.example"), false};
    enum cors got = cors_decide(&listed, &ask);

    must(got == CORS_ECHO || got == CORS_REFUSED);
    if (got == CORS_ECHO)
        must(str_eq_nocase(text, STR("https://app.example")) ||
             str_find(text, STR("://")) != STR_NPOS);
    got = cors_decide(&private, &ask);
    must(got == CORS_ECHO || got == CORS_REFUSED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    str text = str_span(data + 1, size - 1);

    switch (data[0] % 7) {
    case 0: try_body(STR_NONE, text); break;
    case 1: try_body(STR("text/plain"), text); break;
    case 2: try_query(text); break;
    case 3: try_token(text); break;
    case 4: try_address(text); break;
    case 5: try_origin(text); break;
    default: image_fault(text); break;
    }
    return 0;
}
