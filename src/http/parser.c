#include "http/parser.h"

#include <arpa/inet.h>

#include "base/loop.h" /* container_of */
#include "conf/limits.h"

static enum parsed bad(struct parser *p, int status)
{
    p->status = status;
    return PARSED_BAD;
}

/* ---- what llhttp tells ---- */

static struct parser *of(llhttp_t *ll)
{
    return container_of(ll, struct parser, ll);
}

static int on_pause(llhttp_t *ll)
{
    (void)ll;
    return HPE_PAUSED;
}

static int on_field(llhttp_t *ll)
{
    struct parser *p = of(ll);

    if (++p->fields <= REQUEST_HEADERS_MAX) return 0;
    p->status = 431;
    return -1;
}

static int on_body(llhttp_t *ll, const char *at, size_t n)
{
    buf_add(of(ll)->to, str_span(at, n));
    return 0;
}

static int on_chunk(llhttp_t *ll)
{
    if (ll->content_length > 0) return 0;
    of(ll)->trailing = true;
    of(ll)->fields = 0;
    return HPE_PAUSED; /* from here on other limits count */
}

static const llhttp_settings_t settings = {
    .on_header_field_complete = on_field,
    .on_headers_complete = on_pause,
    .on_body = on_body,
    .on_chunk_header = on_chunk,
    .on_message_complete = on_pause,
};

/* A request line of ours, so that llhttp begins with the fields.  It stands for any method with a
 * body. */
static const str line = {"POST / HTTP/1.1\r\n", 17};

void parser_init(struct parser *p)
{
    *p = (struct parser){0};
    llhttp_init(&p->ll, HTTP_REQUEST, &settings);
    llhttp_execute(&p->ll, line.at, line.len);
}

/* ---- the request line ---- */

static const char token_chars[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

static bool is_token(str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!token_chars[(unsigned char)s.at[i]]) return false;
    return s.len > 0;
}

static bool is_known(str method)
{
    static const str known[] = {{"GET", 3}, {"POST", 4},    {"DELETE", 6}, {"HEAD", 4},
                                {"PUT", 3}, {"OPTIONS", 7}, {"PATCH", 5},  {"TRACE", 5}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_eq(method, known[i])) return true;
    return false;
}

/* Method, target and version; gives the status of a refusal, or 0. */
static int line_split(str text, str *method, str *target, bool *http10)
{
    str rest = text, version, more;

    if (!str_split(&rest, ' ', method) || !str_split(&rest, ' ', target) ||
        !str_split(&rest, ' ', &version) || str_split(&rest, ' ', &more))
        return 400;
    if (!is_token(*method) || target->len == 0) return 400;
    if (version.len != 8 || !str_starts(version, STR("HTTP/")) || version.at[6] != '.' ||
        (unsigned)(version.at[5] - '0') > 9 || (unsigned)(version.at[7] - '0') > 9)
        return 400;
    *http10 = str_eq(version, STR("HTTP/1.0"));
    if (!*http10 && !str_eq(version, STR("HTTP/1.1"))) return 505;
    if (str_eq(*method, STR("CONNECT"))) return 400;
    if (!is_known(*method)) return 501;
    if (str_find_char(*target, '#') != STR_NPOS) return 400;
    if (target->at[0] != '/' && !str_starts_nocase(*target, STR("http://"))) return 400;
    return 0;
}

/* Finds the end of the request line.  Bytes over 0x7f are let through: a target should be
 * percent-encoded, yet people type addresses, and no two readers differ about where such a line
 * ends. */
static enum parsed scan_line(struct parser *p, str data)
{
    while (str_starts(str_tail(data, p->line_at), STR("\r\n"))) p->line_at += 2;
    if (p->seen < p->line_at) p->seen = p->line_at;

    size_t max = p->line_at + (size_t)REQUEST_LINE_BYTES_MAX;
    size_t end = data.len < max ? data.len : max;
    for (size_t i = p->seen; i < end; i++) {
        unsigned char c = (unsigned char)data.at[i];
        if (c >= ' ' && c != 0x7f) continue;
        if (c != '\r') return bad(p, 400);
        p->seen = (uint32_t)i; /* looked at again with the byte behind it */
        if (i + 1 == data.len) return PARSED_MORE;
        if (data.at[i + 1] != '\n') return bad(p, 400);

        str method, target;
        bool http10;
        int status =
            line_split(str_span(data.at + p->line_at, i - p->line_at), &method, &target, &http10);
        if (status) return bad(p, status);
        p->fields_at = p->seen = (uint32_t)i + 2;
        return PARSED_DONE;
    }
    p->seen = (uint32_t)end;
    return end == max ? bad(p, 414) : PARSED_MORE;
}

