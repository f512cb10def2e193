#include "hub/fetch.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

/* libcurl is loaded at the first download and not before: with all that it brings it would double
 * the resident memory of a server that never downloads anything (docs/decisions/0004). */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dlfcn.h>

enum {
    CONNECT_S = 15,
    STALLED_S = 60, /* less than a byte a second for so long ends a try */
    REDIRECTS_MAX = 5,
    URL_BYTES_MAX = 8192,
};

struct fetch {
    CURL *curl;
    struct fetch_conf conf;
    char *bearer; /* "Authorization: Bearer ...", or NULL */
    char location[URL_BYTES_MAX];
};

/* What one answer is being read into. */
struct reading {
    struct fetch *f;
    struct fetch_head *head;
    bool linked_etag, linked_size;
    struct buf *body;
    const struct fetch_file *file;
    bool begun;
    int64_t written;
    enum err e;
};

#define CURL_FUNCTIONS(X)                                                                          \
    X(global_init)                                                                                 \
    X(easy_init)                                                                                   \
    X(easy_cleanup)                                                                                \
    X(easy_reset)                                                                                  \
    X(easy_setopt)                                                                                 \
    X(easy_perform)                                                                                \
    X(easy_getinfo)                                                                                \
    X(easy_strerror)                                                                               \
    X(slist_append)                                                                                \
    X(slist_free_all)

static struct {
#define X(name) __typeof__(curl_##name) *name;
    CURL_FUNCTIONS(X)
#undef X
    bool ready;
} lib;

static void curl_ready(void)
{
    void *so = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);

    if (so == NULL) return;
    lib.ready = true;
#define X(name)                                                                                    \
    *(void **)&lib.name = dlsym(so, "curl_" #name);                                                \
    lib.ready = lib.ready && lib.name;
    CURL_FUNCTIONS(X)
#undef X
    if (lib.ready) lib.ready = lib.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

enum err fetch_new(struct fetch **out, const struct fetch_conf *c, struct err_note *why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, curl_ready);
    if (!lib.ready)
        return err_set(why, ERR_UNSUPPORTED, "downloads need libcurl (the package libcurl4)");

    struct fetch *f = calloc(1, sizeof *f);
    if (f) f->curl = lib.easy_init();
    if (f == NULL || f->curl == NULL) {
        free(f);
        return err_set(why, ERR_MEMORY, "out of memory for a download");
    }
    f->conf = *c;
    if (c->token) {
        size_t n = strlen(c->token) + sizeof "Authorization: Bearer ";
        f->bearer = malloc(n);
        if (f->bearer) snprintf(f->bearer, n, "Authorization: Bearer %s", c->token);
    }
    *out = f;
    return ERR_NONE;
}

void fetch_free(struct fetch *f)
{
    if (f == NULL) return;
    lib.easy_cleanup(f->curl);
    if (f->bearer) explicit_bzero(f->bearer, strlen(f->bearer));
    free(f->bearer);
    free(f);
}

/* Whether an address has the scheme, host and port of the endpoint: the only place that sees the
 * token. */
static bool is_endpoint(const struct fetch *f, const char *url)
{
    size_t n = strlen(f->conf.endpoint);
    return strncasecmp(url, f->conf.endpoint, n) == 0 &&
           (url[n] == '/' || url[n] == '?' || url[n] == '\0');
}

static void copy_value(char *to, size_t size, str value)
{
    if (str_starts(value, STR("W/"))) value = str_tail(value, 2);
    if (value.len >= 2 && value.at[0] == '"') value = str_span(value.at + 1, value.len - 2);
    if (value.len >= size) value.len = 0;
    memcpy(to, value.at, value.len);
    to[value.len] = '\0';
}

