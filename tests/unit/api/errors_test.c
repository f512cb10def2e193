/* What a client is told of each kind of failure (http-api.md sections 5, 6 and 13). */
#include "check.h"

#include "api/errors.h"

static void test_turns(void **state)
{
    (void)state;
    const struct err_note local = {.text = "roles must alternate", .ours = true};
    const struct err_note provider = {.text = "secret words of a provider", .http_status = 400};
    const struct err_note images = {.text = "no images", .about = "images"};
    const struct err_note later = {.text = "x", .http_status = 429, .retry_after_ms = 2100};
    const struct {
        enum err e;
        const struct err_note *why;
        int status;
        const char *code, *detail, *event, *field;
        int retry_s;
        /* clang-format off */
    } cases[] = {
        {ERR_NOT_READY, NULL, 503, "model_not_ready", "Model not available", "Model not available", NULL, 1},
        {ERR_QUEUE_FULL, NULL, 503, "local_queue_full", "Model not available", "Model not available", NULL, 1},
        {ERR_SESSION_BUSY, NULL, 503, "session_busy", "Model not available", "Model not available", NULL, 1},
        {ERR_SHUTTING_DOWN, NULL, 503, "shutting_down", "Model not available", "Server is shutting down", NULL, 1},
        {ERR_RATE_LIMIT, &later, 503, "provider_rate_limit", "Model not available", "Model not available", NULL, 3},
        {ERR_OVERLOADED, &provider, 503, "provider_overloaded", "Model not available", "Model not available", NULL, 1},
        {ERR_QUOTA, &provider, 503, "provider_quota", "Model not available", "Model not available", NULL, 1},
        {ERR_MEMORY, NULL, 503, "overloaded", "Model not available", "Model not available", NULL, 1},
        {ERR_STORE, NULL, 503, "store_unavailable", "Session store not available", "Session store not available", NULL, 1},
        {ERR_LOCAL_FAILED, NULL, 503, "local_generation_failed", "Failed to generate response", "Failed to generate response", NULL, 1},
        {ERR_SERVER, &provider, 502, "provider_server", "Failed to generate response", "Failed to generate response", NULL, 0},
        {ERR_AUTH, &provider, 502, "provider_auth", "Failed to generate response", "Failed to generate response", NULL, 0},
        {ERR_NETWORK, NULL, 502, "provider_network", "Failed to generate response", "Failed to generate response", NULL, 0},
        {ERR_MODEL_NOT_FOUND, &provider, 502, "provider_model_not_found", "Failed to generate response", "Failed to generate response", NULL, 0},
        {ERR_TIMEOUT, NULL, 504, "provider_timeout", "Failed to generate response", "Failed to generate response", NULL, 0},
        {ERR_INTERNAL, NULL, 500, "internal_error", "Internal server error", "Failed to generate response", NULL, 0},
        {ERR_IO, NULL, 500, "internal_error", "Internal server error", "Failed to generate response", NULL, 0},
        {ERR_CONTEXT_LENGTH, &provider, 422, "provider_context_length", NULL, "Failed to generate response", NULL, 0},
        {ERR_CONTEXT_LENGTH, &local, 422, "provider_context_length", NULL, "Failed to generate response", "message", 0},
        {ERR_CONTENT_FILTER, &provider, 422, "provider_content_filter", NULL, "Failed to generate response", NULL, 0},
        {ERR_BAD_REQUEST, &provider, 422, "provider_bad_request", NULL, "Failed to generate response", NULL, 0},
        {ERR_BAD_REQUEST, &local, 422, "provider_bad_request", NULL, "Failed to generate response", "message", 0},
        {ERR_UNSUPPORTED, &images, 422, "validation_error", NULL, "Failed to generate response", "images", 0},
        {ERR_UNSUPPORTED, &provider, 422, "validation_error", NULL, "Failed to generate response", NULL, 0},
        {ERR_UNSUPPORTED, NULL, 422, "validation_error", NULL, "Failed to generate response", NULL, 0},
    };
    /* clang-format on */

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct failure f;
        errors_of_turn(&f, cases[i].e, cases[i].why);
        print_message("# %s\n", err_row(cases[i].e)->code);
        check_int(f.status, cases[i].status);
        check_str(str_of(f.code), str_of(cases[i].code));
        check_str(str_of(f.detail), str_of(cases[i].detail));
        check_str(str_of(f.event), str_of(cases[i].event));
        check_str(str_of(f.field), str_of(cases[i].field));
        check_int(f.retry_after_s, cases[i].retry_s);
        check_true(f.own_words == (cases[i].why == &local && cases[i].e == ERR_BAD_REQUEST));
    }
}

static void test_every_kind_has_words(void **state)
{
    (void)state;
    for (int e = 1; e < ERR_COUNT; e++) {
        struct failure f;
        errors_of_turn(&f, (enum err)e, NULL);
        check_true(f.event && f.code && f.code[0]);
        check_true(f.detail || f.msg);
        check_true(f.status >= 400 && f.status < 600 && f.status != 499);
    }
}

static void test_shapes(void **state)
{
    (void)state;
    struct buf b;

    buf_init(&b, 1000);
    errors_body(&b, "detail", STR("\"Not Found\""), "not_found", STR("r-1"));
    check_str(buf_str(&b),
              STR("{\"detail\":\"Not Found\",\"code\":\"not_found\",\"request_id\":\"r-1\"}"));
    buf_clear(&b);
    errors_body(&b, "error", STR("\"x\""), NULL, STR(""));
    check_str(buf_str(&b), STR("{\"error\":\"x\"}"));
    buf_clear(&b);
    errors_event(&b, "Model not available", "model_not_ready");
    check_str(buf_str(&b), STR("{\"error\":\"Model not available\",\"code\":\"model_not_ready\"}"));
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_every_kind_has_words),
        cmocka_unit_test(test_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
