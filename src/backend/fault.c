#include "backend/fault.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/utf8.h"

enum {
    MESSAGE_BYTES_MAX = 400,
    LABEL_BYTES_MAX = 64,
    MASKED_BYTES_MAX = 8192, /* of the provider's words: looked through for keys before they are
                                cut, so that no cut leaves a part of one */
    HOUR_MS = 3600 * 1000,
};

/* ---- the head ---- */

/* Seconds, whole or not, or an HTTP date (RFC 9110 10.2.3); -1 when neither. */
static int wait_ms_of(str value, uint64_t wall_us)
{
    char text[64];
    char *end;

    value = str_trim(value);
    if (value.len == 0 || value.len >= sizeof text) return -1;
    memcpy(text, value.at, value.len);
    text[value.len] = '\0';
    double s = strtod(text, &end);
    if (*end != '\0') {
        struct tm t = {0};
        end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &t);
        if (end == NULL || *end != '\0') return -1;
        s = difftime(timegm(&t), (time_t)(wall_us / 1000000));
    }
    if (!isfinite(s)) return -1;
    if (s < 0) s = 0;
    return s > INT32_MAX / 1000 ? INT32_MAX : (int)(s * 1000);
}

void fault_hints_read(struct fault_hints *h, const struct headers *fields, uint64_t wall_us)
{
    static const char *const ids[] = {"x-request-id", "request-id", "x-goog-request-id"};
    str ms = str_trim(headers_get(fields, STR("retry-after-ms")));
    str retry = str_trim(headers_get(fields, STR("x-should-retry")));
    uint64_t n;

    *h = (struct fault_hints){.retry_after_ms = -1, .should_retry = -1};
    if (str_to_u64(ms, &n))
        h->retry_after_ms = n > INT32_MAX ? INT32_MAX : (int)n;
    else
        h->retry_after_ms = wait_ms_of(headers_get(fields, STR("retry-after")), wall_us);
    if (str_eq_nocase(retry, STR("true"))) h->should_retry = 1;
    if (str_eq_nocase(retry, STR("false"))) h->should_retry = 0;
    for (size_t i = 0; i < 3 && !h->request_id[0]; i++)
        snprintf(h->request_id, sizeof h->request_id, "%.*s",
                 STR_ARG(headers_get(fields, str_of(ids[i]))));
}

/* ---- the body ---- */

static bool is_something(yyjson_val *v)
{
    return (yyjson_is_str(v) && yyjson_get_len(v)) || (yyjson_is_obj(v) && yyjson_obj_size(v));
}

static yyjson_val *unwrap(yyjson_val *root)
{
    /* Google was seen to wrap its error in an array of one. */
    return yyjson_is_arr(root) && yyjson_arr_size(root) == 1 ? yyjson_arr_get_first(root) : root;
}

static int64_t base_code(yyjson_val *root)
{
    return json_get_int(json_get(root, "base_resp"), "status_code", 0);
}

bool fault_is(yyjson_val *root)
{
    root = unwrap(root);
    return is_something(json_get(root, "error")) || base_code(root) != 0 ||
           str_eq(json_get_str(root, "object"), STR("error")) ||
           str_eq(json_get_str(root, "type"), STR("error"));
}

static int http_status_of(yyjson_val *v, const char *key)
{
    int64_t n = json_get_int(v, key, 0);
    return n >= 400 && n <= 599 ? (int)n : 0;
}

static str first_text(yyjson_val *v)
{
    if (yyjson_is_str(v)) return json_str(v);
    /* FastAPI: {"detail":[{"msg":"..."}]} */
    yyjson_val *first = yyjson_arr_get_first(v);
    return yyjson_is_obj(first) ? json_get_str(first, "msg") : STR_NONE;
}

static void read_details(struct fault *f, yyjson_val *details)
{
    yyjson_arr_iter it, violations;
    yyjson_val *d, *v;

    if (!yyjson_is_arr(details)) {
        str code = json_get_str(details, "error_code");
        if (code.len) f->code = code;
        return;
    }
    yyjson_arr_iter_init(details, &it);
    while ((d = yyjson_arr_iter_next(&it))) {
        str reason = json_get_str(d, "reason"), delay = json_get_str(d, "retryDelay");
        if (reason.len) f->code = reason;
        if (str_ends(delay, STR("s")))
            f->retry_after_ms = wait_ms_of(str_head(delay, delay.len - 1), 0);
        yyjson_val *all = json_get(d, "violations");
        if (!yyjson_is_arr(all)) continue;
        yyjson_arr_iter_init(all, &violations);
        while ((v = yyjson_arr_iter_next(&violations)))
            if (str_find(json_get_str(v, "quotaId"), STR("PerDay")) != STR_NPOS) f->daily = true;
    }
}

