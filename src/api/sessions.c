/* GET and DELETE of /api/v1/sessions (http-api.md section 8). */
#include <stdio.h>
#include <stdlib.h>

#include "api/inside.h"
#include "api/validate.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

enum {
    PAGE_MAX = 1000,
    LIST_BYTES_MAX = 1 << 30, /* of a whole conversation without `limit` */
};

/* A question to the store.  The store cannot be told to forget it, so it outlives a client that
 * leaves. */
struct wait {
    struct call *call; /* NULL: the client left, or was answered */
    const char *log_failed;
};

struct page {
    int64_t limit, before, cursor; /* -1: not given */
};

#define AT(member) offsetof(struct page, member)
static const struct field page_of_messages[] = {
    {"limit", FIELD_INT, false, IN_QUERY, 1, PAGE_MAX, NULL, AT(limit)},
    {"before", FIELD_INT, false, IN_QUERY, 1, FIELD_NO_MAX, NULL, AT(before)},
};
static const struct field page_of_sessions[] = {
    {"limit", FIELD_INT, false, IN_QUERY, 1, PAGE_MAX, NULL, AT(limit)},
    {"cursor", FIELD_INT, false, IN_QUERY, 0, FIELD_NO_MAX, NULL, AT(cursor)},
};
#undef AT

static bool read_page(struct call *c, const struct field fields[2], struct page *out)
{
    struct complaints list;

    *out = (struct page){-1, -1, -1};
    complaints_init(&list);
    enum err e = validate_query(fields, 2, &c->query, out, &c->r->arena, &list);
    if (e == ERR_INVALID) {
        json_end_array(&list.out);
        call_fail_list(c, 422, "validation_error", buf_str(&list.json));
    } else if (e) {
        call_out_of_memory(c);
    }
    complaints_fini(&list);
    return e == ERR_NONE;
}

static void on_gone(struct call *c)
{
    struct wait *w = c->own;
    w->call = NULL;
}

static void on_end(struct call *c)
{
    struct wait *w = c->own;

    w->call = NULL;
    call_fail_turn(c, ERR_SHUTTING_DOWN, NULL, NULL);
}

static struct wait *wait_new(struct call *c, const char *log_failed)
{
    struct wait *w = calloc(1, sizeof *w);
    if (w == NULL) {
        call_out_of_memory(c);
        return NULL;
    }
    w->call = c;
    w->log_failed = log_failed;
    call_wait(c, w, on_gone, on_end);
    return w;
}

static void refused(struct wait *w, enum err e, const struct err_note *why)
{
    struct call *c = w->call;

    log_event(LEVEL_ERROR, "chat", w->log_failed, LOG_CSTR("error", err_text(why, e)));
    free(w);
    call_fail_turn(c, e == ERR_MEMORY ? e : ERR_STORE, why, NULL);
}

/* The call that still wants the answer; NULL: it was seen to. */
static struct call *answered(struct wait *w, struct shelf_answer *a)
{
    struct call *c = w->call;

    if (c && a->e) {
        refused(w, a->e, &a->why);
        c = NULL;
    } else {
        free(w);
    }
    if (c == NULL) shelf_answer_free(a);
    return c;
}

static void put_time(struct json_out *o, const char *key, uint64_t us)
{
    char when[CLOCK_ISO_BYTES];

    clock_iso(when, us);
    json_key(o, key), json_text(o, str_of(when));
}

/* ---- one session ---- */

