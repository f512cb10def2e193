/* sema sessions: the stored conversations, straight from the store, of all owners.  It works beside
 * a running server as a second process on the same file. */
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/command.h"
#include "conf/conf.h"

enum {
    LISTED_AT_ONCE = 500,
    LINE_BYTES_MAX = 1 << 30, /* of one exported session: what memory gives, but an end */
};

struct work {
    struct cli *cli;
    struct conf *conf;
    const struct store_ops *ops;
    struct store *store;
    bool json;
    const char *owner; /* NULL: all */
    const char *id;
    uint64_t found;
    struct buf line; /* a piece of the output */
    struct json_out out;
    str only_owner; /* of the one session that was found */
    char *owners;   /* its copy */
    bool several;
    int status;
};

/* ---- the store ---- */

static bool open_store(struct work *w)
{
    const char *address = w->conf->session_store;
    struct store_conf conf = {.sync_full = w->conf->session_sync_full};
    struct err_note why = {0};

    if (address == NULL) {
        cli_fail(w->cli, "no default place for sessions can be written; set SESSION_STORE");
        return false;
    }
    str scheme = str_head(str_of(address), str_find_char(str_of(address), ':'));
    conf.address = str_tail(str_of(address), scheme.len + 1);
    for (const struct store_ops *const *k = w->cli->program->stores; *k; k++)
        if (str_eq(scheme, str_of((*k)->scheme))) w->ops = *k;
    if (conf.address.len == 0) {
        cli_fail(w->cli, "SESSION_STORE=%s keeps sessions inside the server alone", address);
        return false;
    }
    if (str_find(conf.address, STR("://")) == STR_NPOS && access(conf.address.at, F_OK) != 0) {
        cli_fail(w->cli, "there is no session store at %s yet; SESSION_STORE names another",
                 conf.address.at);
        return false;
    }
    if (w->ops && w->ops->open(&w->store, &conf, &why) == ERR_NONE) return true;
    cli_fail(w->cli, "%s", why.text[0] ? why.text : "unknown session store");
    return false;
}

/* Every session of the owner that was asked for, or of all. */
static enum err each_session(struct work *w, session_fn *each)
{
    struct err_note why = {0};
    uint64_t cursor = 0;
    enum err e;

    do {
        str owner = str_of(w->owner);
        e = w->ops->list(w->store, owner, 0, cursor, LISTED_AT_ONCE, each, w, &cursor, &why);
    } while (!e && cursor);
    if (e) w->status = cli_fail(w->cli, "%s", err_text(&why, e));
    return e;
}

/* ---- one session as JSON ---- */

static void put_time(struct json_out *o, const char *key, uint64_t at_us)
{
    char iso[CLOCK_ISO_BYTES];

    clock_iso(iso, at_us);
    json_key(o, key), json_text(o, str_of(iso));
}

static void put_row(struct json_out *o, const struct session_row *row)
{
    json_key(o, "session_id"), json_text(o, row->key.id);
    json_key(o, "owner"), json_text(o, row->key.owner);
    put_time(o, "created_at", row->created_us);
    put_time(o, "updated_at", row->updated_us);
    json_key(o, "message_count"), json_int(o, (int64_t)row->count);
    json_key(o, "model_name"),
        json_text_or_null(o, row->model_name.len ? row->model_name : STR_NONE);
}

static const char *role_name(enum stored_role role)
{
    return role == STORED_USER ? "user" : "assistant";
}

static void flush_line(struct work *w)
{
    if (w->line.bad) {
        w->status = cli_fail(w->cli, "%s", err_text(NULL, ERR_MEMORY));
    } else {
        buf_add_char(&w->line, '\n');
        fwrite(w->line.at, 1, w->line.len, stdout);
    }
    buf_clear(&w->line);
}

/* ---- list ---- */

static enum err list_row(void *ctx, const struct session_row *row)
{
    struct work *w = ctx;