/* Every shape of providers.md sections 3.4, 5.5, 6.4, 7.3, 8.1 and 9. */
static void read_body(struct fault *f, yyjson_val *root)
{
    yyjson_val *error = json_get(root, "error"), *from = yyjson_is_obj(error) ? error : root;
    int status = http_status_of(from, "code");

    if (!status) status = http_status_of(from, "status");
    if (!status) status = http_status_of(from, "http_code");
    if (!status && from != root) status = http_status_of(root, "status");
    if (!status && from != root) status = http_status_of(root, "code");
    if (status) f->status = status;

    f->message = yyjson_is_str(error) ? json_str(error) : first_text(json_get(from, "message"));
    if (f->message.len == 0) f->message = first_text(json_get(root, "message"));
    if (f->message.len == 0) f->message = first_text(json_get(root, "detail"));
    f->code = json_get_str(from, "code");
    f->param = json_get_str(from, "param");
    f->type = json_get_str(from, "type");
    if (f->type.len == 0) f->type = json_get_str(from, "status");
    if (f->type.len == 0) f->type = json_get_str(root, "error_type");
    read_details(f, json_get(from, "details"));

    yyjson_val *base = json_get(root, "base_resp");
    if (base_code(root) && f->message.len == 0) {
        f->message = json_get_str(base, "status_msg");
        f->code = json_str(json_get(base, "status_code"));
    }
}

/* ---- the class ---- */

static bool has(str text, const char *word)
{
    str w = str_of(word);
    for (; text.len >= w.len; text = str_tail(text, 1))
        if (str_starts_nocase(text, w)) return true;
    return false;
}

bool fault_says(const struct fault *f, const char *words)
{
    return has(f->message, words);
}

static bool is_any(str text, const char *const *words)
{
    for (; *words; words++)
        if (str_eq_nocase(text, str_of(*words))) return true;
    return false;
}

static bool has_any(str text, const char *const *words)
{
    for (; *words; words++)
        if (has(text, *words)) return true;
    return false;
}

/* clang-format off */
static const char *const context_codes[] = {"context_length_exceeded", "exceed_context_size_error", NULL};
static const char *const context_texts[] = {
    "maximum context length", "prompt is too long", "exceed context limit", "input token count",
    "exceeds the maximum number of tokens", "context window", "exceeds the available context size",
    "inputs` tokens + `max_new_tokens", "inputs` must have less than", "context length", NULL};
static const char *const filter_codes[] = {"content_policy_violation", "content_filter", "moderation_blocked", NULL};
static const char *const quota_codes[] = {
    "insufficient_quota", "billing_hard_limit_reached", "billing_error", "insufficient_balance_error",
    "contract_spend_limit_reached", "enforced_spend_limit_reached", NULL};
static const char *const model_codes[] = {"model_not_found", "model_not_supported", NULL};
static const char *const auth_codes[] = {"API_KEY_INVALID", NULL};

/* When no status says it: the words of the types, in the order of the providers' sections. */
static const struct {
    const char *type;
    enum err e;
} types[] = {
    {"invalid_request_error", ERR_BAD_REQUEST}, {"BadRequestError", ERR_BAD_REQUEST},
    {"bad_request_error", ERR_BAD_REQUEST}, {"INVALID_ARGUMENT", ERR_BAD_REQUEST},
    {"validation", ERR_BAD_REQUEST}, {"request_too_large", ERR_BAD_REQUEST},
    {"authentication_error", ERR_AUTH}, {"authorized_error", ERR_AUTH}, {"permission_error", ERR_AUTH},
    {"invalid_api_key", ERR_AUTH}, {"UNAUTHENTICATED", ERR_AUTH}, {"PERMISSION_DENIED", ERR_AUTH},
    {"not_found_error", ERR_MODEL_NOT_FOUND}, {"NOT_FOUND", ERR_MODEL_NOT_FOUND},
    {"rate_limit_error", ERR_RATE_LIMIT}, {"rate_limit_exceeded", ERR_RATE_LIMIT},
    {"RESOURCE_EXHAUSTED", ERR_RATE_LIMIT},
    {"overloaded_error", ERR_OVERLOADED}, {"overloaded", ERR_OVERLOADED},
    {"unavailable_error", ERR_OVERLOADED}, {"UNAVAILABLE", ERR_OVERLOADED}, {"slow_down", ERR_OVERLOADED},
    {"timeout_error", ERR_TIMEOUT}, {"DEADLINE_EXCEEDED", ERR_SERVER},
};
/* clang-format on */

