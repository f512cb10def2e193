/* An address is taken apart the same way whatever its spelling; what could split a request line or
 * name no host is refused. */
#include "check.h"

#include "http/url.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static void test_parts(void **state)
{
    static const struct {
        const char *text;
        bool tls;
        const char *host;
        int port;
        const char *target, *user, *authority;
    } rows[] = {
        {"https://api.openai.com/v1", true, "api.openai.com", 443, "/v1", "", "api.openai.com"},
        {"HTTP://Example.COM", false, "example.com", 80, "/", "", "example.com"},
        {"http://h:8000/v1/", false, "h", 8000, "/v1/", "", "h:8000"},
        {"http://h:80/x", false, "h", 80, "/x", "", "h"},
        {"https://h:80/x", true, "h", 80, "/x", "", "h:80"},
        {"http://h:/x", false, "h", 80, "/x", "", "h"},
        {"http://h?a=b", false, "h", 80, "/?a=b", "", "h"},
        {"http://h/p?a=b#frag", false, "h", 80, "/p?a=b", "", "h"},
        {"http://h#frag", false, "h", 80, "/", "", "h"},
        {"http://[::1]:9/x", false, "::1", 9, "/x", "", "[::1]:9"},
        {"http://[2001:DB8::1]", false, "2001:db8::1", 80, "/", "", "[2001:db8::1]"},
        {"http://127.0.0.1:1/", false, "127.0.0.1", 1, "/", "", "127.0.0.1:1"},
        {"http://me:se@cret@proxy:3128", false, "proxy", 3128, "/", "me:se@cret", "proxy:3128"},
        {"http://h/a@b:c", false, "h", 80, "/a@b:c", "", "h"},
        {"http://my_host.local./", false, "my_host.local.", 80, "/", "", "my_host.local."},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct url u;
        print_message("# %s\n", rows[i].text);
        check_int(url_parse(&u, str_of(rows[i].text), &arena), ERR_NONE);
        check_int(u.tls, rows[i].tls);
        check_str(u.host, str_of(rows[i].host));
        check_int(u.port, rows[i].port);
        check_str(u.target, str_of(rows[i].target));
        check_str(u.user, str_of(rows[i].user));
        check_str(u.authority, str_of(rows[i].authority));
    }
}

static void test_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "h",
        "not-a-url",
        "ftp://h",
        "socks5://h:1",
        "http:/h",
        "http://",
        "http:///x",
        "http://:80",
        "http://h:0",
        "http://h:65536",
        "http://h:8x",
        "http://h:-1",
        "http://h/a b",
        "http://h/a\r\nX: y",
        "http://h/\x7f",
        "http://h\xc3\xa9",
        "http://h/\xc3\xa9",
        "http://[::1",
        "http://[::1]x",
        "http://[h]",
        "http://[]",
        "http://a]b",
        "http://a,b",
        "http://.h",
        "http://h%2e",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct url u = {.port = 7};
        print_message("# refused row %zu\n", i);
        check_int(url_parse(&u, str_of(rows[i]), &arena), ERR_INVALID);
        check_int(u.port, 7); /* written on success only */
    }
    check_int(url_parse(&(struct url){0}, STR("http://h/\0x"), &arena), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
    };
    return cmocka_run_group_tests_name("http/url", tests, NULL, NULL);
}
