/* /health, /status and their namesakes below /api/v1 (http-api.md section 10).  They touch no store
 * and no provider, and no lock that another thread holds long; only `probe=true` asks anybody. */
#include "api/health.h"

#include <pthread.h>
#include <stdlib.h>

#include "api/inside.h"
#include "api/validate.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

enum {
    HEALTH_BYTES_MAX = 64 * 1024,
    PROBE_KEPT_US = 30 * 1000 * 1000, /* a probe's outcome serves everybody for so long */
    PROBE_WAIT_MS = 15 * 1000,        /* who waits for one under way is told what is known then */
};

static void put_time(struct json_out *o)
{
    char when[CLOCK_ISO_BYTES];

    clock_iso(when, clock_wall_us());
    json_key(o, "timestamp"), json_text(o, str_of(when));
}

static double uptime_s(const struct api *a)
{
    return (double)(clock_mono_us() - a->started_us) / 1e6;
}

static void put_model(struct json_out *o, const struct api *a)
{
    struct model_view v = {.type = a->conf->model.type, .name = str_of(a->conf->model.name)};

    if (models_count(a->parts.models)) models_view(a->parts.models, 0, &v);
    json_key(o, "model_type"), json_text(o, str_of(v.type));
    json_key(o, "model_name"), json_text(o, v.name);
}

void health_plain(struct call *c)
{
    struct buf body;

    buf_init(&body, HEALTH_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "status"), json_text(&o, STR("healthy"));
    json_key(&o, "service"), json_text(&o, STR("sema-chat-api"));
    json_key(&o, "version"), json_text(&o, str_of(c->api->conf->app_version));
    json_key(&o, "uptime_seconds"), json_num(&o, uptime_s(c->api));
    put_model(&o, c->api);
    json_end_object(&o);
    call_json(c, 200, &body);
}

void health_status(struct call *c)
{
    struct buf body;

    buf_init(&body, HEALTH_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "status"), json_text(&o, STR("ok"));
    json_key(&o, "service"), json_text(&o, STR("sema-chat-api"));
    json_key(&o, "version"), json_text(&o, str_of(c->api->conf->app_version));
    json_key(&o, "environment"), json_text(&o, str_of(c->api->conf->environment));
    json_end_object(&o);
    call_json(c, 200, &body);
}

void health_api_status(struct call *c)
{
    struct buf body;

    buf_init(&body, HEALTH_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "status"), json_text(&o, STR("ok"));
    json_key(&o, "service"), json_text(&o, STR("sema-chat-api"));
    json_key(&o, "version"), json_text(&o, str_of(c->api->conf->app_version));
    put_time(&o);
    json_end_object(&o);
    call_json(c, 200, &body);
}

static void answer(struct call *c, bool healthy)
{
    struct api *a = c->api;
    bool ready = models_any_ready(a->parts.models);
    struct buf body;

    buf_init(&body, HEALTH_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "status"), json_text(&o, ready && healthy ? STR("healthy") : STR("unhealthy"));
    json_key(&o, "version"), json_text(&o, str_of(a->conf->app_version));
    put_model(&o, a);
    json_key(&o, "model_loaded"), json_bool(&o, ready);
    json_key(&o, "uptime"), json_num(&o, uptime_s(a));
    json_key(&o, "active_sessions"), json_int(&o, (int64_t)shelf_sessions(a->parts.shelf));
    put_time(&o);
    json_end_object(&o);
    call_json(c, 200, &body);
}

/* ---- probe=true ---- */

/* Who waits for a probe that is under way, perhaps on another loop. */
struct probe_wait {
    struct task task;
    struct timer deadline;
    struct call *call; /* NULL: answered, or the client left */
    struct loop *loop;
    struct probe_wait *next;
    bool healthy;
};

struct probe {
    pthread_mutex_t lock;
    bool known, healthy, under_way;
    uint64_t at_us;
    struct probe_wait *waiting;
    /* Of the one that is under way: */
    struct model_use *use;
};

enum err health_probe_new(struct probe **out)
{
    struct probe *p = calloc(1, sizeof *p);
    if (p == NULL) return ERR_MEMORY;
    pthread_mutex_init(&p->lock, NULL);
    *out = p;
    return ERR_NONE;
}

