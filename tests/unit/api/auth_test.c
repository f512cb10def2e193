/* Credentials: keys, and tokens made here by an independent hand. */
#include "check.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "api/auth.h"

#define SECRET "0123456789abcdef0123456789abcdef"
static const char secret[] = SECRET;
enum { NOW = 1700000000 };

static void add64(char *to, size_t *n, const unsigned char *in, size_t len)
{
    unsigned char out[2048];
    int m = EVP_EncodeBlock(out, in, (int)len);
    for (int i = 0; i < m && out[i] != '='; i++)
        to[(*n)++] = (char)(out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i]);
}

/* A token of these parts, signed with `key`. */
static char *token(const char *head, const char *claims, const char *key)
{
    static char text[4096];
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len;
    size_t n = 0;

    add64(text, &n, (const unsigned char *)head, strlen(head));
    text[n++] = '.';
    add64(text, &n, (const unsigned char *)claims, strlen(claims));
    HMAC(EVP_sha256(), key, (int)strlen(key), (const unsigned char *)text, n, mac, &mac_len);
    text[n++] = '.';
    add64(text, &n, mac, mac_len);
    text[n] = '\0';
    return text;
}

static enum err try(const char *t, char user[64], uint64_t *until_s)
{
    struct arena a;
    str who = STR_NONE;

    arena_init(&a, 0);
    enum err e = auth_token(str_of(t), str_of(secret), NOW, &a, &who, until_s);
    if (!e) snprintf(user, 64, "%.*s", STR_ARG(who));
    arena_fini(&a);
    return e;
}

#define HS256 "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