    w->found++;
    if (w->json) {
        w->out = json_begin(&w->line);
        json_object(&w->out);
        put_row(&w->out, row);
        json_end_object(&w->out);
        flush_line(w);
        return ERR_NONE;
    }
    char iso[CLOCK_ISO_BYTES];
    clock_iso(iso, row->updated_us);
    printf("%.19sZ %6llu  ", iso, (unsigned long long)row->count);
    cli_print_word(stdout, row->key.id);
    if (row->key.owner.len) {
        fputs("  owner ", stdout);
        cli_print_word(stdout, row->key.owner);
    }
    if (row->model_name.len) {
        fputs("  ", stdout);
        cli_print_word(stdout, row->model_name);
    }
    fputc('\n', stdout);
    return ERR_NONE;
}

static void list(struct work *w)
{
    if (!w->json) puts("updated              messages  session");
    if (each_session(w, list_row) == ERR_NONE && !w->json && w->found == 0) puts("no sessions");
}

/* ---- finding one ---- */

static enum err find_row(void *ctx, const struct session_row *row)
{
    struct work *w = ctx;

    if (!str_eq(row->key.id, str_of(w->id))) return ERR_NONE;
    if (w->found++) {
        w->several = true;
        return ERR_NONE;
    }
    w->owners = malloc(row->key.owner.len + 1);
    if (w->owners == NULL) return ERR_MEMORY;
    if (row->key.owner.len) memcpy(w->owners, row->key.owner.at, row->key.owner.len);
    w->only_owner = str_span(w->owners, row->key.owner.len);
    return ERR_NONE;
}

/* The key of the session with that id; two owners may have one of the same name. */
static bool find(struct work *w, const char *id, struct session_key *key)
{
    free(w->owners);
    w->owners = NULL;
    w->id = id;
    w->found = 0;
    w->several = false;
    if (each_session(w, find_row)) return false;
    if (w->found == 0)
        w->status = cli_fail(w->cli, "no session \"%s\"; sema sessions list shows them", id);
    else if (w->several)
        w->status = cli_fail(w->cli, "%llu owners have a session \"%s\"; name one with --owner",
                             (unsigned long long)w->found, id);
    else
        *key = (struct session_key){.owner = w->only_owner, .id = str_of(id)};
    return w->found == 1;
}

/* ---- show, export ---- */

static enum err show_row(void *ctx, const struct session_row *row)
{
    struct work *w = ctx;

    if (row->born == 0) return ERR_NONE;
    if (w->json) {
        w->out = json_begin(&w->line);
        json_object(&w->out);
        put_row(&w->out, row);
        json_key(&w->out, "messages");
        json_array(&w->out);
    }
    return ERR_NONE;
}

static enum err show_message(void *ctx, uint64_t seq, const struct stored *m)
{
    struct work *w = ctx;
    char iso[CLOCK_ISO_BYTES];

    (void)seq;
    if (w->json) {
        json_object(&w->out);
        json_key(&w->out, "role"), json_text(&w->out, str_of(role_name(m->role)));
        json_key(&w->out, "content"), json_text(&w->out, m->content);
        put_time(&w->out, "timestamp", m->at_us);
        json_key(&w->out, "metadata"), json_raw(&w->out, m->metadata);
        json_end_object(&w->out);
        return w->line.bad ? ERR_MEMORY : ERR_NONE;
    }
    clock_iso(iso, m->at_us);
    printf("%.19sZ %s\n", iso, role_name(m->role));
    cli_print_safe(stdout, m->content);
    fputs("\n\n", stdout);
    return ERR_NONE;
}

static void show(struct work *w, struct session_key key)
{
    struct err_note why = {0};
    enum err e = w->ops->read(w->store, key, 0, 0, UINT64_MAX, show_row, show_message, w, &why);

    if (e) {
        w->status = cli_fail(w->cli, "%s", err_text(&why, e));
    } else if (w->json && w->line.len) {
        json_end_array(&w->out);
        json_end_object(&w->out);
        flush_line(w);
    }
}

/* Keys first: the store is not asked for one thing while it tells another. */
struct keys {
    struct arena arena;
    struct session_key *at;
    size_t count, cap;
};

static enum err keep_key(void *ctx, const struct session_row *row)
{
    struct keys *k = ctx;

