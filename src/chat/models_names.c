/* Which model a name means (openai-compat.md section 1.1), and the models that clients named: made
 * when they are first asked for, given up when nobody used them for a while. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "chat/models_inner.h"

enum {
    NAME_BYTES_MAX = 200,
    IDLE_LOOK_MS = 30 * 1000,
    IDLE_US = 5 * 60 * 1000 * 1000,
    LISTED_BYTES_MAX = 300, /* of a note */
};

struct model_type *models_names_type(struct models *m, str type)
{
    for (size_t i = 0; i < m->types_count; i++)
        if (str_eq_nocase(str_of(m->types[i].conf.ops->type), type)) return &m->types[i];
    return NULL;
}

/* That of the settings belongs to the models of the settings; another name is sent as it is. */
str models_names_version(struct models *m, const struct model_type *t, str name)
{
    if (t == NULL) return STR_NONE;
    for (size_t i = 0; i < m->configured_count; i++)
        if (strcmp(m->configured[i].ops->type, t->conf.ops->type) == 0 &&
            str_eq(m->configured[i].conf.model, name))
            return m->configured[i].conf.version;
    return t->conf.conf.version;
}

/* ---- the settings ---- */

static bool keep(struct arena *a, str *s)
{
    if (s->len == 0) return true;
    *s = arena_str(a, *s);
    return s->at != NULL;
}

static bool keep_type(struct models *m, struct model_type *t, const struct model_conf *c)
{
    struct backend_conf *b = &t->conf.conf;

    t->conf = *c;
    t->conf.role = MODEL_OTHER;
    return keep(&m->arena, &b->base_url) && keep(&m->arena, &b->key) &&
           keep(&m->arena, &b->version) && keep(&m->arena, &b->organization) &&
           keep(&m->arena, &b->project);
}

/* "name=type/name" */
static bool keep_alias(struct models *m, str line)
{
    struct alias *a = &m->aliases[m->aliases_count];
    str name, type, model = line;

    if (!str_split(&model, '=', &name) || !str_split(&model, '/', &type) || model.len == 0)
        return true;
    *a = (struct alias){str_trim(name), str_trim(type), str_trim(model)};
    m->aliases_count++;
    return keep(&m->arena, &a->name) && keep(&m->arena, &a->type) && keep(&m->arena, &a->model);
}

enum err models_more(struct models *m, const struct models_more *more, struct err_note *why)
{
    bool ok;

    pthread_mutex_lock(&m->lock);
    m->any = more->any;
    m->breaker_failures = more->breaker_failures;
    m->loads = more->loads;
    m->types = arena_array(&m->arena, struct model_type, more->types_count);
    m->aliases = arena_array(&m->arena, struct alias, more->aliases_count);
    ok = (m->types || more->types_count == 0) && (m->aliases || more->aliases_count == 0);
    for (size_t i = 0; i < more->types_count && ok; i++)
        ok = keep_type(m, &m->types[m->types_count++], &more->types[i]);
    for (size_t i = 0; i < more->aliases_count && ok; i++) ok = keep_alias(m, more->aliases[i]);
    for (size_t i = 0; i < m->count; i++)
        m->at[i]->type = models_names_type(m, str_of(m->at[i]->ops->type));
    pthread_mutex_unlock(&m->lock);
    return ok ? ERR_NONE : err_set(why, ERR_MEMORY, "out of memory for the models");
}

/* ---- what a name means: under the lock ---- */

struct meant {
    struct model *model;     /* it is there; else: */
    struct model_type *type; /* of this type, */
    str name;                /* this one is to be made; in the caller's text or the arena */
};

static struct model *made(const struct models *m, str type, str name)
{
    for (size_t i = 0; i < m->count; i++)
        if (str_eq_nocase(str_of(m->at[i]->ops->type), type) && str_eq(m->at[i]->name, name))
            return m->at[i];
    return NULL;
}

/* Whether an alias of the settings stands for it. */
static bool is_alias(const struct models *m, const char *type, str name)
{
    for (size_t i = 0; i < m->aliases_count; i++)
        if (str_eq_nocase(m->aliases[i].type, str_of(type)) && str_eq(m->aliases[i].model, name))
            return true;
    return false;
}

static bool configured(const struct models *m, const struct model *x)
{
    return x->role != MODEL_OTHER || is_alias(m, x->ops->type, x->name);
}

static bool mean(struct models *m, str type, str name, bool allowed, struct meant *out)
{
    struct model *x = made(m, type, name);

    if (x && (allowed || m->any || configured(m, x))) {
        out->model = x;
        return true;
    }
    if (x || name.len == 0 || name.len > NAME_BYTES_MAX || !(allowed || m->any)) return false;
    out->type = models_names_type(m, type);
    out->name = name;
    return out->type != NULL;
}

