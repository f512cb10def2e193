/* A settings file, as flags and as the environment: the bytes are all three at once.  Whatever they
 * say, loading ends, every mistake is one line, what passes keeps its bounds, and no line shows the
 * secret that the environment holds. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "conf/conf.h"
#include "conf/dotenv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET "sk-nobody-may-see-this"

static void must(bool holds)
{
    if (!holds) abort();
}

static const char *no_env(void *ctx, str name)
{
    (void)ctx;
    return str_eq(name, STR("HOME")) ? "/h" : NULL;
}

static void try_lines(str text)
{
    struct dotenv lines;
    struct arena a;
    struct dotenv_events to = {.env = no_env};

    arena_init(&a, 0);
    must(dotenv_parse(&lines, text, &a, to) == ERR_NONE);
    for (size_t i = 0; i < lines.count; i++) must(lines.at[i].key.len > 0 && lines.at[i].line > 0);
    arena_fini(&a);
}

static void check_conf(const struct conf *c)
{
    must(c->port >= 0 && c->port <= 65535 && c->workers >= 1 && c->workers <= 256);
    must(c->temperature >= 0 && c->temperature <= 1 && c->top_p > 0 && c->top_p <= 1);
    must(c->max_new_tokens >= 1 && c->max_new_tokens <= 2048 && c->max_length >= 64);
    must(c->provider_connect_timeout_ms > 0 && c->provider_total_timeout_ms > 0);
    must(c->model.type && c->host && c->metrics_path[0] == '/');
    must(c->fallbacks_count >= 0 && c->fallbacks_count <= CONF_FALLBACKS_MAX);
    must(!c->api_key || strlen(c->api_key) >= 8);
}

/* Lines of the input as flags and as variables. */
static void try_words(char *text, bool as_flags)
{
    enum { WORDS_MAX = 64 };
    char *words[WORDS_MAX + 2] = {NULL}, *said, *shown;
    size_t count = 0, said_bytes, shown_bytes;
    char secret[] = "OPENAI_API_KEY=" SECRET;
    char *environ_of_secret[] = {secret, NULL};

    if (!as_flags) words[count++] = secret;
    for (char *at = text; at && count < WORDS_MAX;) {
        char *end = strchr(at, '\n');
        if (end) *end++ = '\0';
        words[count++] = at;
        at = end;
    }
    FILE *to = open_memstream(&said, &said_bytes), *print = open_memstream(&shown, &shown_bytes);
    if (to == NULL || print == NULL) abort();
    struct conf_input in = {.cpus = 4,
                            .warnings = to,
                            .environ = as_flags ? environ_of_secret : words};
    if (as_flags) {
        in.argc = (int)count;
        in.argv = words;
    }
    struct conf *c = NULL;
    enum err e = conf_load(&c, &in, to);
    must(e == ERR_NONE || e == ERR_INVALID);
    if (!e) {
        check_conf(c);
        conf_print(c, print, false);
        conf_print(c, print, true);
        conf_free(c);
    }
    fclose(to);
    fclose(print);
    must(str_find(str_span(said, said_bytes), STR(SECRET)) == STR_NPOS);
    must(str_find(str_span(shown, shown_bytes), STR(SECRET)) == STR_NPOS);
    must((e == ERR_NONE) == (str_find(str_span(said, said_bytes), STR("config: ")) == STR_NPOS) ||
         str_find(str_span(said, said_bytes), STR("warning: ")) != STR_NPOS);
    free(said);
    free(shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 64 * 1024) return 0;
    /* A fuzzer that watches comparisons puts it into its own input. */
    if (size && memmem(data, size, SECRET, sizeof SECRET - 1)) return 0;
    try_lines(str_span(data, size));
    for (int as_flags = 0; as_flags < 2; as_flags++) {
        char *text = malloc(size + 1);
        if (text == NULL) return 0;
        memcpy(text, data, size);
        text[size] = '\0';
        /* Of the names of files only those that lead nowhere. */
        if (!strstr(text, "/") && !strcasestr(text, "env")) try_words(text, as_flags);
        free(text);
    }
    return 0;
}