    if (k->count == k->cap) {
        size_t cap = k->cap ? k->cap * 2 : 64;
        struct session_key *more = realloc(k->at, cap * sizeof *more);
        if (more == NULL) return ERR_MEMORY;
        k->at = more;
        k->cap = cap;
    }
    struct session_key *key = &k->at[k->count];
    key->owner = arena_str(&k->arena, row->key.owner);
    key->id = arena_str(&k->arena, row->key.id);
    if (key->owner.at == NULL || key->id.at == NULL) return ERR_MEMORY;
    k->count++;
    return ERR_NONE;
}

static void export_all(struct work *w)
{
    struct keys keys = {0};
    struct err_note why = {0};
    uint64_t cursor = 0;
    enum err e;
    str owner = str_of(w->owner);

    arena_init(&keys.arena, 0);
    do {
        e = w->ops->list(w->store, owner, 0, cursor, LISTED_AT_ONCE, keep_key, &keys, &cursor,
                         &why);
    } while (!e && cursor);
    if (e) w->status = cli_fail(w->cli, "%s", err_text(&why, e));
    for (size_t i = 0; i < keys.count && w->status == EXIT_FINE; i++) show(w, keys.at[i]);
    free(keys.at);
    arena_fini(&keys.arena);
}

/* ---- delete ---- */

static void forget(struct work *w, struct session_key key)
{
    struct err_note why = {0};
    bool was = false;
    enum err e = w->ops->forget(w->store, key, &was, &why);

    if (e)
        w->status = cli_fail(w->cli, "%s", err_text(&why, e));
    else if (!was)
        w->status = cli_fail(w->cli, "no session \"%s\"", w->id);
    /* Deleted text leaves file and log now: nobody comes by later. */
    w->ops->tend(w->store, clock_mono_us());
}

/* ---- the command ---- */

static void each_named(struct work *w, void (*act)(struct work *w, struct session_key key))
{
    for (size_t i = 1; i < w->cli->args_count && w->status == EXIT_FINE; i++) {
        struct session_key key;
        if (find(w, w->cli->args[i], &key)) act(w, key);
    }
}

static int run(struct cli *c)
{
    static const char *const only[] = {"SEMA_ENV_FILE", "SESSION_STORE", "SESSION_SYNC",
                                       "REDIS_URL", NULL};
    const char *what = c->args_count ? c->args[0] : "list";
    struct work w = {.cli = c, .json = cli_flag(c, "json") != NULL, .owner = cli_flag(c, "owner")};
    bool is_list = strcmp(what, "list") == 0, is_show = strcmp(what, "show") == 0;
    bool is_export = strcmp(what, "export") == 0, is_delete = strcmp(what, "delete") == 0;

    if (!is_list && !is_show && !is_export && !is_delete)
        return cli_fail(c, "\"%s\" is none of list, show, export, delete", what);
    if ((is_show || is_delete) && c->args_count < 2)
        return cli_fail(c, "which one? sema sessions %s ID", what);
    if (is_list && c->args_count > 1) return cli_fail(c, "unexpected argument \"%s\"", c->args[1]);
    if (!cli_conf(c, only, &w.conf)) return EXIT_MISTAKE;
    buf_init(&w.line, LINE_BYTES_MAX);
    if (!open_store(&w)) {
        w.status = EXIT_MISTAKE;
    } else if (is_list) {
        list(&w);
    } else if (is_export) {
        w.json = true;
        if (c->args_count > 1)
            each_named(&w, show);
        else
            export_all(&w);
    } else {
        each_named(&w, is_show ? show : forget);
    }
    if (w.store) w.ops->close(w.store);
    buf_fini(&w.line);
    free(w.owners);
    conf_free(w.conf);
    return cli_end(w.status);
}

static const struct cli_flag flags[] = {
    {"json", NULL, "one JSON object a line"},
    {"owner", "OWNER", "only sessions of this key or user; \"\" are those of an open server"},
};

const struct command command_sessions = {
    .name = "sessions",
    .args = "[list | show ID... | export [ID...] | delete ID...]",
    .text = "list, show, export or delete stored conversations",
    .more = "It opens SESSION_STORE itself, also while the server runs, and sees the sessions of "
            "all owners.\n"
            "export writes one JSON object a session and line, messages included.\n",
    .flags = flags,
    .flags_count = sizeof flags / sizeof *flags,
    .args_max = CLI_ARGS_MAX,
    .settings = true,
    .run = run,
};
