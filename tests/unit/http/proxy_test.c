/* Who goes through the proxy (configuration.md, "Providers"). */
#include "check.h"

#include "http/proxy.h"

static struct arena arena;

static void test_applies(void **state)
{
    static const struct {
        const char *except, *host;
        int port;
        bool applies;
    } rows[] = {
        {"", "api.openai.com", 443, true},
        {"*", "api.openai.com", 443, false},
        {"openai.com", "api.openai.com", 443, false},
        {".openai.com", "api.openai.com", 443, false},
        {"*.openai.com", "api.openai.com", 443, false},
        {".openai.com", "openai.com", 443, false},
        {"api.openai.com", "api.openai.com.", 443, false},
        {"OpenAI.com", "api.openai.com", 443, false},
        {"penai.com", "api.openai.com", 443, true},
        {"openai.com.evil", "openai.com", 443, true},
        {"a, openai.com ,b", "openai.com", 443, false},
        {",,", "openai.com", 443, true},
        {"openai.com:443", "openai.com", 443, false},
        {"openai.com:80", "openai.com", 443, true},
        {"*:8080", "h", 8080, false},
        {"*:8080", "h", 80, true},
        {"h:x", "h", 80, true},
        {"10.0.0.0/8", "10.1.2.3", 80, false},
        {"10.0.0.0/8", "11.1.2.3", 80, true},
        {"10.128.0.0/9", "10.129.2.3", 80, false},
        {"10.128.0.0/9", "10.1.2.3", 80, true},
        {"10.0.0.0/33", "10.0.0.1", 80, true},
        {"0.0.0.0/0", "8.8.8.8", 80, false},
        {"192.168.1.5", "192.168.1.5", 80, false},
        {"192.168.1.5:81", "192.168.1.5", 80, true},
        {"168.1.5", "192.168.1.5", 80, true},
        {"10.0.0.0/8", "10.example", 80, true},
        {"fd00::/8", "fd12::1", 80, false},
        {"fd00::/8", "fe12::1", 80, true},
        {"[2001:db8::1]:80", "2001:db8::1", 80, false},
        {"[2001:db8::1]:81", "2001:db8::1", 80, true},
        {"2001:db8::1", "2001:db8:0::1", 80, false},
        {"::/0", "10.0.0.1", 80, true},
        /* loopback never */
        {"", "localhost", 80, false},
        {"", "LOCALHOST.", 80, false},
        {"", "a.localhost", 80, false},
        {"", "notlocalhost", 80, true},
        {"", "127.0.0.1", 80, false},
        {"", "127.9.9.9", 80, false},
        {"", "::1", 80, false},
        {"", "::ffff:127.0.0.1", 80, false},
        {"", "128.0.0.1", 80, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct proxy p;
        print_message("# \"%s\" %s %d\n", rows[i].except, rows[i].host, rows[i].port);
        check_int(proxy_init(&p, "http://proxy:3128", rows[i].except, &arena, NULL), ERR_NONE);
        check_int(proxy_applies(&p, str_of(rows[i].host), (uint16_t)rows[i].port), rows[i].applies);
    }
    struct proxy none;
    check_int(proxy_init(&none, NULL, "a", &arena, NULL), ERR_NONE);
    check_true(!proxy_applies(&none, STR("h"), 80));
}

static void test_address(void **state)
{
    static const char *const bad[] = {"socks5://h:1080", "https://h", "h:3128", "http://u:hush@"};
    struct err_note why = {0};
    struct proxy p;

    (void)state;
    check_int(proxy_init(&p, "http://Aladdin:open%20sesame@h:1", NULL, &arena, NULL), ERR_NONE);
    check_str(p.authorization, STR("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    check_int(proxy_init(&p, "http://a%zz%4@h:1", NULL, &arena, NULL), ERR_NONE);
    check_str(p.authorization, STR("Basic YSV6eiU0"));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_int(proxy_init(&p, bad[i], NULL, &arena, &why), ERR_INVALID);
        check_true(strstr(why.text, "hush") == NULL);
    }
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_applies),
                                       cmocka_unit_test(test_address)};
    return cmocka_run_group_tests_name("http/proxy", tests, NULL, teardown);
}