static bool mean_alias(struct models *m, str name, struct meant *out)
{
    for (size_t i = 0; i < m->aliases_count; i++)
        if (str_eq(m->aliases[i].name, name))
            return mean(m, m->aliases[i].type, m->aliases[i].model, true, out);
    return false;
}

static bool mean_typed(struct models *m, str name, struct meant *out)
{
    str type, rest = name;

    if (!str_split(&rest, '/', &type) || rest.at == NULL) return false;
    return mean(m, type, rest, false, out);
}

static bool mean_there(struct models *m, str name, struct meant *out)
{
    for (size_t i = 0; i < m->count; i++) {
        if (!str_eq(m->at[i]->name, name) || !(m->any || configured(m, m->at[i]))) continue;
        out->model = m->at[i];
        return true;
    }
    return false;
}

/* In a backend's own list, as far as it was heard of. */
static bool mean_offered(struct models *m, str name, struct meant *out)
{
    const char *type = models_offers_type_of(m, name);

    return type && mean(m, str_of(type), name, false, out);
}

/* Well-known shapes, when all models may be named. */
static bool mean_shape(struct models *m, str name, struct meant *out)
{
    static const struct {
        const char *prefix, *type;
    } shapes[] = {
        {"gpt-", "openai"},    {"chatgpt-", "openai"}, {"o1", "openai"},
        {"o3", "openai"},      {"o4", "openai"},       {"claude-", "anthropic"},
        {"gemini-", "google"}, {"gemma-", "google"},   {"MiniMax-", "minimax"},
        {"abab", "minimax"},
    };

    if (!m->any) return false;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (str_starts(name, str_of(shapes[i].prefix)))
            return mean(m, str_of(shapes[i].type), name, false, out);
    return str_find_char(name, '/') != STR_NPOS && mean(m, STR("hf_api"), name, false, out);
}

bool models_names_current(str name)
{
    return str_eq(name, STR("sema")) || str_eq(name, STR("default"));
}

static bool mean_current(struct models *m, str name, struct meant *out)
{
    str current = m->at[0]->name;
    size_t slash = str_rfind_char(current, '/');

    out->model = m->at[0];
    return models_names_current(name) ||
           (slash != STR_NPOS && str_eq(name, str_tail(current, slash + 1)));
}

static bool is_there(const char *list, const char *type, str name)
{
    str rest = str_of(list), one;

    while (str_split(&rest, ',', &one)) {
        one = str_trim(one);
        if (!*type ? str_eq(one, name)
                   : one.len == strlen(type) + 1 + name.len && str_starts(one, str_of(type)) &&
                         one.at[strlen(type)] == '/' && str_ends(one, name))
            return true;
    }
    return false;
}

/* Adds "type/name" to a list, once, whole or not at all. */
static void add_there(char *list, size_t room, const char *type, str name)
{
    size_t n = strlen(list), more = strlen(type) + name.len + 3;

    if (n + more + 1 > room || is_there(list, type, name)) return;
    snprintf(list + n, room - n, "%s%s%s%.*s", n ? ", " : "", type, *type ? "/" : "",
             STR_ARG(name));
}

static void list_there(const struct models *m, char there[LISTED_BYTES_MAX])
{
    there[0] = '\0';
    for (size_t i = 0; i < m->count; i++)
        if (m->at[i]->role != MODEL_OTHER)
            add_there(there, LISTED_BYTES_MAX, m->at[i]->ops->type, m->at[i]->name);
    for (size_t i = 0; i < m->aliases_count; i++)
        add_there(there, LISTED_BYTES_MAX, "", m->aliases[i].name);
    models_offers_tell(m, there, LISTED_BYTES_MAX, add_there);
}

static enum err find(struct models *m, str name, struct meant *out, struct err_note *why)
{
    struct meant it = {.model = NULL};
    char there[LISTED_BYTES_MAX];

    if (mean_alias(m, name, &it) || mean_typed(m, name, &it) || mean_there(m, name, &it) ||
        mean_offered(m, name, &it) || mean_shape(m, name, &it) || mean_current(m, name, &it)) {
        *out = it;
        return ERR_NONE;
    }
    list_there(m, there);
    return err_set(why, ERR_MODEL_NOT_FOUND, "there is no such model; there are: %s", there);
}

/* ---- making them ---- */

static void take_out(struct models *m, size_t i)
{
    models_unref_locked(m->at[i]);
    m->at[i] = m->at[--m->count]; /* the order of the others says nothing */
}

/* The one that nobody uses and that was used least recently, if that is idle_us ago. */
static bool drop_one(struct models *m, uint64_t idle_us, bool loaded_only)
{
    uint64_t now = clock_wall_us();
    size_t at = SIZE_MAX;

    for (size_t i = 0; i < m->count; i++) {
        const struct model *x = m->at[i];
        bool loaded = m->loads && strcmp(x->ops->type, m->loads) == 0;
        if (x->role != MODEL_OTHER || x->refs > 1 || (loaded_only && !loaded)) continue;
        if (x->last_used_us + idle_us > now) continue;
        if (at == SIZE_MAX || x->last_used_us < m->at[at]->last_used_us) at = i;
    }
    if (at != SIZE_MAX) take_out(m, at);
    return at != SIZE_MAX;
}

