/* The template language beyond what the reference's vectors pin down: limits, hostile templates,
 * values from JSON. */
#include "check.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "engine/template/template.h"

static const struct tm some_day = {
    .tm_year = 124, .tm_mon = 6, .tm_mday = 26, .tm_hour = 9, .tm_min = 5, .tm_sec = 3};

static enum err render(const char *source, const char *context, struct buf *out,
                       struct err_note *why)
{
    struct template *t;
    yyjson_doc *doc;

    buf_clear(out);
    *why = (struct err_note){0};
    check_int(json_read(&doc, str_of(context), 1024, JSON_RAW_NUMBERS, NULL), ERR_NONE);
    enum err e = template_parse(&t, str_of(source), why);
    if (!e) {
        e = template_render(t, yyjson_doc_get_root(doc), &some_day, out, why);
        template_free(t);
    }
    yyjson_doc_free(doc);
    return e;
}

struct hostile {
    const char *source;
    enum err e; /* ERR_COUNT: any failure */
};

/* Templates built to take all time or memory end soon with an error; none crashes. */
static void test_hostile(void **state)
{
    static const struct hostile cases[] = {
        {"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
         ERR_LIMIT},
        {"{{ range(1000000000)|list }}", ERR_LIMIT},
        {"{{ 'x' * 9999999999 }}", ERR_LIMIT},
        {"{{ ('x' * 100000000) ~ ('y' * 100000000) ~ ('y' * 100000000) }}", ERR_LIMIT},
        {"{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% "
         "endfor %}",
         ERR_LIMIT},
        {"{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% "
         "endfor %}",
         ERR_LIMIT},
        {"{% set ns = namespace(s=[]) %}{% for i in range(9999) %}{% set ns.s = [ns.s] %}{% endfor "
         "%}{{ ns.s }}",
         ERR_LIMIT},
        {"{% set ns = namespace(s=[]) %}{% for i in range(9999) %}{% set ns.s = [ns.s] %}{% endfor "
         "%}{{ ns.s == ns.s + [] }}",
         ERR_LIMIT},
        {"{% set ns = namespace(s={}) %}{% for i in range(9999) %}{% set ns.s = {'a': ns.s} %}{% "
         "endfor %}{{ ns.s|tojson }}",
         ERR_LIMIT},
        {"{% set ns = namespace(a=1, b=1) %}{% for i in range(9999) %}{% set ns.a = (ns.a, 1) %}{% "
         "set ns.b = (ns.b, 1) %}{% endfor %}"
         "{{ ns.a == ns.b }}",
         ERR_LIMIT},
        {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", ERR_LIMIT},
        {"{% macro f(a=f()) %}{% endmacro %}{{ f() }}", ERR_COUNT},
        {"{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}{% call f() %}x{% endcall %}{% "
         "endcall %}",
         ERR_NONE},
        {"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", ERR_LIMIT},
        {"{{ 'a'|center(9999999999) }}", ERR_LIMIT},
        {"{{ 'a'.ljust(9999999999) }}", ERR_LIMIT},
        {"{{ '%999999999d' % 1 }}", ERR_LIMIT},
        {"{{ '{:999999999d}'.format(1) }}", ERR_LIMIT},
        {"{{ '%.999999999f' % 1.0 }}", ERR_LIMIT},
        {"{{ 'a'|indent(9999999999) }}", ERR_LIMIT},
        {"{{ {}|tojson(indent=9999999999) }}", ERR_LIMIT},
        {"{{ strftime_now('%1000000000Y') }}", ERR_NONE},
        {"{{ 10 ** 10 ** 10 }}", ERR_UNSUPPORTED},
        {"{{ 9223372036854775807 + 1 }}", ERR_UNSUPPORTED},
        {"{{ -9223372036854775807 - 2 }}", ERR_UNSUPPORTED},
        {"{{ (-9223372036854775807 - 1) // -1 }}", ERR_UNSUPPORTED},
        {"{{ (-9223372036854775807 - 1) % -1 }}", ERR_NONE},
        {"{{ (-9223372036854775807 - 1)|abs }}", ERR_UNSUPPORTED},
        {"{{ range(-9223372036854775807, 9223372036854775807, 1)|length }}", ERR_LIMIT},
        {"{{ range(9223372036854775806, 9223372036854775807, 5)|list }}", ERR_NONE},
        {"{{ 'abc'[::9223372036854775807] }}{{ 'abc'[9223372036854775807:] }}{{ "
         "[1][-9223372036854775807:] }}",
         ERR_NONE},
        {"{{ 'abc'[::-9223372036854775807] }}", ERR_NONE},
        {"{{ range(-9000000000000000000, 9000000000000000000, 1000000000000000000)[::10]|list }}",
         ERR_NONE},
        {"{{ range(10)[::9223372036854775807] }}", ERR_NONE},
        {"{{ [[1,2],[3]]|sum(start=5) }}", ERR_UNSUPPORTED},
        {"{% for a, b in [1] %}{% endfor %}", ERR_UNSUPPORTED},
        {"{% set x.y = 1 %}", ERR_UNSUPPORTED},
        {"{% break %}", ERR_UNSUPPORTED},
        {"{% include 'x' %}", ERR_INVALID},
        {"{% extends 'x' %}", ERR_INVALID},
        {"{{ ''.__class__.__mro__ }}", ERR_UNSUPPORTED},
        {"{{ '{0.__class__}'.format(1) }}", ERR_NONE},
        {"{{ caller() }}", ERR_UNSUPPORTED},
        {"{{ loop }}{{ loop.index }}", ERR_UNSUPPORTED},
        {"{{", ERR_INVALID},
        {"{% if", ERR_INVALID},
        {"{#", ERR_INVALID},
        {"{% raw %}", ERR_INVALID},
        {"{{ 'abc }}", ERR_INVALID},
        {"{{ '\\ud800' }}", ERR_NONE},
        {"{{ 1_ }}", ERR_INVALID},
        {"{{ a.1.b }}", ERR_COUNT},
        {"{{ 0x }}", ERR_INVALID},
        {"{{ ) }}", ERR_INVALID},
        {"\xff\xfe{{ 'a' }}\x80", ERR_NONE},
    };
    struct buf out;
    struct err_note why;

    buf_init(&out, 256u << 20);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t from = clock_mono_us();
        enum err e = render(cases[i].source, "{}", &out, &why);
        uint64_t took = clock_mono_us() - from;
        bool right = cases[i].e == ERR_COUNT ? e != ERR_NONE : e == cases[i].e;
        if (!right) print_error("%s: %d %s\n", cases[i].source, e, why.text);
        check_true(right);
        if (took >= check_slow(5 * 1000 * 1000))
            print_error("%s took %llu us\n", cases[i].source, (unsigned long long)took);
        check_true(took <
                   check_slow(5 * 1000 * 1000)); /* well under a second without a sanitizer */
    }
    buf_fini(&out);
}

