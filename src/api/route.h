/* The table of routes: who answers what, and what is checked before.  /openapi.json is made from
 * it. */
#ifndef SEMA_API_ROUTE_H
#define SEMA_API_ROUTE_H

#include <stdbool.h>

#include "base/str.h"
#include "conf/conf.h"

struct call;

enum route_flags {
    ROUTE_OPEN = 1,      /* no credentials needed */
    ROUTE_QUERY_KEY = 2, /* credentials in the query count */
    ROUTE_SPENDS = 4,    /* generates or changes something: no cross-site request */
    ROUTE_HEAD = 8,      /* HEAD is answered as well, and listed in Allow */
    ROUTE_HEAD_NEW = 16, /* HEAD is answered, not listed */
    ROUTE_UPGRADE = 32,  /* exists only for a request that asks for a WebSocket */
    ROUTE_METRICS = 64,  /* at METRICS_PATH */
    ROUTE_HIDDEN = 128,  /* not in /openapi.json */
    ROUTE_REST = 256,    /* what stands for the parameter may hold '/' */
    ROUTE_VERBS = 512,   /* the same path with a verb is another route, or none */
};

struct route {
    const char *method;
    const char *path; /* "{session_id}" at the end stands for one segment; ":verb" may follow */
    unsigned flags;
    void (*answer)(struct call *c);
    /* For /openapi.json: */
    const char *tag, *name, *summary;
    const char *schema; /* of the 200 answer; NULL: none */
};

extern const struct route routes[];
extern const size_t routes_count;

enum route_found {
    ROUTE_FOUND,
    ROUTE_NONE,   /* 404 */
    ROUTE_METHOD, /* 405; `allow` is filled */
    ROUTE_SLASH,  /* 307 to the path without its last character */
};

enum { ROUTE_ALLOW_BYTES = 48 };

/* The route of a request; its path is compared as it was sent.  `upgrade`: it asks for a WebSocket.
 * `parameter` is what stands for {session_id}, still encoded. */
enum route_found route_find(const struct route **out, str *parameter, char allow[ROUTE_ALLOW_BYTES],
                            const struct conf *conf, str method, str path, bool upgrade);
/* Its place in the table, routes_count for NULL. */
size_t route_index(const struct route *r);
const char *route_path(const struct route *r, const struct conf *conf);

/* ---- what answers them, one file per resource ---- */
void docs_root(struct call *c);
void docs_page(struct call *c);
void openapi_get(struct call *c);
void health_plain(struct call *c);
void health_status(struct call *c);
void health_api(struct call *c);
void health_api_status(struct call *c);
void chat_post(struct call *c);
void chat_stream_get(struct call *c);
void chat_ws_get(struct call *c);
void sessions_list(struct call *c);
void sessions_get(struct call *c);
void sessions_delete(struct call *c);
void about_model(struct call *c);
void metrics_get(struct call *c);
void model_switch_post(struct call *c);
void models_list(struct call *c);
void backends_list(struct call *c);

/* ---- the APIs of others (api/served) ---- */
void served_openai_chat(struct call *c);
void served_openai_completions(struct call *c);
void served_responses(struct call *c);
void served_openai_models(struct call *c);
void served_openai_model(struct call *c);
void served_anthropic_messages(struct call *c);
void served_anthropic_count(struct call *c);
void served_ollama_chat(struct call *c);
void served_ollama_generate(struct call *c);
void served_ollama_tags(struct call *c);
void served_ollama_ps(struct call *c);
void served_ollama_version(struct call *c);
void served_ollama_show(struct call *c);
void served_ollama_elsewhere(struct call *c);
void served_openai_embeddings(struct call *c);
void served_ollama_embed(struct call *c);
void served_ollama_embeddings(struct call *c);
void served_google_generate(struct call *c);
void served_google_stream(struct call *c);
void served_google_count(struct call *c);
void served_google_models(struct call *c);
void served_google_model(struct call *c);

#endif
