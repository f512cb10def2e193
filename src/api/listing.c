#include "api/listing.h"

#include "base/clock.h"

struct asking {
    struct call *call;
    listing_fn *then;
};

static bool same_model(const struct listed *l, str type, str name)
{
    return str_eq(l->type, type) && str_eq(l->name, name);
}

/* A model of the settings and others of its name in another backend need their type told. */
static void name_configured(struct arena *a, struct listing *l, size_t from)
{
    for (size_t i = from; i < l->count; i++) {
        struct listed *x = &l->at[i];
        bool shared = false;
        for (size_t k = 0; k < l->count; k++)
            shared = shared || (k != i && (l->at[k].alias ? str_eq(l->at[k].id, x->name)
                                                          : str_eq(l->at[k].name, x->name)));
        if (shared) x->id = arena_strf(a, "%.*s/%.*s", STR_ARG(x->type), STR_ARG(x->name));
    }
}

static void add_aliases(struct call *c, struct listing *l)
{
    const struct conf_list *aliases = &c->api->conf->model_aliases;

    for (size_t i = 0; i < aliases->count; i++) {
        str line = str_of(aliases->at[i]);
        size_t equals = str_find_char(line, '=');
        if (equals == STR_NPOS) continue;
        str target = str_tail(line, equals + 1);
        size_t slash = str_find_char(target, '/');
        if (slash == STR_NPOS) continue;
        l->at[l->count++] = (struct listed){.id = str_trim(str_head(line, equals)),
                                            .type = str_trim(str_head(target, slash)),
                                            .name = str_trim(str_tail(target, slash + 1)),
                                            .alias = true,
                                            .ready = true};
    }
}

/* Those of the settings, then those that clients named. */
static void add_views(struct call *c, struct listing *l, size_t max, bool configured)
{
    const struct models *m = c->api->parts.models;
    struct arena *a = &c->r->arena;
    struct model_view v;

    for (size_t i = 0; l->count < max && models_view(m, i, &v); i++) {
        struct listed *x = &l->at[l->count];
        bool known = false;
        if ((v.role != MODEL_OTHER) != configured) continue;
        for (size_t k = 0; k < l->count; k++)
            known = known || (!l->at[k].alias && same_model(&l->at[k], str_of(v.type), v.name));
        if (known) continue;
        *x = (struct listed){.type = str_of(v.type),
                             .name = arena_str(a, v.name),
                             .configured = configured,
                             .ready = v.state == MODEL_READY,
                             .context_length = v.context_length,
                             .can = v.can};
        x->id = configured ? x->name : arena_strf(a, "%s/%.*s", v.type, STR_ARG(x->name));
        if (x->id.at) l->count++;
    }
}

static void complete(struct listed *x, const struct models_offer *o)
{
    if (x->context_length == 0) x->context_length = o->context_length;
    if (x->output_tokens == 0) x->output_tokens = o->output_tokens;
    if (x->can == 0) x->can = o->can;
    x->files = o->files;
}

static void add_offers(struct call *c, struct listing *l, const struct models_offers *offers)
{
    size_t there = l->count;

    for (size_t i = 0; i < offers->count; i++) {
        const struct models_offer *o = &offers->at[i];
        bool known = false;
        for (size_t k = 0; k < there; k++) {
            if (!same_model(&l->at[k], str_of(o->type), o->name)) continue;
            complete(&l->at[k], o);
            known = known || !l->at[k].alias;
        }
        if (known || !offers->any) continue;
        struct listed *x = &l->at[l->count];
        *x = (struct listed){
            .id = arena_strf(&c->r->arena, "%s/%.*s", o->type, STR_ARG(o->name)),
            .type = str_of(o->type),
            .name = o->name,
            .ready = o->files == NULL, /* a local one has to be loaded first */
        };
        complete(x, o);
        if (x->id.at) l->count++;
    }
}

/* An alias is as ready as what it stands for. */
static void complete_aliases(struct listing *l)
{
    for (size_t i = 0; i < l->count && l->at[i].alias; i++)
        for (size_t k = i; k < l->count; k++) {
            const struct listed *target = &l->at[k];
            if (target->alias || !same_model(&l->at[i], target->type, target->name)) continue;
            l->at[i].ready = target->ready;
            l->at[i].can = target->can;
            if (target->context_length) l->at[i].context_length = target->context_length;
            if (target->output_tokens) l->at[i].output_tokens = target->output_tokens;
        }
}

static void on_offers(void *ctx, const struct models_offers *offers)
{
    struct asking *q = ctx;
    struct call *c = q->call;
    size_t views = models_count(c->api->parts.models) + 8;
    size_t max = c->api->conf->model_aliases.count + views;
    struct listing l = {.at = arena_array(&c->r->arena, struct listed, max + offers->count)};

    call_waited(c);
    if (l.at == NULL) {
        call_out_of_memory(c);
        return;
    }
    add_aliases(c, &l);
    size_t aliases = l.count;
    add_views(c, &l, max, true);
    name_configured(&c->r->arena, &l, aliases);
    if (offers->any) add_views(c, &l, max, false);
    add_offers(c, &l, offers);
    complete_aliases(&l);
    q->then(c, &l);
}

static void on_gone(struct call *c)
{
    models_asker_leave(c->own);
}

static void on_end(struct call *c)
{
    models_asker_leave(c->own);
    call_fail_turn(c, ERR_SHUTTING_DOWN, NULL, NULL);
}

void listing_ask(struct call *c, listing_fn *then)
{
    struct asking *q = arena_new(&c->r->arena, struct asking);
    struct models_asker *a = NULL;

    if (q) {
        *q = (struct asking){c, then};
        a = models_offers(c->api->parts.models, c->at->loop, on_offers, q);
    }
    if (a)
        call_wait(c, a, on_gone, on_end);
    else
        call_out_of_memory(c);
}

const struct listed *listing_find(const struct listing *l, str id)
{
    str rest = id, type;

    for (size_t i = 0; i < l->count; i++)
        if (str_eq(l->at[i].id, id)) return &l->at[i];
    if (str_split(&rest, '/', &type) && rest.at)
        for (size_t i = 0; i < l->count; i++)
            if (!l->at[i].alias && same_model(&l->at[i], type, rest)) return &l->at[i];
    for (size_t i = 0; i < l->count; i++)
        if (str_eq(l->at[i].name, id)) return &l->at[i];
    return NULL;
}

const struct listed *listing_resolve(struct call *c, const struct listing *l, str name,
                                     struct listed *unlisted)
{
    const struct listed *found = listing_find(l, name);
    struct model_view v;

    if (found) return found;
    if (models_resolve(c->api->parts.models, name, &v, NULL)) return NULL;
    for (size_t i = 0; i < l->count; i++)
        if (!l->at[i].alias && same_model(&l->at[i], str_of(v.type), v.name)) return &l->at[i];
    *unlisted = (struct listed){.id = name,
                                .type = str_of(v.type),
                                .name = arena_str(&c->r->arena, v.name),
                                .ready = v.state == MODEL_READY,
                                .context_length = v.context_length,
                                .can = v.can};
    return unlisted;
}

uint64_t listing_made_s(const struct call *c, const struct listed *l)
{
    uint64_t started_us = clock_wall_us() - (clock_mono_us() - c->api->started_us);

    if (l->files && l->files->modified_s) return l->files->modified_s;
    return (started_us + 500000) / 1000000; /* the two clocks are read one after the other */
}
