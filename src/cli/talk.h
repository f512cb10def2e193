/* One side of a conversation: text in, the answer as it is written; the other side is chat in this
 * process or a server.  One answer at a time.  For src/cli alone. */
#ifndef SEMA_CLI_TALK_H
#define SEMA_CLI_TALK_H

#include "base/err.h"
#include "base/str.h"

struct chat;
struct http_client;
struct loop;
struct talk;

struct talk_events {
    void *ctx;
    void (*text)(void *ctx, str text);
    void (*done)(void *ctx, const char *failure); /* last, once; NULL: the answer is whole */
};

enum err talk_in_process(struct talk **out, struct chat *chat, struct loop *l,
                         struct talk_events to, struct err_note *why);
/* `url`: of the server, with or without a path; `key`: API_KEY, or NULL. */
enum err talk_with_server(struct talk **out, struct http_client *client, const char *url,
                          const char *key, struct talk_events to, struct err_note *why);
void talk_free(struct talk *t); /* cancels; NULL is fine */

void talk_session(struct talk *t, const char *id); /* kept by the caller */
/* No event comes before it returned. */
void talk_say(struct talk *t, str text);
void talk_cancel(struct talk *t); /* no event follows */

#endif
