/* Who asks (http-api.md section 14): the holder of API_KEY, a user named by a signed token, or
 * anybody while neither setting is given. */
#ifndef SEMA_API_AUTH_H
#define SEMA_API_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "api/query.h"
#include "base/arena.h"
#include "base/err.h"
#include "http/header.h"

struct auth {
    str key;    /* API_KEY; empty: not set */
    str secret; /* JWT_SECRET; empty: not set */
};

enum auth_kind { AUTH_NOBODY, AUTH_OPEN, AUTH_KEY, AUTH_USER };

struct auth_who {
    enum auth_kind kind;
    str user;         /* `sub` of an AUTH_USER; in the arena */
    uint64_t until_s; /* `exp`, Unix time; UINT64_MAX when the token has none */
};

static inline bool auth_needed(const struct auth *a)
{
    return a->key.len > 0 || a->secret.len > 0;
}

/* `query` NULL where credentials in the query do not count.  AUTH_NOBODY: refused. */
void auth_check(const struct auth *a, const struct headers *h, const struct query *query,
                uint64_t now_s, struct arena *arena, struct auth_who *out);

/* The same for Google's clients, which send either kind of credential as x-goog-api-key or ?key=.
 */
void auth_check_google(const struct auth *a, const struct headers *h, const struct query *query,
                       uint64_t now_s, struct arena *arena, struct auth_who *out);

/* A JSON Web Token (RFC 7515, 7519): HS256 alone, `exp` and `nbf` honoured, a non-empty text `sub`.
 * ERR_INVALID without a word why: whoever guesses learns nothing. */
enum err auth_token(str token, str secret, uint64_t now_s, struct arena *arena, str *user,
                    uint64_t *until_s);

#endif