/* Nesting in the source is bounded too. */
static void test_deep_source(void **state)
{
    static const struct {
        const char *open, *close;
    } cases[] = {
        {"(", ")"},   {"[", "]"},           {"-", ""},   {"not ", ""},
        {"{1:", "}"}, {"a if b else ", ""}, {"f(", ")"}, {"a[", "]"},
    };
    struct template *t;
    struct err_note why;
    struct buf b;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_init(&b, 1 << 20);
        buf_add(&b, STR("{{ "));
        for (int k = 0; k < 20000; k++) buf_add(&b, str_of(cases[i].open));
        buf_add(&b, STR("1"));
        for (int k = 0; k < 20000; k++) buf_add(&b, str_of(cases[i].close));
        buf_add(&b, STR(" }}"));
        check_true(template_parse(&t, buf_str(&b), &why) != ERR_NONE);
        buf_fini(&b);
    }
    buf_init(&b, 1 << 20);
    for (int k = 0; k < 20000; k++) buf_add(&b, STR("{% if 1 %}"));
    check_int(template_parse(&t, buf_str(&b), &why), ERR_LIMIT);
    buf_clear(&b);
    /* A long chain is no nesting for the reader, but it is for the evaluation. */
    buf_add(&b, STR("{{ 1"));
    for (int k = 0; k < 20000; k++) buf_add(&b, STR(" + 1"));
    buf_add(&b, STR(" }}"));
    check_int(template_parse(&t, buf_str(&b), &why), ERR_NONE);
    yyjson_doc *doc = yyjson_read("{}", 2, 0);
    struct buf out;
    buf_init(&out, 1000);
    check_int(template_render(t, yyjson_doc_get_root(doc), &some_day, &out, &why), ERR_LIMIT);
    check_int(out.len, 0);
    template_free(t);
    yyjson_doc_free(doc);
    buf_fini(&out);
    buf_fini(&b);
}