static void on_session(void *ctx, struct shelf_answer *a)
{
    struct call *c = answered(ctx, a);
    struct buf body;

    if (c == NULL) return;
    if (a->row.born == 0 && a->row.count == 0 && a->count == 0) {
        shelf_answer_free(a);
        call_fail(c, 404, "session_not_found", STR("Session not found"));
        return;
    }
    buf_init(&body, LIST_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_object(&o);
    json_key(&o, "session_id"), json_text(&o, c->session);
    json_key(&o, "messages"), json_array(&o);
    for (size_t i = 0; i < a->count; i++) {
        const struct stored *m = &a->messages[i];
        json_object(&o);
        json_key(&o, "role"),
            json_text(&o, m->role == STORED_USER ? STR("user") : STR("assistant"));
        json_key(&o, "content"), json_text(&o, m->content);
        put_time(&o, "timestamp", m->at_us);
        json_key(&o, "metadata"), json_raw(&o, m->metadata.len ? m->metadata : STR("{}"));
        json_end_object(&o);
    }
    json_end_array(&o);
    put_time(&o, "created_at", a->row.created_us);
    put_time(&o, "updated_at", a->row.updated_us);
    json_key(&o, "message_count"), json_int(&o, (int64_t)a->row.count);
    json_end_object(&o);
    shelf_answer_free(a);
    call_json(c, 200, &body);
}

void sessions_get(struct call *c)
{
    struct page p;
    struct wait *w;

    if (!read_page(c, page_of_messages, &p)) return;
    if ((w = wait_new(c, "get_session_failed")) == NULL) return;
    const struct session_key key = {c->owner, c->session};
    enum err e =
        chat_session(c->api->parts.chat, c->at->loop, key, p.before < 0 ? 0 : (uint64_t)p.before,
                     p.limit < 0 ? UINT64_MAX : (uint64_t)p.limit, on_session, w);
    if (e) refused(w, e, NULL);
}

/* ---- all of an owner's ---- */

static void on_list(void *ctx, struct shelf_answer *a)
{
    struct call *c = answered(ctx, a);
    struct buf body;

    if (c == NULL) return;
    buf_init(&body, LIST_BYTES_MAX);
    struct json_out o = json_begin(&body);
    json_array(&o);
    for (size_t i = 0; i < a->rows_count; i++) {
        const struct session_row *row = &a->rows[i];
        json_object(&o);
        json_key(&o, "session_id"), json_text(&o, row->key.id);
        put_time(&o, "created_at", row->created_us);
        put_time(&o, "updated_at", row->updated_us);
        json_key(&o, "message_count"), json_int(&o, (int64_t)row->count);
        json_key(&o, "model_name"), json_text(&o, row->model_name);
        json_key(&o, "is_active"), json_bool(&o, true);
        json_end_object(&o);
    }
    json_end_array(&o);
    if (a->next) {
        char next[24];
        snprintf(next, sizeof next, "%llu", (unsigned long long)a->next);
        response_header(c->r, "X-Next-Cursor", str_of(next));
    }
    shelf_answer_free(a);
    call_json(c, 200, &body);
}

void sessions_list(struct call *c)
{
    struct page p;
    struct wait *w;

    if (!read_page(c, page_of_sessions, &p)) return;
    if ((w = wait_new(c, "get_active_sessions_failed")) == NULL) return;
    enum err e = chat_sessions(c->api->parts.chat, c->at->loop, c->owner,
                               p.cursor < 0 ? 0 : (uint64_t)p.cursor,
                               p.limit < 0 ? UINT64_MAX : (uint64_t)p.limit, on_list, w);
    if (e) refused(w, e, NULL);
}

/* ---- forgetting ---- */

static void on_forgotten(void *ctx, struct shelf_answer *a)
{
    struct call *c = answered(ctx, a);
    struct buf body;

    if (c == NULL) return;
    shelf_answer_free(a);
    buf_init(&body, 128);
    buf_add(&body, STR("{\"message\":\"Session cleared successfully\"}"));
    call_json(c, 200, &body);
}

void sessions_delete(struct call *c)
{
    const struct session_key key = {c->owner, c->session};
    struct wait *w = wait_new(c, "clear_session_failed");

    if (w == NULL) return;
    enum err e = chat_forget(c->api->parts.chat, c->at->loop, key, on_forgotten, w);
    if (e) refused(w, e, NULL);
}
