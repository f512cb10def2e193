/* Who may ask: hosts, origins, addresses behind proxies, routes, and how many requests each has. */
#include "check.h"

#include "api/client.h"
#include "api/cors.h"
#include "api/host.h"
#include "api/image.h"
#include "api/limit.h"
#include "api/query.h"
#include "api/route.h"

#define LIST(...)                                                                                  \
    ((struct conf_list){(const char *const[]){__VA_ARGS__},                                        \
                        sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), true})

/* ---- Host ---- */

static void test_hosts(void **state)
{
    (void)state;
    const struct host_rule open = {.own = STR("0.0.0.0")};
    const struct host_rule loopback = {.loopback = true, .own = STR("127.0.0.1")};
    const struct host_rule listed = {.allowed = LIST("Sema.example", "[::1]", "10.0.0.7"),
                                     .loopback = true,
                                     .own = STR("127.0.0.1")};
    const struct host_rule any = {.allowed = LIST("*"), .loopback = true};
    const struct {
        const struct host_rule *rule;
        const char *host;
        bool want;
    } cases[] = {
        {&open, "whatever.example", true},
        {&open, "", true},
        {&loopback, "localhost", true},
        {&loopback, "127.0.0.1", true},
        {&loopback, "::1", true},
        {&loopback, "evil.example", false},
        {&loopback, "", false},
        {&loopback, "localhost.evil.example", false},
        {&loopback, "127.0.0.2", false},
        {&listed, "sema.example", true},
        {&listed, "::1", true},
        {&listed, "10.0.0.7", true},
        {&listed, "localhost", false},
        {&listed, "", false},
        {&listed, "a.sema.example", false},
        {&any, "x.example", true},
        {&any, "", true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (host_allowed(cases[i].rule, str_of(cases[i].host)) != cases[i].want)
            fail_msg("case %zu: host \"%s\" should %sbe allowed", i, cases[i].host,
                     cases[i].want ? "" : "not ");
}

/* ---- CORS ---- */

static void test_cors(void **state)
{
    (void)state;
    const struct cors_rule open = {0};
    const struct cors_rule loopback = {.loopback = true};
    const struct cors_rule star = {.origins = LIST("*"), .loopback = true};
    const struct cors_rule listed = {.origins =
                                         LIST("https://app.example", "http://localhost:3000")};
    const struct cors_rule none = {.origins = {.set = true}};
    const struct {
        const struct cors_rule *rule;
        const char *origin, *host_field, *host;
        bool cookie;
        enum cors want;
    } cases[] = {
        {&open, NULL, "a.example", "a.example", false, CORS_NONE},
        {&open, "https://x.example", "a.example", "a.example", false, CORS_ANY},
        {&open, "https://x.example", "a.example", "a.example", true, CORS_ECHO},
        {&open, "null", "a.example", "a.example", false, CORS_ANY},
        /* A request to a loopback name is a private one, wherever the server listens. */
        {&open, "https://x.example", "localhost:7860", "localhost", false, CORS_REFUSED},
        {&open, "http://localhost:3000", "localhost:7860", "localhost", false, CORS_ECHO},
        {&open, "http://127.0.0.1:1", "127.0.0.1:7860", "127.0.0.1", false, CORS_ECHO},
        {&loopback, "https://x.example", "127.0.0.1:7860", "127.0.0.1", false, CORS_REFUSED},
        {&loopback, "http://[::1]:5000", "127.0.0.1:7860", "127.0.0.1", false, CORS_ECHO},
        {&loopback, "http://localhost", "127.0.0.1:7860", "127.0.0.1", false, CORS_ECHO},
        {&loopback, "null", "127.0.0.1:7860", "127.0.0.1", false, CORS_REFUSED},
        {&loopback, "http://localhost.evil.example", "127.0.0.1", "127.0.0.1", false, CORS_REFUSED},
        {&loopback, "http://evil.example/localhost", "127.0.0.1", "127.0.0.1", false, CORS_REFUSED},
        {&star, "https://x.example", "127.0.0.1:7860", "127.0.0.1", false, CORS_ANY},
        {&star, "https://x.example", "127.0.0.1:7860", "127.0.0.1", true, CORS_ECHO},
        {&listed, "https://app.example", "api.example", "api.example", false, CORS_ECHO},
        {&listed, "https://APP.example", "api.example", "api.example", false, CORS_ECHO},
        {&listed, "http://app.example", "api.example", "api.example", false, CORS_REFUSED},
        {&listed, "https://app.example:8443", "api.example", "api.example", false, CORS_REFUSED},
        {&listed, "null", "api.example", "api.example", false, CORS_REFUSED},
        /* The server's own pages. */
        {&listed, "http://api.example:7860", "api.example:7860", "api.example", false, CORS_ECHO},
        {&listed, "https://api.example", "api.example", "api.example", false, CORS_ECHO},
        {&listed, "http://api.example", "api.example:80", "api.example", false, CORS_ECHO},
        {&listed, "http://api.example:7861", "api.example:7860", "api.example", false,
         CORS_REFUSED},
        {&listed, "http://[::2]:7860", "[::2]:7860", "::2", false, CORS_ECHO},
        {&none, "https://x.example", "api.example", "api.example", false, CORS_REFUSED},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct cors_ask ask = {cases[i].origin ? str_of(cases[i].origin) : STR_NONE,
                                     str_of(cases[i].host_field), str_of(cases[i].host),
                                     cases[i].cookie};
        enum cors got = cors_decide(cases[i].rule, &ask);
        if (got != cases[i].want)
            fail_msg("case %zu: origin \"%s\" at \"%s\" gives %d, want %d", i, cases[i].origin,
                     cases[i].host_field, got, cases[i].want);
    }
}

static void test_cors_methods(void **state)
{
    (void)state;
    check_true(cors_method(STR("POST")));
    check_true(cors_method(STR("DELETE")));
    check_true(cors_method(STR("PUT")));
    check_true(!cors_method(STR("TRACE")));
    check_true(!cors_method(STR("post")));
    check_true(!cors_method(STR("")));
}

/* ---- addresses ---- */

static void test_client(void **state)
{
    (void)state;
    const struct {
        const char *trusted, *peer, *forwarded, *second, *want;
    } cases[] = {
        {"127.0.0.1", "127.0.0.1", NULL, NULL, "127.0.0.1"},
        {"127.0.0.1", "127.0.0.1", "203.0.113.9", NULL, "203.0.113.9"},
        {"127.0.0.1", "198.51.100.1", "203.0.113.9", NULL, "198.51.100.1"},
        {"127.0.0.1", "127.0.0.1", "6.6.6.6, 203.0.113.9", NULL, "203.0.113.9"},
        {"10.0.0.0/8", "10.1.2.3", "6.6.6.6, 203.0.113.9, 10.9.9.9", NULL, "203.0.113.9"},
        {"10.0.0.0/8", "10.1.2.3", "6.6.6.6", "203.0.113.9, 10.9.9.9", "203.0.113.9"},
        {"*", "198.51.100.1", "203.0.113.9, 10.0.0.1", NULL, "203.0.113.9"},
        {"10.0.0.0/8", "10.1.2.3", "10.0.0.1, 10.0.0.2", NULL, "10.0.0.1"},
        {"127.0.0.1", "127.0.0.1", "203.0.113.9:4711", NULL, "203.0.113.9"},
        {"127.0.0.1", "127.0.0.1", "[2001:DB8::1]:4711", NULL, "2001:db8::1"},
        {"127.0.0.1", "127.0.0.1", "2001:db8:0:0::1", NULL, "2001:db8::1"},
        {"127.0.0.1", "127.0.0.1", "unknown", NULL, "127.0.0.1"},
        {"127.0.0.1", "127.0.0.1", " , ,", NULL, "127.0.0.1"},
        {"127.0.0.1", "::ffff:127.0.0.1", "203.0.113.9", NULL, "203.0.113.9"},
        {"fd00::/8", "fd12::1", "203.0.113.9", NULL, "203.0.113.9"},
        {"fd00::/8", "fe80::1", "203.0.113.9", NULL, "fe80::1"},
        {"10.0.0.0/9", "10.128.0.1", "203.0.113.9", NULL, "10.128.0.1"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct conf_list list = LIST(cases[i].trusted);
        struct networks n;
        struct header fields[3] = {{STR("Host"), STR("x")}};
        struct headers h = {fields, 1};
        char got[CLIENT_ADDRESS_BYTES];
        check_int(networks_init(&n, &list, NULL), ERR_NONE);
        if (cases[i].forwarded)
            fields[h.count++] = (struct header){STR("x-forwarded-for"), str_of(cases[i].forwarded)};
        if (cases[i].second)
            fields[h.count++] = (struct header){STR("X-Forwarded-For"), str_of(cases[i].second)};
        client_address(got, &n, str_of(cases[i].peer), &h);
        if (strcmp(got, cases[i].want) != 0)
            fail_msg("case %zu: got %s, want %s", i, got, cases[i].want);
        networks_fini(&n);
    }
}

static void test_bad_networks(void **state)
{
    (void)state;
    const char *const bad[] = {"10.0.0.0/33", "::/129", "localhost", "", "10.0.0/8", "10.0.0.0/x"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct conf_list list = {&bad[i], 1, true};
        struct networks n;
        if (networks_init(&n, &list, NULL) != ERR_INVALID) fail_msg("\"%s\" was taken", bad[i]);
    }
}

/* ---- the bucket ---- */

static void test_limit_refills_evenly(void **state)
{
    (void)state;
    struct limit *l;
    struct limit_verdict v;
    uint64_t now = 1000000000;

    check_int(limit_new(&l, 6), ERR_NONE); /* one each ten seconds */
    for (int i = 0; i < 6; i++) {
        limit_take(l, STR("a"), now, &v);
        check_true(v.allowed);
        check_int(v.remaining, 5 - i);
        check_int(v.full_s, 10 * (i + 1));
    }
    limit_take(l, STR("a"), now, &v);
    check_true(!v.allowed);
    check_int(v.retry_s, 10);
    check_int(v.remaining, 0);
    check_int(v.full_s, 60);
    limit_take(l, STR("b"), now, &v); /* another client */
    check_true(v.allowed);
    limit_take(l, STR("a"), now + 9999999, &v);
    check_true(!v.allowed);
    check_int(v.retry_s, 1);
    limit_take(l, STR("a"), now + 10000000, &v);
    check_true(v.allowed);
    limit_take(l, STR("a"), now + 10000000, &v);
    check_true(!v.allowed);
    for (int i = 0; i < 6; i++) { /* full again, and no fuller */
        limit_take(l, STR("a"), now + 300000000, &v);
        check_true(v.allowed);
    }
    limit_take(l, STR("a"), now + 300000000, &v);
    check_true(!v.allowed);
    limit_free(l);
}

static void test_limit_ends(void **state)
{
    (void)state;
    struct limit *l;
    struct limit_verdict v;

    check_int(limit_new(&l, 0), ERR_NONE);
    for (int i = 0; i < 1000; i++) {
        limit_take(l, STR("a"), 5, &v);
        check_true(v.allowed);
    }
    limit_free(l);
    check_int(limit_new(&l, 1000000000), ERR_NONE);
    limit_take(l, STR("a"), 5, &v);
    check_true(v.allowed);
    check_true(v.remaining > 999999990);
    limit_free(l);
    check_int(limit_new(&l, 1), ERR_NONE);
    limit_take(l, STR("a"), 5, &v);
    check_true(v.allowed);
    limit_take(l, STR("a"), 5, &v);
    check_true(!v.allowed);
    check_int(v.retry_s, 60);
    limit_free(l);
}

/* A flood of clients takes no more memory, and one that is at its limit is not forgotten for it. */
static void test_limit_flood(void **state)
{
    (void)state;
    struct limit *l;
    struct limit_verdict v;
    char name[16];

    check_int(limit_new(&l, 60), ERR_NONE);
    for (int i = 0; i < 61; i++) limit_take(l, STR("greedy"), 1000000, &v);
    check_true(!v.allowed);
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "c%d", i);
        limit_take(l, str_of(name), 1000001, &v);
        check_true(v.allowed);
    }
    limit_take(l, STR("greedy"), 1000002, &v);
    check_true(!v.allowed);
    limit_free(l);
}

/* ---- queries ---- */

static void test_query(void **state)
{
    (void)state;
    struct arena a;
    struct query q;

    arena_init(&a, 0);
    check_int(
        query_parse(&q, STR("a=1&b=x+y%20z&a=2&&c&d=&%65=f&bad=%zz%4&u=%FF%C3%A4&n=%00&eq=a=b%26"),
                    &a),
        ERR_NONE);
    check_str(query_get(&q, STR("a")), STR("2"));
    check_str(query_get(&q, STR("b")), STR("x y z"));
    check_str(query_get(&q, STR("c")), STR(""));
    check_true(query_get(&q, STR("c")).at != NULL);
    check_str(query_get(&q, STR("d")), STR(""));
    check_str(query_get(&q, STR("e")), STR("f"));
    check_str(query_get(&q, STR("bad")), STR("%zz%4"));
    check_str(query_get(&q, STR("u")), STR("\xEF\xBF\xBD\xC3\xA4"));
    check_str(query_get(&q, STR("n")), str_span("\0", 1));
    check_str(query_get(&q, STR("eq")), STR("a=b&"));
    check_true(query_get(&q, STR("absent")).at == NULL);
    check_int(query_parse(&q, STR(""), &a), ERR_NONE);
    check_int(q.count, 0);
    check_str(query_decode(STR("a%2Fb+c"), false, &a), STR("a/b+c"));
    arena_fini(&a);
}

/* ---- routes ---- */

static void test_routes(void **state)
{
    (void)state;
    const struct conf conf = {.metrics_path = "/metrics", .enable_metrics = true};
    const struct {
        const char *method, *path;
        bool upgrade;
        enum route_found want;
        const char *more; /* the parameter, or Allow */
    } cases[] = {
        {"GET", "/", false, ROUTE_FOUND, ""},
        {"HEAD", "/", false, ROUTE_FOUND, ""},
        {"GET", "/health", false, ROUTE_FOUND, ""},
        {"HEAD", "/health", false, ROUTE_FOUND, ""},
        {"POST", "/health", false, ROUTE_METHOD, "GET"},
        {"HEAD", "/api/v1/health", false, ROUTE_METHOD, "GET"},
        {"POST", "/docs", false, ROUTE_METHOD, "GET, HEAD"},
        {"GET", "/api/v1/chat", false, ROUTE_METHOD, "POST"},
        {"OPTIONS", "/api/v1/chat", false, ROUTE_METHOD, "POST"},
        {"GET", "/api/v1/chat/", false, ROUTE_SLASH, ""},
        {"POST", "/api/v1/chat/", false, ROUTE_SLASH, ""},
        {"POST", "/api/v1/chat//", false, ROUTE_NONE, ""},
        {"POST", "/API/v1/chat", false, ROUTE_NONE, ""},
        {"POST", "//api/v1/chat", false, ROUTE_NONE, ""},
        {"GET", "/api/v1/sessions/a%2Fb", false, ROUTE_FOUND, "a%2Fb"},
        {"DELETE", "/api/v1/sessions/..", false, ROUTE_FOUND, ".."},
        {"PUT", "/api/v1/sessions/x", false, ROUTE_METHOD, "GET, DELETE"},
        {"GET", "/api/v1/sessions/", false, ROUTE_SLASH, ""},
        {"GET", "/api/v1/sessions/x/", false, ROUTE_SLASH, ""},
        {"GET", "/api/v1/sessions/x/y", false, ROUTE_NONE, ""},
        {"GET", "/api/v1/chat/ws", false, ROUTE_NONE, ""},
        {"GET", "/api/v1/chat/ws", true, ROUTE_FOUND, ""},
        {"POST", "/api/v1/chat/ws", true, ROUTE_NONE, ""},
        {"GET", "/metrics", false, ROUTE_FOUND, ""},
        {"GET", "/chat", false, ROUTE_NONE, ""},
        {"GET", "/v1/nope", false, ROUTE_NONE, ""},
        {"GET", "/docs/", false, ROUTE_SLASH, ""},
        {"GET", "", false, ROUTE_NONE, ""},
        {"POST", "/v1beta/models/a/b:8b@x:generateContent", false, ROUTE_FOUND, "a/b:8b@x"},
        {"POST", "/v1beta/models/a%2Fb:countTokens", false, ROUTE_FOUND, "a%2Fb"},
        {"POST", "/v1beta/models/a:8b", false, ROUTE_NONE, ""},
        {"POST", "/v1beta/models/:generateContent", false, ROUTE_NONE, ""},
        {"POST", "/v1beta/models/a:b/c", false, ROUTE_METHOD, "GET"},
        {"GET", "/v1beta/models/a:8b", false, ROUTE_FOUND, "a:8b"},
        {"GET", "/v1beta/models/a:generateContent", false, ROUTE_METHOD, "POST"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct route *r = NULL;
        str parameter = STR("");
        char allow[ROUTE_ALLOW_BYTES] = "";
        enum route_found got = route_find(&r, &parameter, allow, &conf, str_of(cases[i].method),
                                          str_of(cases[i].path), cases[i].upgrade);
        if (got != cases[i].want) fail_msg("%s %s: %d", cases[i].method, cases[i].path, got);
        check_str(got == ROUTE_METHOD  ? str_of(allow)
                  : got == ROUTE_FOUND ? parameter
                                       : STR(""),
                  str_of(cases[i].more));
    }
    const struct conf off = {.metrics_path = "/metrics"};
    const struct route *r;
    str parameter;
    char allow[ROUTE_ALLOW_BYTES];
    check_int(route_find(&r, &parameter, allow, &off, STR("GET"), STR("/metrics"), false),
              ROUTE_NONE);
}

/* ---- images ---- */

static void test_images(void **state)
{
    (void)state;
    const struct {
        const char *text;
        bool fine;
    } cases[] = {
        {"data:image/png;base64,iVBORw0KGgo=", true},
        {"data:image/jpeg;base64,AAAA", true},
        {"data:image/webp;base64,AA==", true},
        {"DATA:image/GIF;BASE64,AAA=", true},
        {"https://images.example/cat.png?x=1", true},
        {"http://images.example/cat.png", false},
        {"https://", false},
        {"https:///cat.png", false},
        {"https://a.example/\nx", false},
        {"data:image/svg+xml;base64,AAAA", false},
        {"data:image/png,AAAA", false},
        {"data:image/png;base64,", false},
        {"data:image/png;base64,AAA", false},
        {"data:image/png;base64,AA=A", false},
        {"data:image/png;base64,A AA", false},
        {"data:text/plain;base64,AAAA", false},
        {"file:///etc/passwd", false},
        {"", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if ((image_fault(str_of(cases[i].text)) == NULL) != cases[i].fine)
            fail_msg("\"%s\": %s", cases[i].text, image_fault(str_of(cases[i].text)));

    size_t most =
        (5u << 20) / 3 * 4 + 8; /* 5 MiB is no multiple of three: one byte less, and one more */
    char *big = malloc(most + 64);
    str begin = STR("data:image/png;base64,");
    memcpy(big, begin.at, begin.len);
    memset(big + begin.len, 'A', most);
    memcpy(big + begin.len + (5242880 + 2) / 3 * 4 - 1, "=", 1); /* 5242880 = 3 * 1747626 + 2 */
    check_true(image_fault(str_span(big, begin.len + (5242880 + 2) / 3 * 4)) == NULL);
    memset(big + begin.len, 'A', most);
    check_true(image_fault(str_span(big, begin.len + (5242880 + 2) / 3 * 4)) != NULL);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),        cmocka_unit_test(test_cors),
        cmocka_unit_test(test_cors_methods), cmocka_unit_test(test_client),
        cmocka_unit_test(test_bad_networks), cmocka_unit_test(test_limit_refills_evenly),
        cmocka_unit_test(test_limit_ends),   cmocka_unit_test(test_limit_flood),
        cmocka_unit_test(test_query),        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