static size_t on_header(char *at, size_t one, size_t count, void *ctx)
{
    struct reading *r = ctx;
    struct fetch_head *h = r->head;
    str line = str_trim(str_span(at, one * count));
    size_t colon = str_find_char(line, ':');
    uint64_t n;

    if (str_starts(line, STR("HTTP/"))) { /* a new answer: 100, a proxy's, then the real one */
        *h = (struct fetch_head){.size = -1};
        r->linked_etag = r->linked_size = false;
        r->f->location[0] = '\0';
    }
    if (colon == STR_NPOS) return one * count;
    str name = str_head(line, colon), value = str_trim(str_tail(line, colon + 1));

    if (str_eq_nocase(name, STR("x-linked-etag"))) {
        copy_value(h->etag, sizeof h->etag, value);
        r->linked_etag = true;
    } else if (str_eq_nocase(name, STR("etag")) && !r->linked_etag) {
        copy_value(h->etag, sizeof h->etag, value);
    } else if (str_eq_nocase(name, STR("x-repo-commit"))) {
        copy_value(h->commit, sizeof h->commit, value);
    } else if (str_eq_nocase(name, STR("x-linked-size")) && str_to_u64(value, &n) &&
               n < INT64_MAX) {
        h->size = (int64_t)n;
        r->linked_size = true;
    } else if (str_eq_nocase(name, STR("content-length")) && !r->linked_size &&
               str_to_u64(value, &n) && n < INT64_MAX) {
        h->size = (int64_t)n;
    } else if (str_eq_nocase(name, STR("retry-after")) && str_to_u64(value, &n)) {
        h->retry_after_s = n < 3600 ? (int)n : 3600;
    } else if (str_eq_nocase(name, STR("location"))) {
        copy_value(r->f->location, sizeof r->f->location, value);
    }
    return one * count;
}

static bool write_all(int fd, const char *at, size_t n)
{
    while (n > 0) {
        ssize_t did = write(fd, at, n);
        if (did < 0 && errno == EINTR) continue;
        if (did <= 0) return false;
        at += did;
        n -= (size_t)did;
    }
    return true;
}

static enum err to_file(struct reading *r, const char *at, size_t n)
{
    const struct fetch_file *to = r->file;

    if (!r->begun) {
        r->begun = true;
        r->written = to->from;
        if (to->from > 0 && r->head->status == 200) {
            enum err e = to->restart(to->ctx);
            if (e) return e;
            r->written = 0;
        }
    }
    if ((int64_t)n > to->size_max - r->written) return ERR_SERVER;
    if (!write_all(to->fd, at, n)) return ERR_IO;
    r->written += (int64_t)n;
    to->more(to->ctx, at, n);
    return ERR_NONE;
}

static size_t on_body(char *at, size_t one, size_t count, void *ctx)
{
    struct reading *r = ctx;
    size_t n = one * count;

    lib.easy_getinfo(r->f->curl, CURLINFO_RESPONSE_CODE, &r->head->status);
    if (r->head->status / 100 != 2) return n; /* an error's text is of no use */
    if (r->file) {
        r->e = to_file(r, at, n);
    } else if (r->body) {
        buf_add(r->body, str_span(at, n));
        if (r->body->bad) r->e = ERR_SERVER;
    }
    return r->e ? 0 : n;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct reading *r = ctx;
    (void)a, (void)b, (void)c, (void)d;
    return r->f->conf.cancel && atomic_load(r->f->conf.cancel);
}

static enum err classify(CURLcode rc, struct reading *r, const char *url, struct err_note *why)
{
    str host = str_of(url);
    size_t at = str_find(host, STR("://"));
    if (at != STR_NPOS) host = str_tail(host, at + 3);
    at = str_find_char(host, '/');
    if (at != STR_NPOS) host = str_head(host, at);

    if (r->e == ERR_IO) return err_set(why, ERR_IO, "cannot write the file: %s", strerror(errno));
    if (r->e) return err_set(why, r->e, "%.*s sent more than it announced", STR_ARG(host));
    if (rc == CURLE_ABORTED_BY_CALLBACK) return err_set(why, ERR_CANCELLED, "cancelled");
    enum err e = rc == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_NETWORK;
    return err_set(why, e, "cannot reach %.*s: %s", STR_ARG(host), lib.easy_strerror(rc));
}

static enum err once(struct fetch *f, const char *url, struct reading *r, bool head_only,
                     struct err_note *why)
{
    struct curl_slist *fields = NULL;
    CURL *c = f->curl;
    char range[32];