bool models_names_drop_idle(struct models *m, uint64_t idle_us)
{
    pthread_mutex_lock(&m->lock);
    bool dropped = drop_one(m, idle_us, true);
    pthread_mutex_unlock(&m->lock);
    return dropped;
}

void models_unload(struct models *m, str name)
{
    struct meant it = {.model = NULL};

    pthread_mutex_lock(&m->lock);
    if (find(m, name, &it, NULL) == ERR_NONE && it.model && it.model->role == MODEL_OTHER &&
        m->loads && strcmp(it.model->ops->type, m->loads) == 0)
        for (size_t i = 0; i < m->count; i++)
            if (m->at[i] == it.model) {
                take_out(m, i);
                break;
            }
    pthread_mutex_unlock(&m->lock);
}

static void on_idle(struct timer *t)
{
    struct models *m = container_of(t, struct models, idle);
    bool any = false;

    while (models_names_drop_idle(m, IDLE_US)) {
    }
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->count; i++) any = any || m->at[i]->role == MODEL_OTHER;
    pthread_mutex_unlock(&m->lock);
    if (any) models_names_set_idle(m);
}

void models_names_set_idle(struct models *m)
{
    if (!timer_is_set(&m->idle)) timer_set(&m->idle, m->loop, IDLE_LOOK_MS, on_idle);
}

/* Into the list, unless another thread was faster: then that one. */
static enum err put_in(struct models *m, struct model *x, struct model **out, struct err_note *why)
{
    pthread_mutex_lock(&m->lock);
    struct model *other = made(m, str_of(x->ops->type), x->name);
    if (other) {
        models_unref_locked(x);
        x = other;
    } else if (m->count < sizeof m->at / sizeof *m->at || drop_one(m, 0, false)) {
        x->last_used_us = clock_wall_us();
        m->at[m->count++] = x;
    } else {
        models_unref_locked(x);
        x = NULL;
    }
    if (x) x->refs++;
    pthread_mutex_unlock(&m->lock);
    if (x) *out = x;
    return x ? ERR_NONE : err_set(why, ERR_OVERLOADED, "too many models at once");
}

/* Files of this machine decide before the shape of a name does; without the lock, for a disk may be
 * slow.  One that is there already was not looked at: its files were. */
static enum err look_for_files(struct models *m, str name, enum err e, struct meant *it,
                               struct err_note *why)
{
    struct model_type *t = models_names_type(m, str_of(m->loads));
    bool bare = e || str_eq(it->name, name);
    char there[LISTED_BYTES_MAX];

    if (t == NULL || t->conf.ops->has == NULL || it->model) return e;
    if (!e && it->type == t) {
        if (t->conf.ops->has(&t->conf.conf, it->name)) return ERR_NONE;
        pthread_mutex_lock(&m->lock);
        list_there(m, there);
        pthread_mutex_unlock(&m->lock);
        return err_set(why, ERR_MODEL_NOT_FOUND,
                       "no files of \"%.*s\" are here (sema pull gets them); there are: %s",
                       STR_ARG(str_head(it->name, NAME_BYTES_MAX / 2)), there);
    }
    if (!m->any || !bare || name.len > NAME_BYTES_MAX || !t->conf.ops->has(&t->conf.conf, name))
        return e;
    *it = (struct meant){.type = t, .name = name};
    return ERR_NONE;
}

enum err models_names_get(struct models *m, str name, struct model **out, struct err_note *why)
{
    struct meant it = {.model = NULL};

    pthread_mutex_lock(&m->lock);
    enum err e = find(m, name, &it, why);
    if (!e && it.model) it.model->refs++;
    pthread_mutex_unlock(&m->lock);
    e = look_for_files(m, name, e, &it, why);
    if (e || it.model) {
        if (!e) *out = it.model;
        return e;
    }

    struct model_conf c = it.type->conf;
    struct model *x = NULL;
    c.conf.model = it.name;
    pthread_mutex_lock(&m->lock);
    c.conf.version = models_names_version(m, it.type, it.name);
    bool named = is_alias(m, it.type->conf.ops->type, it.name);
    pthread_mutex_unlock(&m->lock);
    e = models_make(&x, m, &c, named, why);
    if (e == ERR_CREDENTIAL || e == ERR_NOT_FOUND) e = ERR_MODEL_NOT_FOUND; /* the note says why */
    if (e) return e;
    if (m->loads == NULL || strcmp(x->ops->type, m->loads) != 0) x->state = MODEL_READY;
    return put_in(m, x, out, why);
}
