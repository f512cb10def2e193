#include "api/served/token.h"

#include "base/base64.h"

/* Before "issuer.id.kind.token"; a multiple of three, so that it is the beginning of the base64. */
#define HEAD "sema.1"
#define HEAD_AS_BASE64 "c2VtYS4x"

enum { TOKEN_BYTES_MAX = 16 << 20 };

str served_token(const struct part *p, struct arena *a)
{
    str id = str_find_char(p->id, '.') == STR_NPOS ? p->id : STR("");
    str token = p->redacted.len ? p->redacted : p->signature;
    struct buf plain, coded;

    buf_init(&plain, TOKEN_BYTES_MAX);
    buf_init(&coded, 2u * TOKEN_BYTES_MAX);
    buf_addf(&plain, HEAD "%.*s.%.*s.%c.", STR_ARG(p->issuer), STR_ARG(id),
             p->redacted.len ? 'r' : 's');
    buf_add(&plain, token);
    base64_encode(&coded, buf_str(&plain));
    str kept = plain.bad || coded.bad ? STR_NONE : arena_str(a, buf_str(&coded));
    buf_fini(&plain);
    buf_fini(&coded);
    return kept;
}

static str take_field(str *rest)
{
    size_t at = str_find_char(*rest, '.');
    str field = str_head(*rest, at);

    *rest = at == STR_NPOS ? STR("") : str_tail(*rest, at + 1);
    return field;
}

void served_token_open(struct part *p, struct arena *a)
{
    struct buf plain;

    if (!str_starts(p->signature, STR(HEAD_AS_BASE64))) return;
    buf_init(&plain, TOKEN_BYTES_MAX);
    bool ok = base64_decode(&plain, p->signature) && !plain.bad;
    str rest = ok ? arena_str(a, buf_str(&plain)) : STR_NONE;
    buf_fini(&plain);
    p->signature = STR("");
    if (rest.len < sizeof HEAD) return; /* cut, or memory is out: as if there were none */
    rest = str_tail(rest, sizeof HEAD - 1);
    p->issuer = take_field(&rest);
    p->id = take_field(&rest);
    if (str_eq(take_field(&rest), STR("r")))
        p->redacted = rest;
    else
        p->signature = rest;
}
