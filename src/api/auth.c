#include "api/auth.h"

#include <math.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/json.h"
#include "base/utf8.h"

enum {
    TOKEN_BYTES_MAX = 16 * 1024, /* half of a request's head */
    TOKEN_DEPTH_MAX = 16,
    USER_BYTES_MAX = 1024, /* of a `sub`: it is part of every key in the store */
};

/* base64url without padding, RFC 7515 2.  Strict: no other character, no left-over bits. */
static bool decode64(str in, struct arena *a, str *out)
{
    uint8_t *to = arena_take(a, in.len / 4 * 3 + 3);
    size_t n = 0;
    uint32_t acc = 0;
    unsigned bits = 0;

    if (to == NULL || in.len % 4 == 1) return false;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.at[i];
        int v = c >= 'A' && c <= 'Z'   ? c - 'A'
                : c >= 'a' && c <= 'z' ? c - 'a' + 26
                : c >= '0' && c <= '9' ? c - '0' + 52
                : c == '-'             ? 62
                : c == '_'             ? 63
                                       : -1;
        if (v < 0) return false;
        acc = acc << 6 | (uint32_t)v;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            to[n++] = (uint8_t)(acc >> bits);
        }
    }
    if (acc & ((1u << bits) - 1)) return false;
    *out = str_span(to, n);
    return true;
}

static bool signature_fits(str signed_part, str signature, str secret)
{
    uint8_t want[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (HMAC(EVP_sha256(), secret.at, (int)secret.len, (const uint8_t *)signed_part.at,
             signed_part.len, want, &len) == NULL)
        return false;
    return str_eq_secret(str_span(want, len), signature);
}

/* A NumericDate (RFC 7519 2) under `key`: absent is fine, anything but a number is not. */
static bool date_of(yyjson_val *claims, const char *key, double absent, double *out)
{
    yyjson_val *v = json_get(claims, key);

    *out = absent;
    if (v == NULL) return true;
    if (!yyjson_is_num(v)) return false;
    *out = yyjson_get_num(v);
    return !isnan(*out);
}

static enum err read_claims(yyjson_val *claims, uint64_t now_s, struct arena *arena, str *user,
                            uint64_t *until_s)
{
    double exp, nbf;
    str sub = json_get_str(claims, "sub");

    if (!date_of(claims, "exp", INFINITY, &exp) || !date_of(claims, "nbf", -INFINITY, &nbf))
        return ERR_INVALID;
    if ((double)now_s >= exp || (double)now_s < nbf) return ERR_INVALID;
    if (sub.len == 0 || sub.len > USER_BYTES_MAX) return ERR_INVALID;

    str kept = arena_str(arena, sub);
    if (kept.at == NULL) return ERR_MEMORY;
    *user = kept;
    *until_s = exp < 1e15 ? (uint64_t)exp : UINT64_MAX;
    return ERR_NONE;
}

enum err auth_token(str token, str secret, uint64_t now_s, struct arena *arena, str *user,
                    uint64_t *until_s)
{
    str head, body, signature, text;
    yyjson_doc *doc;

    if (token.len > TOKEN_BYTES_MAX || secret.len == 0) return ERR_INVALID;
    size_t first = str_find_char(token, '.'), last = str_rfind_char(token, '.');
    if (first == STR_NPOS || first == last) return ERR_INVALID;
    head = str_head(token, first);
    body = str_span(token.at + first + 1, last - first - 1);
    if (str_find_char(body, '.') != STR_NPOS) return ERR_INVALID;
    if (!decode64(str_tail(token, last + 1), arena, &signature)) return ERR_INVALID;

    /* Nothing a stranger wrote is parsed before its signature is known to be ours. */
    if (!signature_fits(str_head(token, last), signature, secret)) return ERR_INVALID;

    if (!decode64(head, arena, &text)) return ERR_INVALID;
    enum err e = json_read(&doc, text, TOKEN_DEPTH_MAX, JSON_PLAIN, NULL);
    if (e) return e;
    yyjson_val *root = yyjson_doc_get_root(doc);
    /* `crit` names extensions that must be understood (RFC 7515 4.1.11); we know none. */
    bool fits = str_eq(json_get_str(root, "alg"), STR("HS256")) && json_get(root, "crit") == NULL;
    yyjson_doc_free(doc);
    if (!fits || !decode64(body, arena, &text)) return ERR_INVALID;

    e = json_read(&doc, text, TOKEN_DEPTH_MAX, JSON_PLAIN, NULL);
    if (e) return e;
    e = read_claims(yyjson_doc_get_root(doc), now_s, arena, user, until_s);
    yyjson_doc_free(doc);
    return e;
}

static bool try_key(const struct auth *a, str given, struct auth_who *out)
{
    if (a->key.len == 0 || given.at == NULL || !str_eq_secret(given, a->key)) return false;
    *out = (struct auth_who){.kind = AUTH_KEY, .until_s = UINT64_MAX};
    return true;
}

static bool try_token(const struct auth *a, str given, uint64_t now_s, struct arena *arena,
                      struct auth_who *out)
{
    struct auth_who who = {.kind = AUTH_USER};

    if (a->secret.len == 0 || given.len == 0) return false;
    if (auth_token(given, a->secret, now_s, arena, &who.user, &who.until_s) != ERR_NONE)
        return false;
    *out = who;
    return true;
}

void auth_check(const struct auth *a, const struct headers *h, const struct query *query,
                uint64_t now_s, struct arena *arena, struct auth_who *out)
{
    *out = (struct auth_who){.kind = AUTH_OPEN, .until_s = UINT64_MAX};
    if (!auth_needed(a)) return;

    str field = headers_get(h, STR("Authorization"));
    if (str_starts_nocase(field, STR("Bearer "))) {
        str given = str_trim(str_tail(field, 7));
        if (try_key(a, given, out) || try_token(a, given, now_s, arena, out)) return;
    }
    if (try_key(a, headers_get(h, STR("X-API-Key")), out)) return;
    if (query) {
        if (try_key(a, query_get(query, STR("api_key")), out)) return;
        if (try_token(a, query_get(query, STR("token")), now_s, arena, out)) return;
    }
    out->kind = AUTH_NOBODY;
}

void auth_check_google(const struct auth *a, const struct headers *h, const struct query *query,
                       uint64_t now_s, struct arena *arena, struct auth_who *out)
{
    const str given[] = {headers_get(h, STR("x-goog-api-key")), query_get(query, STR("key"))};

    auth_check(a, h, NULL, now_s, arena, out);
    for (size_t i = 0; out->kind == AUTH_NOBODY && i < 2; i++)
        if (!try_key(a, given[i], out)) try_token(a, given[i], now_s, arena, out);
}
