/* sema pull: a model's files from the hub, with a bar for those who look. */
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "cli/command.h"
#include "conf/conf.h"
#include "hub/pull.h"

enum { BAR_CELLS = 24, TELL_US = 10 * 1000 * 1000 };

static _Atomic bool cancel;

static void on_interrupt(int number)
{
    (void)number;
    atomic_store(&cancel, true);
}

struct shown {
    bool terminal;
    uint64_t told_us;
};

static void print_bytes(FILE *to, double bytes)
{
    if (bytes >= 1e9)
        fprintf(to, "%.2f GB", bytes / 1e9);
    else
        fprintf(to, "%.1f MB", bytes / 1e6);
}

static void print_left(FILE *to, double seconds)
{
    int s = seconds > 0 && seconds < 360000 ? (int)seconds : 0;

    if (s >= 3600)
        fprintf(to, "%d:%02d:%02d left", s / 3600, s / 60 % 60, s % 60);
    else
        fprintf(to, "%d:%02d left", s / 60, s % 60);
}

static void on_progress(void *ctx, const struct pull_progress *p)
{
    struct shown *s = ctx;
    double seconds = (double)p->elapsed_us / 1e6;
    double rate = seconds > 0 ? (double)p->fetched / seconds : 0;
    double part = p->bytes > 0 ? (double)p->bytes_done / (double)p->bytes : 0;
    bool whole = p->files_done == p->files;

    if (!s->terminal && !whole && p->elapsed_us < s->told_us + TELL_US) return;
    s->told_us = p->elapsed_us;
    if (s->terminal) {
        int full = part < 1 ? (int)(part * BAR_CELLS) : BAR_CELLS;
        fputs("\r\033[K[", stderr);
        for (int i = 0; i < BAR_CELLS; i++) fputc(i < full ? '#' : '.', stderr);
        fputs("] ", stderr);
    }
    fprintf(stderr, "%zu/%zu files, ", p->files_done, p->files);
    print_bytes(stderr, (double)p->bytes_done);
    fputs(" of ", stderr);
    print_bytes(stderr, (double)p->bytes);
    if (!whole && rate > 0) {
        fputs(", ", stderr);
        print_bytes(stderr, rate);
        fputs("/s, ", stderr);
        print_left(stderr, (double)(p->bytes - p->bytes_done) / rate);
    }
    if (!s->terminal || whole) fputc('\n', stderr);
    fflush(stderr);
}

static int run(struct cli *c)
{
    static const char *const only[] = {"HF_API_TOKEN",   "HF_HOME",     "HF_HUB_CACHE",
                                       "HF_HUB_OFFLINE", "HF_ENDPOINT", NULL};
    struct conf *conf;
    struct err_note why = {0};
    struct arena a;
    const char *path;
    struct shown shown = {.terminal = isatty(STDERR_FILENO)};

    if (c->args_count == 0) return cli_fail(c, "which model? sema pull OWNER/NAME");
    if (!cli_conf(c, only, &conf)) return EXIT_MISTAKE;
    if (conf->hf_hub_offline) {
        conf_free(conf);
        return cli_fail(c, "HF_HUB_OFFLINE is set: nothing is downloaded");
    }
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    arena_init(&a, 0);
    struct pull_conf how = {
        .endpoint = conf->hf_endpoint,
        .cache = conf->hf_hub_cache,
        .token = conf->hf_api_token,
        .revision = cli_flag(c, "revision"),
        .cancel = &cancel,
        .progress = on_progress,
        .ctx = &shown,
    };
    enum err e = hub_pull(&path, str_of(c->args[0]), &how, &a, &why);
    int status = EXIT_FINE;
    if (e) {
        if (shown.terminal) fputc('\n', stderr);
        /* "model "x/y" is gated: ..." is one sentence; every other note is one of its own. */
        status = e == ERR_AUTH ? cli_fail(c, "model \"%s\" %s", c->args[0], err_text(&why, e))
                               : cli_fail(c, "%s", err_text(&why, e));
    } else {
        printf("%s\n", path);
    }
    arena_fini(&a);
    conf_free(conf);
    return cli_end(status);
}

static const struct cli_flag flags[] = {
    {"revision", "NAME", "branch, tag or commit; main without it"},
};

const struct command command_pull = {
    .name = "pull",
    .args = "OWNER/NAME[:TYPE]",
    .text = "get a model's files from the hub into the shared cache",
    .more =
        "Only the files that the model needs are fetched; what an earlier try or another program\n"
        "left there is used.  :TYPE or :FILE.gguf chooses in a repository of GGUF files.  The\n"
        "folder, or the file, is printed at the end.\n",
    .flags = flags,
    .flags_count = sizeof flags / sizeof *flags,
    .args_max = 1,
    .settings = true,
    .run = run,
};
