/* The page over /openapi.json: one document that needs nothing from elsewhere (http-api.md section
 * 12). */

#include <openssl/evp.h>
#include <pthread.h>

#include "api/inside.h"

enum { PAGE_BYTES_MAX = 1 << 20 };

/* web/docs.html, .css and .js, as embedded by docs_embed.S. */
extern const char docs_html[], docs_html_end[], docs_css[], docs_css_end[], docs_js[],
    docs_js_end[];

static str piece(const char *from, const char *end)
{
    return str_span(from, (size_t)(end - from));
}

/* 'sha256-...' of what stands between the tags (Content Security Policy 3, 2.3.1). */
static void add_hash(struct buf *to, str text)
{
    unsigned char hash[EVP_MAX_MD_SIZE], base64[2 * EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (!EVP_Digest(text.at, text.len, hash, &len, EVP_sha256(), NULL)) {
        to->bad = true;
        return;
    }
    int n = EVP_EncodeBlock(base64, hash, (int)len);
    buf_add(to, STR("'sha256-"));
    buf_add(to, str_span(base64, (size_t)n));
    buf_add(to, STR("'"));
}

/* Initialises and fills both: the page, and the Content-Security-Policy that lets nothing but its
 * own style and script in. */
static enum err make(struct buf *page, struct buf *policy)
{
    str html = piece(docs_html, docs_html_end), css = piece(docs_css, docs_css_end),
        js = piece(docs_js, docs_js_end);

    buf_init(page, PAGE_BYTES_MAX);
    buf_init(policy, 1024);
    buf_add(page, STR("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
                      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                      "<title>API</title>\n<style>"));
    buf_add(page, css);
    buf_add(page, STR("</style>\n"));
    buf_add(page, html);
    buf_add(page, STR("<script>"));
    buf_add(page, js);
    buf_add(page, STR("</script>\n</html>\n"));

    buf_add(policy, STR("default-src 'none'; script-src "));
    add_hash(policy, js);
    buf_add(policy, STR("; style-src "));
    add_hash(policy, css);
    buf_add(policy, STR("; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                        "frame-ancestors 'none'"));
    return page->bad || policy->bad ? ERR_MEMORY : ERR_NONE;
}

/* At its first request: hashing brings OpenSSL to life, more than a megabyte that an idle server
 * with plain HTTP does without. */
static enum err made(struct api *a)
{
    static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
    enum err e = ERR_NONE;

    pthread_mutex_lock(&making);
    if (a->page.len == 0) e = make(&a->page, &a->page_policy);
    if (e) {
        buf_fini(&a->page);
        buf_fini(&a->page_policy);
    }
    pthread_mutex_unlock(&making);
    return e;
}

void docs_page(struct call *c)
{
    if (made(c->api)) {
        call_out_of_memory(c);
        return;
    }
    response_header(c->r, "Content-Security-Policy", buf_str(&c->api->page_policy));
    response_header(c->r, "Referrer-Policy", STR("no-referrer"));
    call_send(c, 200, "text/html; charset=utf-8", buf_str(&c->api->page));
}

void docs_root(struct call *c)
{
    /* HEAD asks whether anybody is there: monitors want a plain yes. */
    if (!c->api->conf->debug || str_eq(c->r->method, STR("HEAD"))) {
        docs_page(c);
        return;
    }
    response_header(c->r, "Location", STR("/docs"));
    call_send(c, 307, NULL, STR(""));
}
