/* sema models and sema rm: the models of the shared cache. */
#include <stdlib.h>

#include "base/json.h"
#include "cli/command.h"
#include "conf/conf.h"
#include "engine/arch/model.h"
#include "engine/format/files.h"
#include "hub/cache.h"

enum { TEXT_BYTES_MAX = 16 << 20 };

static const char *const only[] = {"HF_HOME", "HF_HUB_CACHE", NULL};

/* The family of a model's files, or why they do not run. */
static const char *family_of(const char *path, struct arena *a, struct err_note *why)
{
    struct files *files;
    struct model *model = NULL;
    const char *family = NULL;

    if (path == NULL) {
        err_set(why, ERR_UNSUPPORTED, "no weights that Sema reads");
        return NULL;
    }
    if (files_open(&files, path, why)) return NULL;
    if (model_open(&model, files, 1, why) == ERR_NONE)
        family = arena_str(a, str_of(model_info(model)->family)).at;
    model_close(model);
    files_close(files);
    return family;
}

static void put_row(struct json_out *o, const struct cached_model *m, const char *family,
                    const char *why)
{
    json_object(o);
    json_key(o, "name"), json_text(o, m->name);
    json_key(o, "bytes"), json_int(o, (int64_t)m->bytes);
    json_key(o, "family"), json_text_or_null(o, str_of(family));
    json_key(o, "path"), json_text_or_null(o, str_of(m->path));
    if (family == NULL) json_key(o, "error"), json_text(o, str_of(why));
    json_end_object(o);
}

static int run_models(struct cli *c)
{
    struct conf *conf;
    struct arena a;
    struct cached_model *list;
    size_t count;
    struct err_note why = {0};
    struct buf text;

    if (!cli_conf(c, only, &conf)) return EXIT_MISTAKE;
    arena_init(&a, 0);
    buf_init(&text, TEXT_BYTES_MAX);
    struct json_out o = json_begin(&text);
    bool json = cli_flag(c, "json");
    enum err e = cache_list(conf->hf_hub_cache, &list, &count, &a, &why);
    int status = e ? cli_fail(c, "%s", err_text(&why, e)) : EXIT_FINE;

    if (!e && json) json_array(&o);
    for (size_t i = 0; !e && i < count; i++) {
        struct err_note reason = {0};
        const char *family = family_of(list[i].path, &a, &reason);
        if (json)
            put_row(&o, &list[i], family, reason.text);
        else
            buf_addf(&text, "%-48.*s %9.1f MB  %s\n", STR_ARG(list[i].name),
                     (double)list[i].bytes / 1e6, family ? family : reason.text);
    }
    if (!e && json) {
        json_end_array(&o);
        buf_add_char(&text, '\n');
    }
    if (!e && !json && count == 0)
        buf_addf(&text, "no models in %s; get one with: sema pull OWNER/NAME\n",
                 conf->hf_hub_cache);
    fwrite(text.at, 1, text.len, stdout);
    buf_fini(&text);
    arena_fini(&a);
    conf_free(conf);
    return cli_end(status);
}

static int run_rm(struct cli *c)
{
    struct conf *conf;
    struct err_note why = {0};
    uint64_t bytes = 0;

    if (c->args_count == 0) return cli_fail(c, "which model? sema rm OWNER/NAME");
    if (!cli_conf(c, only, &conf)) return EXIT_MISTAKE;
    enum err e = cache_remove(conf->hf_hub_cache, str_of(c->args[0]), &bytes, &why);
    int status = EXIT_FINE;
    if (e)
        status = cli_fail(c, "%s", err_text(&why, e));
    else
        printf("removed %s, %.1f MB\n", c->args[0], (double)bytes / 1e6);
    conf_free(conf);
    return cli_end(status);
}

static const struct cli_flag flags[] = {
    {"json", NULL, "as a JSON array"},
};

const struct command command_models = {
    .name = "models",
    .args = "",
    .text = "the models of the shared cache: size and family",
    .flags = flags,
    .flags_count = sizeof flags / sizeof *flags,
    .settings = true,
    .run = run_models,
};

const struct command command_rm = {
    .name = "rm",
    .args = "OWNER/NAME",
    .text = "remove a model from the shared cache",
    .args_max = 1,
    .settings = true,
    .run = run_rm,
};
