/* What is known of a service, whoever asks it: a breaker for each model, marks that say how long a
 * refused credential, a used-up quota or a long rate limit keeps it from being asked (providers.md
 * section 10).  Under models.lock. */
#include <stdlib.h>
#include <string.h>

#include "chat/models_inner.h"

enum {
    DOWN_AUTH_MS = 60 * 1000,
    DOWN_QUOTA_MS = 5 * 60 * 1000,
    DOWN_RATE_MS_MIN = 10 * 1000, /* a shorter wait is waited for, not marked */
    DOWN_RATE_MS_MAX = 60 * 60 * 1000,
    DOWN_LIMITED_MS = 10 * 1000, /* after so many limits without a time as open a breaker */
    HTTP_FORBIDDEN = 403,
};

/* The one that no model uses, and that was used least recently. */
static void make_room(struct models *m)
{
    struct service **oldest = NULL;

    for (struct service **at = &m->services; *at; at = &(*at)->next)
        if ((*at)->refs == 0 && (oldest == NULL || (*at)->used_ms <= (*oldest)->used_ms))
            oldest = at;
    if (oldest == NULL) return; /* as many are in use: bounded by the models there are */
    struct service *s = *oldest;
    *oldest = s->next;
    free(s);
    m->services_count--;
}

struct service *models_service_of(struct models *m, const char *type, str model)
{
    struct service *s = m->services;

    while (s && !(strcmp(s->type, type) == 0 && str_eq(str_span(s->model, s->model_len), model)))
        s = s->next;
    if (s == NULL) {
        if (m->services_count >= SERVICES_MAX) make_room(m);
        s = calloc(1, sizeof *s + model.len);
        if (s == NULL) return NULL;
        s->type = type;
        s->model_len = model.len;
        if (model.len) memcpy(s->model, model.at, model.len);
        s->next = m->services;
        m->services = s;
        m->services_count++;
    }
    s->refs++;
    s->used_ms = models_now_ms();
    return s;
}

void models_service_leave(struct models *m, struct service *s)
{
    (void)m;
    if (s == NULL) return;
    s->refs--;
    s->used_ms = models_now_ms();
}

void models_service_free_all(struct models *m)
{
    for (struct service *s = m->services, *next; s; s = next) {
        next = s->next;
        free(s);
    }
    m->services = NULL;
}

static enum err marked(const struct model *x, uint64_t now_ms, uint64_t *left_ms)
{
    const struct model_type *t = x->type;
    const struct service *s = x->service;

    if (t && t->down && now_ms < t->down_until_ms) {
        *left_ms = t->down_until_ms - now_ms;
        return t->down;
    }
    if (s->down && now_ms < s->down_until_ms) {
        *left_ms = s->down_until_ms - now_ms;
        return s->down;
    }
    return ERR_NONE;
}

enum err models_service_may(struct model *x, uint64_t now_ms, bool *probe, struct err_note *why)
{
    struct breaker *b = &x->service->breaker;
    uint64_t left_ms = 0;

    if (x->state != MODEL_READY) {
        bool of_chain = x->role == MODEL_PRIMARY || x->role == MODEL_FALLBACK;
        if (of_chain || !x->last_error)
            return err_set(why, ERR_NOT_READY, "%s is not ready", x->ops->type);
        if (why) *why = x->why; /* who was asked for by name says what is wrong with it */
        return x->last_error == ERR_NOT_FOUND ? ERR_MODEL_NOT_FOUND : x->last_error;
    }
    enum err e = marked(x, now_ms, &left_ms);
    if (e) {
        if (why) why->retry_after_ms = (int)left_ms;
        return err_set(why, e, "%s was marked down: %s", x->ops->type, err_row(e)->text);
    }
    enum breaker_pass pass = breaker_ask(b, now_ms);
    if (pass == BREAKER_REFUSE) {
        if (why && now_ms < b->open_until_ms)
            why->retry_after_ms = (int)(b->open_until_ms - now_ms);
        return err_set(why, ERR_NOT_READY, "%s failed too often lately", x->ops->type);
    }
    *probe = pass == BREAKER_PROBE;
    return ERR_NONE;
}

bool models_service_up(const struct model *x, uint64_t now_ms)
{
    uint64_t left_ms;
    return x->state == MODEL_READY && !marked(x, now_ms, &left_ms) &&
           breaker_state(&x->service->breaker, now_ms) == BREAKER_CLOSED;
}

static enum breaker_outcome outcome_of(enum err e)
{
    switch (e) {
    case ERR_NONE: return BREAKER_OK;
    case ERR_OVERLOADED:
    case ERR_SERVER:
    case ERR_TIMEOUT:
    case ERR_NETWORK: return BREAKER_FAILED;
    default: return BREAKER_NOTHING;
    }
}

static void mark(enum err *down, uint64_t *until_ms, enum err e, uint64_t now_ms, uint64_t for_ms)
{
    *down = e;
    *until_ms = now_ms + for_ms;
}

void models_service_judge(struct model *x, enum err e, const struct err_note *why, bool probe,
                          uint64_t now_ms)
{
    struct service *s = x->service;
    struct model_type *t = x->type;
    uint64_t asked_ms = why && why->retry_after_ms > 0 ? (uint64_t)why->retry_after_ms : 0;

    s->used_ms = now_ms;
    breaker_report(&s->breaker, outcome_of(e), probe, x->of->breaker_failures, now_ms);
    if (e == ERR_NONE) s->down = ERR_NONE;
    if (e == ERR_QUOTA || (e == ERR_AUTH && !(why && why->http_status == HTTP_FORBIDDEN))) {
        uint64_t for_ms = e == ERR_QUOTA ? DOWN_QUOTA_MS : DOWN_AUTH_MS;
        if (t)
            mark(&t->down, &t->down_until_ms, e, now_ms, for_ms);
        else
            mark(&s->down, &s->down_until_ms, e, now_ms, for_ms);
    } else if (e == ERR_AUTH)
        mark(&s->down, &s->down_until_ms, e, now_ms, DOWN_AUTH_MS);
    else if (e == ERR_RATE_LIMIT && asked_ms > DOWN_RATE_MS_MIN)
        mark(&s->down, &s->down_until_ms, e, now_ms,
             asked_ms < DOWN_RATE_MS_MAX ? asked_ms : DOWN_RATE_MS_MAX);
    /* A limit that nobody says the end of is not asked into for ever either (field case E4). */
    int most = x->of->breaker_failures;
    if (e == ERR_RATE_LIMIT && asked_ms == 0 && most > 0 && ++s->limited >= most)
        mark(&s->down, &s->down_until_ms, e, now_ms, DOWN_LIMITED_MS);
    if (e == ERR_NONE) s->limited = 0;
}