void health_probe_free(struct probe *p)
{
    if (p == NULL) return;
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static void on_told(struct task *t)
{
    struct probe_wait *w = container_of(t, struct probe_wait, task);
    struct call *c = w->call;
    bool healthy = w->healthy;

    timer_stop(&w->deadline);
    free(w);
    if (c) answer(c, healthy);
}

static void settled(struct probe *p, bool healthy)
{
    struct probe_wait *w, *next;

    pthread_mutex_lock(&p->lock);
    p->known = true;
    p->healthy = healthy;
    p->under_way = false;
    p->at_us = clock_mono_us();
    w = p->waiting;
    p->waiting = NULL;
    pthread_mutex_unlock(&p->lock);
    for (; w; w = next) {
        next = w->next;
        w->healthy = healthy;
        loop_post(w->loop, &w->task);
    }
}

static void on_prepared(void *ctx, enum err e, const struct err_note *why)
{
    struct api *a = ctx;

    if (e)
        log_event(LEVEL_ERROR, "chat", "health_check_failed", LOG_CSTR("error", err_text(why, e)),
                  LOG_CSTR("code", err_row(e)->code));
    model_use_drop(a->probe->use);
    a->probe->use = NULL;
    settled(a->probe, e == ERR_NONE);
}

/* The first ready model's free check.  A model inside the program is as its state says. */
static void begin(struct call *c)
{
    struct api *a = c->api;
    struct model_use *use = NULL;
    enum err e = models_use(a->parts.models, &use);
    const struct backend_ops *ops = e ? NULL : model_use_ops(use);
    if (ops && str_eq(str_of(ops->type), STR("local"))) {
        model_use_drop(use);
        ops = NULL;
    }
    if (ops == NULL) {
        settled(a->probe, models_any_ready(a->parts.models));
        return;
    }
    a->probe->use = use;
    ops->prepare(model_use_backend(use), c->at->loop, on_prepared, a);
}

static void on_gone(struct call *c)
{
    struct probe_wait *w = c->own;
    w->call = NULL;
}

static void on_end(struct call *c)
{
    struct probe_wait *w = c->own;

    w->call = NULL;
    answer(c, false);
}

static void on_deadline(struct timer *t)
{
    struct probe_wait *w = container_of(t, struct probe_wait, deadline);
    struct call *c = w->call;

    w->call = NULL;
    if (c) answer(c, false);
}

static void probe(struct call *c)
{
    struct probe *p = c->api->probe;
    struct probe_wait *w = calloc(1, sizeof *w);

    if (w == NULL) {
        call_out_of_memory(c);
        return;
    }
    pthread_mutex_lock(&p->lock);
    bool fresh = p->known && !p->under_way && clock_mono_us() - p->at_us < PROBE_KEPT_US;
    bool healthy = p->healthy, first = !fresh && !p->under_way;
    if (!fresh) {
        p->under_way = true;
        w->task.run = on_told;
        w->call = c;
        w->loop = c->at->loop;
        w->next = p->waiting;
        p->waiting = w;
    }
    pthread_mutex_unlock(&p->lock);
    if (fresh) {
        free(w);
        answer(c, healthy);
        return;
    }
    call_wait(c, w, on_gone, on_end);
    timer_set(&w->deadline, c->at->loop, PROBE_WAIT_MS, on_deadline);
    if (first) begin(c);
}

static bool wants_probe(struct call *c, bool *out)
{
    static const struct field fields[] = {{"probe", FIELD_BOOL, false, IN_QUERY, 0, 0, NULL, 0}};
    struct complaints list;

    *out = false;
    complaints_init(&list);
    enum err e = validate_query(fields, 1, &c->query, out, &c->r->arena, &list);
    if (e) {
        json_end_array(&list.out);
        call_fail_list(c, 422, "validation_error", buf_str(&list.json));
    }
    complaints_fini(&list);
    return e == ERR_NONE;
}

void health_api(struct call *c)
{
    bool wanted;

    if (!wants_probe(c, &wanted)) return;
    if (!wanted)
        answer(c, true);
    else if (call_authenticate(c) && call_within_limit(c))
        probe(c);
}
