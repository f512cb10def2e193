/* Any bytes from a server behind its 101: the messages that a WebSocket client hears, what it
 * answers, and why it ends are the same wherever the network cuts.  The first byte says where.
 *
 * The call of HTTP beneath is one of this file, in place of http/client's. */
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "http/client_in.h"
#include "http/ws_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEEN_BYTES_MAX = 16 << 20 };

static struct http_call call;
static struct http_call_events to; /* of the newest call */
static char accept_key[32];
static struct buf seen;
static bool said_bye, over;

static void must(bool holds)
{
    if (!holds) abort();
}

/* ---- the call beneath ---- */

enum err http_call_start(struct http_call **out, struct http_client *c, const struct http_ask *ask,
                         struct http_call_events events, struct err_note *why)
{
    const struct headers h = {ask->headers, ask->headers_count};
    unsigned char hash[20];
    char text[128];

    (void)c, (void)why;
    must(ask->upgrade);
    snprintf(text, sizeof text, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
             STR_ARG(headers_get(&h, STR("sec-websocket-key"))));
    must(EVP_Digest(text, strlen(text), hash, NULL, EVP_sha1(), NULL));
    EVP_EncodeBlock((unsigned char *)accept_key, hash, sizeof hash);
    to = events;
    *out = &call;
    return ERR_NONE;
}

void http_call_cancel(struct http_call *c)
{
    (void)c;
}

/* One whole frame, masked, and none behind a close. */
void http_call_send(struct http_call *c, str bytes)
{
    const unsigned char *at = (const unsigned char *)bytes.at;

    must(c == &call && !said_bye && bytes.len >= 6 && (at[0] & 0x70) == 0 && (at[0] & 0x80));
    must((at[1] & 0x80) && (at[1] & 0x7F) == bytes.len - 6); /* answers are control frames */
    said_bye = (at[0] & 0x0F) == 8;
    buf_addf(&seen, "<%d:", at[0] & 0x0F);
    for (size_t i = 6; i < bytes.len; i++) buf_add_char(&seen, (char)(at[i] ^ at[2 + (i - 6) % 4]));
    buf_add_char(&seen, '>');
}

/* ---- who hears ---- */

static void on_text(void *ctx, str message)
{
    (void)ctx;
    must(!over && utf8_valid(message));
    buf_addf(&seen, "%zu:", message.len);
    buf_add(&seen, message);
}

static void on_done(void *ctx, enum err e, const struct err_note *why)
{
    (void)ctx;
    must(!over);
    over = true;
    buf_addf(&seen, "|%d %s", (int)e, why->text);
}

/* What is heard of `in`, cut into pieces of so many bytes. */
static void hear(struct http_client *client, str in, size_t piece, struct buf *out)
{
    const struct header fields[] = {{STR("Upgrade"), STR("websocket")},
                                    {STR("Sec-WebSocket-Accept"), STR_NONE}};
    struct header at[2] = {fields[0], fields[1]};
    struct ws_client_events events = {.text = on_text, .done = on_done};
    struct http_ask ask = {.connect_ms = 1};
    struct ws_client *ws;

    said_bye = over = false;
    buf_init(&seen, SEEN_BYTES_MAX);
    must(ws_client_start(&ws, client, &ask, events, NULL) == ERR_NONE);
    at[1].value = str_of(accept_key);
    to.head(to.ctx, 101, &(struct headers){at, 2});
    for (; in.len; in = str_tail(in, piece)) to.body(to.ctx, str_head(in, piece));
    to.done(to.ctx, ERR_NONE, &(struct err_note){.text = ""});
    must(over && !seen.bad);
    ws_client_free(ws);
    *out = seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_client client;
    struct buf whole, cut, bytes;

    if (size == 0) return 0;
    if (client.loop == NULL) must(loop_new(&client.loop, NULL) == ERR_NONE);
    str in = str_span(data + 1, size - 1);
    hear(&client, in, SIZE_MAX, &whole);
    hear(&client, in, 1u + data[0], &cut);
    hear(&client, in, in.len < 300 ? 1 : SIZE_MAX,
         &bytes); /* what is kept is moved for each byte */
    must(str_eq(buf_str(&whole), buf_str(&cut)));
    must(str_eq(buf_str(&whole), buf_str(&bytes)));
    buf_fini(&whole);
    buf_fini(&cut);
    buf_fini(&bytes);
    return 0;
}
