/* sema config: what the settings are and where each came from. */
#include "cli/command.h"
#include "cli/compose.h"
#include "conf/conf.h"

static int run(struct cli *c)
{
    const char *document = cli_flag(c, "document");
    struct conf *conf;
    struct err_note why = {0};

    if (document) {
        if (conf_document(stdout, document)) return cli_end(EXIT_FINE);
        return cli_fail(c, "no document \"%s\"; one of env, markdown, man", document);
    }
    if (!cli_conf(c, NULL, &conf)) return EXIT_MISTAKE;
    if (compose_model_name(c->program, conf, &why)) {
        fprintf(stderr, "config: %s\n", why.text);
        conf_free(conf);
        return EXIT_MISTAKE;
    }
    conf_warn(conf, stderr);
    conf_print(conf, stdout, cli_flag(c, "json") != NULL);
    conf_free(conf);
    return cli_end(EXIT_FINE);
}

static const struct cli_flag flags[] = {
    {"json", NULL, "as one JSON object"},
    {"document", "env|markdown|man", "the table of settings instead, as .env.example or a page"},
};

const struct command command_config = {
    .name = "config",
    .args = "",
    .text = "show every setting, its value and where it came from; exit 1 with every mistake named",
    .flags = flags,
    .flags_count = sizeof flags / sizeof *flags,
    .settings = true,
    .run = run,
};