static enum err by_status(int status)
{
    switch (status) {
    case 401:
    case 403: return ERR_AUTH;
    case 402: return ERR_QUOTA;
    case 404:
    case 410: return ERR_MODEL_NOT_FOUND;
    case 408: return ERR_TIMEOUT;
    case 409:
    case 424:
    case 425: return ERR_SERVER;
    case 429: return ERR_RATE_LIMIT;
    case 503:
    case 529: return ERR_OVERLOADED;
    default: return status >= 400 && status < 500 ? ERR_BAD_REQUEST : ERR_SERVER;
    }
}

static enum err by_type(const struct fault *f)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        str word = str_of(types[i].type);
        if (str_eq_nocase(f->code, word) || str_eq_nocase(f->type, word)) return types[i].e;
    }
    return ERR_SERVER;
}

static enum err class_of(const struct fault *f)
{
    bool refused = f->status == 0 || (f->status >= 400 && f->status < 500);
    enum err e = f->status ? by_status(f->status) : by_type(f);

    if (is_any(f->code, context_codes) || is_any(f->type, context_codes)) return ERR_CONTEXT_LENGTH;
    if (is_any(f->code, filter_codes) || is_any(f->type, filter_codes)) return ERR_CONTENT_FILTER;
    if (is_any(f->code, quota_codes) || is_any(f->type, quota_codes) || f->daily) return ERR_QUOTA;
    if (is_any(f->code, model_codes)) return ERR_MODEL_NOT_FOUND;
    if (is_any(f->code, auth_codes)) return ERR_AUTH;
    if (!refused) return e;
    if (has(f->message, "credit balance is too low")) return ERR_QUOTA;
    /* A limit of tokens a minute speaks of tokens too: only a refusal of the request itself counts.
     */
    if ((e == ERR_BAD_REQUEST || f->status == 0) && has_any(f->message, context_texts))
        return ERR_CONTEXT_LENGTH;
    return e;
}

void fault_read(struct fault *f, int status, yyjson_val *root, str body)
{
    *f = (struct fault){.retry_after_ms = -1, .status = status >= 300 ? status : 0};
    root = unwrap(root);
    if (yyjson_is_obj(root))
        read_body(f, root);
    else if (yyjson_is_str(root))
        f->message = json_str(root);
    else if (str_starts(str_trim(body), STR("<")))
        f->message = STR("an HTML page instead of an answer");
    else
        f->message = body;
    f->e = class_of(f);
}

/* ---- the note ---- */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '*' || c == '.';
}

static bool looks_like_key(str word)
{
    static const char *const starts[] = {"sk-", "sk_", "hf_", "AIza", "eyJ", "gsk_", "xai-"};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (word.len >= 8 && str_starts(word, str_of(starts[i]))) return true;
    return false;
}

void fault_mask(struct buf *to, str text, str key)
{
    while (text.len) {
        size_t n = 0;
        if (key.len >= 4 && str_starts(text, key)) {
            buf_add(to, STR("***"));
            text = str_tail(text, key.len);
            continue;
        }
        while (n < text.len && is_word(text.at[n]) &&
               !(n && key.len >= 4 && str_starts(str_tail(text, n), key)))
            n++;
        if (n == 0) {
            unsigned char c = (unsigned char)text.at[0];
            buf_add_char(to, c < ' ' || c == 0x7F ? ' ' : (char)c);
            text = str_tail(text, 1);
            if (str_starts_nocase(text, STR("key="))) {
                buf_add(to, STR("key=***"));
                text = str_tail(text, 4);
                while (text.len && is_word(text.at[0])) text = str_tail(text, 1);
            }
            continue;
        }
        str word = str_head(text, n);
        if (looks_like_key(word))
            buf_add(to, STR("***"));
        else
            buf_add(to, word);
        text = str_tail(text, n);
    }
}

static void add_masked(struct buf *to, str text, size_t max, str key)
{
    struct buf b;

    buf_init(&b, 4 * MASKED_BYTES_MAX);
    fault_mask(&b, str_head(text, MASKED_BYTES_MAX), key);
    str kept = str_head(buf_str(&b), max);
    buf_add(to, str_head(kept, kept.len - utf8_partial(kept)));
    buf_fini(&b);
}

void fault_note(struct err_note *why, const struct fault *f, const char *host, str key)
{
    struct buf b;
    str label = f->code.len ? f->code : f->type;

    buf_init(&b, 4 * MESSAGE_BYTES_MAX);
    add_masked(&b, label, LABEL_BYTES_MAX, key);
    if (label.len && f->message.len) buf_add(&b, STR(": "));
    add_masked(&b, f->message, MESSAGE_BYTES_MAX, key);
    if (f->status)
        err_set(why, f->e, "%s: %d %.*s", host, f->status, STR_ARG(buf_str(&b)));
    else
        err_set(why, f->e, "%s: %.*s", host, STR_ARG(buf_str(&b)));
    why->http_status = f->status;
    buf_fini(&b);
}