    lib.easy_reset(c);
    if (f->bearer && is_endpoint(f, url)) fields = lib.slist_append(fields, f->bearer);
    lib.easy_setopt(c, CURLOPT_URL, url);
    lib.easy_setopt(c, CURLOPT_HTTPHEADER, fields);
    lib.easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    lib.easy_setopt(c, CURLOPT_USERAGENT, "sema");
    lib.easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    lib.easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    lib.easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    lib.easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)STALLED_S);
    lib.easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    lib.easy_setopt(c, CURLOPT_HEADERDATA, r);
    lib.easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    lib.easy_setopt(c, CURLOPT_WRITEDATA, r);
    lib.easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    lib.easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    lib.easy_setopt(c, CURLOPT_XFERINFODATA, r);
    if (head_only) lib.easy_setopt(c, CURLOPT_NOBODY, 1L);
    if (r->file && r->file->from > 0) {
        snprintf(range, sizeof range, "%lld-", (long long)r->file->from);
        lib.easy_setopt(c, CURLOPT_RANGE, range);
    }
    CURLcode rc = lib.easy_perform(c);
    lib.easy_getinfo(c, CURLINFO_RESPONSE_CODE, &r->head->status);
    lib.slist_free_all(fields);
    return rc == CURLE_OK ? ERR_NONE : classify(rc, r, url, why);
}

/* Where a redirect leads: an absolute address, or a path on the same host. */
static bool follow(const char *from, const char *location, char to[URL_BYTES_MAX])
{
    int n;

    if (strncasecmp(location, "http://", 7) == 0 || strncasecmp(location, "https://", 8) == 0) {
        n = snprintf(to, URL_BYTES_MAX, "%s", location);
    } else if (location[0] == '/') {
        const char *host = strstr(from, "://");
        const char *path = host ? strchr(host + 3, '/') : NULL;
        size_t len = path ? (size_t)(path - from) : strlen(from);
        n = snprintf(to, URL_BYTES_MAX, "%.*s%s", (int)len, from, location);
    } else {
        return false;
    }
    return n > 0 && n < URL_BYTES_MAX;
}

/* `keep_linked`: a HEAD of a large file is answered by a redirect whose own fields name its hash
 * and size; those of the place it leads to say nothing of use. */
static enum err perform(struct fetch *f, const char *url, struct reading *r, bool head_only,
                        struct err_note *why)
{
    char at[URL_BYTES_MAX], next[URL_BYTES_MAX];
    int n = snprintf(at, sizeof at, "%s", url);

    if (n < 0 || (size_t)n >= sizeof at) return err_set(why, ERR_INVALID, "an address is too long");
    for (int hop = 0; hop <= REDIRECTS_MAX; hop++) {
        enum err e = once(f, at, r, head_only, why);
        if (e || r->head->status / 100 != 3) return e;
        if (head_only && r->linked_etag) {
            r->head->status = 200;
            return ERR_NONE;
        }
        if (!follow(at, f->location, next))
            return err_set(why, ERR_SERVER, "a redirect leads nowhere");
        memcpy(at, next, sizeof at);
    }
    return err_set(why, ERR_SERVER, "too many redirects");
}

enum err fetch_get(struct fetch *f, const char *url, struct buf *body, struct fetch_head *head,
                   struct err_note *why)
{
    struct reading r = {.f = f, .head = head, .body = body};
    *head = (struct fetch_head){.size = -1};
    return perform(f, url, &r, false, why);
}

enum err fetch_head(struct fetch *f, const char *url, struct fetch_head *head, struct err_note *why)
{
    struct reading r = {.f = f, .head = head};
    *head = (struct fetch_head){.size = -1};
    return perform(f, url, &r, true, why);
}

enum err fetch_file(struct fetch *f, const char *url, const struct fetch_file *to,
                    struct fetch_head *head, struct err_note *why)
{
    struct reading r = {.f = f, .head = head, .file = to};
    *head = (struct fetch_head){.size = -1};
    return perform(f, url, &r, false, why);
}