/* ---- the head ---- */

bool parser_begun(const struct parser *p, str data)
{
    return data.len > p->line_at;
}

enum parsed parser_head(struct parser *p, str data)
{
    if (p->fields_at == 0) {
        enum parsed e = scan_line(p, data);
        if (e != PARSED_DONE) return e;
    }
    size_t max = p->fields_at + (size_t)REQUEST_HEAD_BYTES_MAX;
    size_t end = data.len < max ? data.len : max;
    llhttp_errno_t e = llhttp_execute(&p->ll, data.at + p->seen, end - p->seen);

    if (e == HPE_PAUSED) {
        p->head_bytes = (uint32_t)(llhttp_get_error_pos(&p->ll) - data.at);
        llhttp_resume(&p->ll);
        return PARSED_DONE;
    }
    if (e != HPE_OK) return bad(p, p->status ? p->status : 400);
    p->seen = (uint32_t)end;
    return end == max ? bad(p, 431) : PARSED_MORE;
}

/* ---- what the head says ---- */

/* uri-host [ ":" port ] (RFC 9110 7.2), without percent signs and commas, which no host name has
 * and which two readers take differently.  The port is 0 when none is named. */
static bool split_host(str text, str *host, uint64_t *port)
{
    str rest;

    *port = 0;
    if (str_starts(text, STR("["))) {
        size_t end = str_find_char(text, ']');
        char literal[INET6_ADDRSTRLEN];
        struct in6_addr ignored;
        if (end == STR_NPOS || end - 1 >= sizeof literal) return false;
        *host = str_span(text.at + 1, end - 1);
        memcpy(literal, host->at, host->len);
        literal[host->len] = '\0';
        if (inet_pton(AF_INET6, literal, &ignored) != 1) return false;
        rest = str_tail(text, end + 1);
    } else {
        size_t end = str_find_char(text, ':');
        *host = str_head(text, end);
        rest = str_tail(text, end);
        for (size_t i = 0; i < host->len; i++) {
            unsigned char c = (unsigned char)host->at[i];
            if (c == '%' || c == ',' || !(token_chars[c] || strchr("();=", c)) || strchr("#^`|", c))
                return false;
        }
        if (host->len == 0) return false;
    }
    if (rest.len == 0) return true;
    if (rest.at[0] != ':') return false;
    rest = str_tail(rest, 1);
    return rest.len == 0 || (str_to_u64(rest, port) && *port <= UINT16_MAX);
}

/* The absolute form names a host as well: it has to be the one of the Host field. */
static bool take_authority(str *target, str host, uint64_t port, bool has_host, str *named)
{
    str rest = str_tail(*target, strlen("http://"));
    size_t end = 0;
    uint64_t named_port;

    while (end < rest.len && rest.at[end] != '/' && rest.at[end] != '?') end++;
    if (!split_host(str_head(rest, end), named, &named_port)) return false;
    if (has_host &&
        (!str_eq_nocase(*named, host) || (port ? port : 80) != (named_port ? named_port : 80)))
        return false;
    *target = str_tail(rest, end);
    return true;
}

static str lower(struct arena *a, str s)
{
    str copy = arena_str(a, s);
    char *at = (char *)copy.at;

    for (size_t i = 0; i < copy.len; i++)
        if (at[i] >= 'A' && at[i] <= 'Z') at[i] = (char)(at[i] + 32);
    return copy;
}

/* The fields that frame the message or rule the connection, gathered in one pass. */
struct framing {
    str host, length, coding, expect;
    int hosts, lengths, codings, expects;
    bool close, keep_alive;
};

static void note_field(struct framing *f, const struct header *h)
{
    switch (h->name.len) {
    case 4:
        if (str_eq_nocase(h->name, STR("host"))) f->host = h->value, f->hosts++;
        break;
    case 6:
        if (str_eq_nocase(h->name, STR("expect"))) f->expect = h->value, f->expects++;
        break;
    case 10:
        if (str_eq_nocase(h->name, STR("connection"))) {
            str rest = h->value, part;
            while (str_split(&rest, ',', &part)) {
                f->close |= str_eq_nocase(str_trim(part), STR("close"));
                f->keep_alive |= str_eq_nocase(str_trim(part), STR("keep-alive"));
            }
        }
        break;
    case 14:
        if (str_eq_nocase(h->name, STR("content-length"))) f->length = h->value, f->lengths++;
        break;
    case 17:
        if (str_eq_nocase(h->name, STR("transfer-encoding"))) f->coding = h->value, f->codings++;
        break;
    default: break;
    }
}

