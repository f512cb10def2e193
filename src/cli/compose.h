/* What serve and chat both put together from the settings: store, models, conversations.  For
 * src/cli alone. */
#ifndef SEMA_CLI_COMPOSE_H
#define SEMA_CLI_COMPOSE_H

#include "base/err.h"
#include "chat/models.h"
#include "cli/cli.h"
#include "conf/conf.h"

struct chat;
struct http_client;
struct loop;
struct shelf;

struct compose {
    struct shelf *shelf;
    struct models *models;
    struct chat *chat;
};

/* MODEL_NAME where it depends on the files of this machine: the default local model when its files
 * are here, else the built-in one.  ERR_INVALID when a fallback turns out to be the same model. */
enum err compose_model_name(const struct program *p, struct conf *c, struct err_note *why);
bool compose_is_embedded(const struct program *p, const struct conf *c);

/* SESSION_STORE, or `address` when it is not NULL. */
enum err compose_shelf(struct compose *to, const struct program *p, const struct conf *c,
                       const char *address, struct err_note *why);
/* Models and chat over the shelf; `loop` prepares the models. */
enum err compose_chat(struct compose *to, const struct program *p, const struct conf *c,
                      struct loop *loop, struct err_note *why);
/* "startup: ..." on standard error, and in the log: why no model will ever be ready. */
void compose_tell_failure(const struct conf *c, enum err e, const struct err_note *why);
/* What the settings say for one model, as its backend's `open` takes it.  ERR_UNSUPPORTED: no such
 * backend. */
enum err compose_model(struct model_conf *out, const struct program *p, const struct conf *c,
                       struct conf_model m, enum model_role role, struct err_note *why);
/* One a loop, on the thread that will run it or before. */
enum err compose_client(struct http_client **out, const struct program *p, const struct conf *c,
                        struct loop *loop, struct err_note *why);

/* The loops run no more, no turn is left.  What was accepted is still stored. */
void compose_end(struct compose *of);

#endif