/* Numbers come out of JSON as they went in. */
static void test_numbers(void **state)
{
    static const char *const same[] = {
        "0",
        "-1",
        "1.0",
        "2.50",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "123456789012345678901234567890",
        "-123456789012345678901234567890",
        "1e3",
        "0.1",
        "1e400",
    };
    static const char *const want[] = {
        "0",
        "-1",
        "1.0",
        "2.5",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "123456789012345678901234567890",
        "-123456789012345678901234567890",
        "1000.0",
        "0.1",
        "Infinity",
    };
    struct buf out;
    struct err_note why;
    char context[128];

    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        snprintf(context, sizeof context, "{\"v\": %s}", same[i]);
        check_int(render("{{ v|tojson }}", context, &out, &why), ERR_NONE);
        check_str(buf_str(&out), str_of(want[i]));
    }
    check_int(render("{{ v == v and v > 5 and v }}", "{\"v\": 99999999999999999999}", &out, &why),
              ERR_NONE);
    check_str(buf_str(&out), STR("99999999999999999999"));
    check_int(render("{{ d.a }}{{ d|length }}", "{\"d\": {\"a\": 1, \"b\": 2, \"a\": 3}}", &out,
                     &why),
              ERR_NONE);
    check_str(buf_str(&out), STR("32"));
    buf_fini(&out);
}

/* A rendering goes behind what is there, and leaves nothing when it fails. */
static void test_output(void **state)
{
    struct template *t;
    struct err_note why;
    struct buf out;
    yyjson_doc *doc = yyjson_read("{\"a\": 0}", 8, 0);

    buf_init(&out, 1 << 16);
    buf_add(&out, STR("before "));
    check_int(template_parse(&t, STR("text {{ 1 // a }}"), &why), ERR_NONE);
    check_int(template_render(t, yyjson_doc_get_root(doc), &some_day, &out, &why), ERR_UNSUPPORTED);
    check_str(buf_str(&out), STR("before "));
    check_true(strstr(why.text, "line 1") && strstr(why.text, "division"));
    template_free(t);
    check_int(template_parse(&t, STR("text"), &why), ERR_NONE);
    check_int(template_render(t, yyjson_doc_get_root(doc), &some_day, &out, NULL), ERR_NONE);
    check_str(buf_str(&out), STR("before text"));
    template_free(t);
    check_int(template_parse(&t, STR("{{ raise_exception('no: ' ~ '\xc3\xa4%s') }}"), &why),
              ERR_NONE);
    check_int(template_render(t, yyjson_doc_get_root(doc), &some_day, &out, &why), ERR_INVALID);
    check_str(str_of(why.text), STR("no: \xc3\xa4%s"));
    template_free(t);
    yyjson_doc_free(doc);
    buf_fini(&out);
}

/* What is made of many things stays quick: dicts are indexed, sorting is not quadratic. */
static void test_large(void **state)
{
    struct buf context, out;
    struct err_note why;

    buf_init(&context, 64u << 20);
    buf_init(&out, 64u << 20);
    buf_add(&context, STR("{\"d\": {"));
    for (int i = 0; i < 200000; i++) buf_addf(&context, "%s\"key%d\": %d", i ? "," : "", i, i);
    buf_add(&context, STR("}, \"l\": ["));
    for (int i = 0; i < 50000; i++) buf_addf(&context, "%s%d", i ? "," : "", (i * 7919) % 50000);
    buf_add(&context, STR("]}"));
    buf_add_char(&context, '\0');
    uint64_t from = clock_mono_us();
    check_int(render("{{ d.key199999 }}{% for k in d if k == 'key7' %}{{ d[k] }}{% endfor %}{{ "
                     "(l|sort)[5] }}",
                     context.at, &out, &why),
              ERR_NONE);
    check_str(buf_str(&out), STR("19999975"));
    check_true(clock_mono_us() - from < 5 * 1000 * 1000);
    buf_fini(&context);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile), cmocka_unit_test(test_deep_source),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_output),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