/* llhttp has seen every byte of these lines: each is `name: value CRLF`, an empty one ends them. */
static struct header *split_fields(struct parser *p, str text, struct arena *a, struct framing *f)
{
    struct header *list = arena_array(a, struct header, p->fields);
    const char *at = text.at, *end = text.at + text.len;

    for (size_t i = 0; list && i < p->fields; i++) {
        const char *colon = memchr(at, ':', (size_t)(end - at));
        const char *eol = colon ? memchr(colon, '\r', (size_t)(end - colon)) : NULL;
        if (eol == NULL) return NULL;
        list[i].name = str_span(at, (size_t)(colon - at));
        list[i].value = str_trim(str_span(colon + 1, (size_t)(eol - colon - 1)));
        note_field(f, &list[i]);
        at = eol + 2;
    }
    return list;
}

/* Which body follows: a refusal's status, or 0.  That Content-Length comes once only llhttp has
 * seen to. */
static int judge_framing(struct parser *p, const struct framing *f, bool http10)
{
    if (f->codings) {
        if (http10 || f->lengths || f->codings > 1) return 400;
        if (!str_eq_nocase(f->coding, STR("chunked"))) return 400;
        p->chunked = true;
    }
    if (f->lengths && !str_to_u64(f->length, &p->body_left)) return 400;
    if (f->expects && !http10) {
        if (f->expects > 1 || !str_eq_nocase(f->expect, STR("100-continue"))) return 417;
        p->expects = true;
    }
    p->keep_alive = !f->close && (!http10 || f->keep_alive);
    return 0;
}

enum parsed parser_request(struct parser *p, struct request *r, str head)
{
    struct framing f = {0};
    str target, name = STR_NONE;
    uint64_t port = 0;
    size_t fields_at = p->fields_at - p->line_at;

    if (head.at == NULL) return bad(p, 503);
    int status = line_split(str_head(head, fields_at - 2), &r->method, &target, &r->http10);
    if (status) return bad(p, status);
    struct header *list = split_fields(p, str_tail(head, fields_at), &r->arena, &f);
    if (list == NULL) return bad(p, 503);
    r->headers = (struct headers){list, p->fields};

    status = judge_framing(p, &f, r->http10);
    if (status) return bad(p, status);
    if (f.hosts > 1 || (f.hosts == 0 && !r->http10)) return bad(p, 400);
    if (f.hosts && !split_host(f.host, &name, &port)) return bad(p, 400);
    if (target.at[0] != '/' && !take_authority(&target, name, port, f.hosts, &name))
        return bad(p, 400);
    r->host = lower(&r->arena, name);
    if (r->host.at == NULL) return bad(p, 503);

    size_t question = str_find_char(target, '?');
    r->path = str_head(target, question);
    r->query = question == STR_NPOS ? STR_NONE : str_tail(target, question + 1);
    if (r->path.len == 0) r->path = STR("/");
    return PARSED_DONE;
}

/* ---- the body ---- */

bool parser_has_body(const struct parser *p)
{
    return p->chunked || p->body_left > 0;
}

static enum parsed parse_chunks(struct parser *p, str in, uint64_t body_max, size_t *used)
{
    while (*used < in.len) {
        uint64_t room = p->trailing ? (uint64_t)REQUEST_HEAD_BYTES_MAX - p->trail_bytes
                                    : body_max - p->body_raw;
        if (room == 0) return p->trailing ? bad(p, 431) : PARSED_LIMIT;
        const char *at = in.at + *used;
        size_t n = in.len - *used < room ? in.len - *used : (size_t)room;
        bool trailing = p->trailing;

        llhttp_errno_t e = llhttp_execute(&p->ll, at, n);
        if (e == HPE_PAUSED) {
            n = (size_t)(llhttp_get_error_pos(&p->ll) - at);
            llhttp_resume(&p->ll);
        } else if (e != HPE_OK) {
            return bad(p, p->status ? p->status : 400);
        }
        *used += n;
        if (trailing)
            p->trail_bytes += (uint32_t)n;
        else
            p->body_raw += n;
        if (e == HPE_PAUSED && trailing) return PARSED_DONE;
    }
    return PARSED_MORE;
}

enum parsed parser_body(struct parser *p, str in, uint64_t body_max, struct buf *to, size_t *used)
{
    enum parsed e;

    *used = 0;
    if (p->chunked) {
        p->to = to;
        e = parse_chunks(p, in, body_max, used);
        p->to = NULL;
    } else {
        *used = in.len < p->body_left ? in.len : (size_t)p->body_left;
        p->body_left -= *used;
        buf_add(to, str_head(in, *used));
        e = p->body_left ? PARSED_MORE : PARSED_DONE;
    }
    return buf_err(to) && e != PARSED_BAD ? bad(p, 503) : e;
}