static void test_tokens(void **state)
{
    (void)state;
    const struct {
        const char *head, *claims, *key;
        bool fine;
    } cases[] = {
        {HS256, "{\"sub\":\"amina\"}", secret, true},
        {HS256, "{\"sub\":\"amina\",\"exp\":1700000001}", secret, true},
        {HS256, "{\"sub\":\"amina\",\"exp\":1700000000}", secret, false},
        {HS256, "{\"sub\":\"amina\",\"exp\":1600000000}", secret, false},
        {HS256, "{\"sub\":\"amina\",\"exp\":1700000000.5}", secret, true},
        {HS256, "{\"sub\":\"amina\",\"exp\":\"1800000000\"}", secret, false},
        {HS256, "{\"sub\":\"amina\",\"exp\":null}", secret, false},
        {HS256, "{\"sub\":\"amina\",\"nbf\":1700000000}", secret, true},
        {HS256, "{\"sub\":\"amina\",\"nbf\":1700000001}", secret, false},
        {HS256, "{\"sub\":\"amina\",\"exp\":-1}", secret, false},
        {HS256, "{\"sub\":\"amina\",\"sub\":\"zawadi\"}", secret, true},
        {HS256, "{\"sub\":\"\"}", secret, false},
        {HS256, "{\"sub\":7}", secret, false},
        {HS256, "{\"sub\":null}", secret, false},
        {HS256, "{}", secret, false},
        {HS256, "[]", secret, false},
        {HS256, "\"amina\"", secret, false},
        {HS256, "{\"sub\":\"amina\"", secret, false},
        {HS256, "", secret, false},
        {HS256, "{\"sub\":\"amina\"}", "fedcba9876543210fedcba9876543210", false},
        {"{\"alg\":\"none\"}", "{\"sub\":\"amina\"}", secret, false},
        {"{\"alg\":\"HS512\"}", "{\"sub\":\"amina\"}", secret, false},
        {"{\"alg\":\"hs256\"}", "{\"sub\":\"amina\"}", secret, false},
        {"{\"typ\":\"JWT\"}", "{\"sub\":\"amina\"}", secret, false},
        {"{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", "{\"sub\":\"amina\"}", secret,
         false},
        {"x", "{\"sub\":\"amina\"}", secret, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char user[64] = "";
        uint64_t until_s = 0;
        enum err e = try(token(cases[i].head, cases[i].claims, cases[i].key), user, &until_s);
        if ((e == ERR_NONE) != cases[i].fine)
            fail_msg("case %zu: %s . %s gives %d", i, cases[i].head, cases[i].claims, e);
    }
    char user[64];
    uint64_t until_s = 0;
    check_int(try(token(HS256, "{\"sub\":\"a\",\"sub\":\"zawadi\",\"exp\":1700000099}", secret),
                  user, &until_s),
              ERR_NONE);
    check_str(str_of(user), STR("zawadi"));
    check_int(until_s, 1700000099);
}

/* No byte of a token may differ, and nothing may be left out or added. */
static void test_tampered_tokens(void **state)
{
    (void)state;
    char good[1024], user[64];
    uint64_t until_s;

    snprintf(good, sizeof good, "%s", token(HS256, "{\"sub\":\"amina\"}", secret));
    check_int(try(good, user, &until_s), ERR_NONE);
    for (size_t i = 0; good[i]; i++) {
        char bad[1024];
        memcpy(bad, good, sizeof bad);
        bad[i] = bad[i] == 'A' ? 'B' : 'A';
        if (try(bad, user, &until_s) == ERR_NONE) fail_msg("byte %zu changed: %s", i, bad);
        memcpy(bad, good, sizeof bad);
        bad[i] = '\0';
        if (try(bad, user, &until_s) == ERR_NONE) fail_msg("cut at %zu", i);
    }
    const char *const odd[] = {"", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d", "=.=.="};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        if (try(odd[i], user, &until_s) == ERR_NONE) fail_msg("\"%s\" was taken", odd[i]);
    char padded[1040];
    snprintf(padded, sizeof padded, "%s=", good);
    check_true(try(padded, user, &until_s) != ERR_NONE);
}

static void test_who(void **state)
{
    (void)state;
    char bearer_token[1100], query_token[1100];
    const struct auth none = {0}, key = {.key = STR("key-1234")},
                      both = {STR("key-1234"), STR(SECRET)}, jwt = {.secret = STR(SECRET)};

    snprintf(bearer_token, sizeof bearer_token, "bearer %s",
             token(HS256, "{\"sub\":\"amina\"}", secret));
    snprintf(query_token, sizeof query_token, "token=%s",
             token(HS256, "{\"sub\":\"amina\"}", secret));
    const struct {
        const struct auth *auth;
        const char *authorization, *x_api_key, *query; /* NULL query: not looked at */
        enum auth_kind want;
    } cases[] = {
        {&none, NULL, NULL, NULL, AUTH_OPEN},
        {&none, "Bearer anything", NULL, NULL, AUTH_OPEN},
        {&key, NULL, NULL, NULL, AUTH_NOBODY},
        {&key, "Bearer key-1234", NULL, NULL, AUTH_KEY},
        {&key, "BEARER key-1234", NULL, NULL, AUTH_KEY},
        {&key, "Bearer key-1235", NULL, NULL, AUTH_NOBODY},
        {&key, "Bearer key-123", NULL, NULL, AUTH_NOBODY},
        {&key, "Bearer key-12345", NULL, NULL, AUTH_NOBODY},
        {&key, "Bearer ", NULL, NULL, AUTH_NOBODY},
        {&key, "Basic key-1234", NULL, NULL, AUTH_NOBODY},
        {&key, "key-1234", NULL, NULL, AUTH_NOBODY},
        {&key, NULL, "key-1234", NULL, AUTH_KEY},
        {&key, NULL, "", NULL, AUTH_NOBODY},
        {&key, "Bearer wrong", "key-1234", NULL, AUTH_KEY},
        {&key, NULL, NULL, "api_key=key-1234", AUTH_KEY},
        {&key, NULL, NULL, "token=key-1234", AUTH_NOBODY},
        {&key, NULL, NULL, "api_key=", AUTH_NOBODY},
        {&key, bearer_token, NULL, query_token, AUTH_NOBODY},
        {&both, bearer_token, NULL, NULL, AUTH_USER},
        {&both, "Bearer key-1234", NULL, NULL, AUTH_KEY},
        {&both, NULL, NULL, query_token, AUTH_USER},
        {&jwt, "Bearer key-1234", "key-1234", "api_key=key-1234", AUTH_NOBODY},
        {&jwt, bearer_token, NULL, NULL, AUTH_USER},
        {&jwt, "Bearer ", "", "", AUTH_NOBODY},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct header fields[2];
        struct headers h = {fields, 0};
        struct arena a;
        struct query q;
        struct auth_who who;
        arena_init(&a, 0);
        if (cases[i].authorization)
            fields[h.count++] =
                (struct header){STR("authorization"), str_of(cases[i].authorization)};
        if (cases[i].x_api_key)
            fields[h.count++] = (struct header){STR("x-api-key"), str_of(cases[i].x_api_key)};
        check_int(query_parse(&q, str_of(cases[i].query), &a), ERR_NONE);
        auth_check(cases[i].auth, &h, cases[i].query ? &q : NULL, NOW, &a, &who);
        if (who.kind != cases[i].want)
            fail_msg("case %zu: %d, want %d", i, who.kind, cases[i].want);
        if (who.kind == AUTH_USER) check_str(who.user, STR("amina"));
        arena_fini(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_tampered_tokens),
        cmocka_unit_test(test_who),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
