#include "http/proxy.h"

#include <arpa/inet.h>

#include <openssl/evp.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "%40" is "@" in an address; a percent sign that starts no escape stands for itself. */
static str percent_decode(struct arena *a, str s)
{
    char *to = arena_take(a, s.len + 1);
    size_t n = 0;

    if (to == NULL) return STR_NONE;
    for (size_t i = 0; i < s.len; i++) {
        bool escape = s.at[i] == '%' && s.len - i > 2 && hex_digit(s.at[i + 1]) >= 0 &&
                      hex_digit(s.at[i + 2]) >= 0;
        to[n++] = escape ? (char)(hex_digit(s.at[i + 1]) << 4 | hex_digit(s.at[i + 2])) : s.at[i];
        if (escape) i += 2;
    }
    return (str){to, n};
}

static str basic(struct arena *a, str user)
{
    str plain = percent_decode(a, user);
    unsigned char *to = plain.at ? arena_take(a, 4 * (plain.len / 3 + 1) + 1) : NULL;
    if (to == NULL) return STR_NONE;
    int n = EVP_EncodeBlock(to, (const unsigned char *)plain.at, (int)plain.len);
    return arena_strf(a, "Basic %.*s", n, (const char *)to);
}

enum err proxy_init(struct proxy *p, const char *address, const char *except, struct arena *a,
                    struct err_note *why)
{
    *p = (struct proxy){0};
    if (address == NULL || *address == '\0') return ERR_NONE;

    struct url u;
    enum err e = url_parse(&u, str_of(address), a);
    if (e == ERR_MEMORY) return err_set(why, e, "out of memory");
    /* The address may hold a password: it is not repeated. */
    if (e || u.tls)
        return err_set(why, ERR_INVALID, "the proxy must be http://[user:password@]host:port");
    if (u.user.len) {
        p->authorization = basic(a, u.user);
        if (p->authorization.at == NULL) return err_set(why, ERR_MEMORY, "out of memory");
    }
    p->except = arena_str(a, str_of(except));
    if (p->except.at == NULL) return err_set(why, ERR_MEMORY, "out of memory");
    p->url = u;
    return ERR_NONE;
}

/* ---- who does not go through it ---- */

struct address {
    unsigned char bytes[16];
    int bits; /* 32, 128; 0: not an address */
};

static struct address address_of(str s)
{
    struct address a = {0};
    char text[INET6_ADDRSTRLEN];

    if (s.len == 0 || s.len >= sizeof text) return a;
    memcpy(text, s.at, s.len);
    text[s.len] = '\0';
    if (inet_pton(AF_INET, text, a.bytes) == 1)
        a.bits = 32;
    else if (inet_pton(AF_INET6, text, a.bytes) == 1)
        a.bits = 128;
    return a;
}

static bool same_bits(const unsigned char *a, const unsigned char *b, int bits)
{
    if (memcmp(a, b, (size_t)bits / 8)) return false;
    int rest = bits % 8;
    return rest == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - rest)) == 0;
}

static str without_dot(str host)
{
    return str_ends(host, STR(".")) ? str_head(host, host.len - 1) : host;
}

static bool is_loopback(str host)
{
    static const unsigned char one[16] = {[15] = 1}, mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct address a = address_of(host);

    if (a.bits == 32) return a.bytes[0] == 127;
    if (a.bits == 128)
        return memcmp(a.bytes, one, 16) == 0 ||
               (memcmp(a.bytes, mapped, 12) == 0 && a.bytes[12] == 127);
    host = without_dot(host);
    return str_eq_nocase(host, STR("localhost")) ||
           (host.len > 10 && str_eq_nocase(str_tail(host, host.len - 10), STR(".localhost")));
}

/* Takes ":port" off an entry, also behind brackets; 0: any port.  False: a port that is none. */
static bool split_port(str *entry, uint64_t *port)
{
    *port = 0;
    if (entry->len && entry->at[0] == '[') {
        size_t close = str_find_char(*entry, ']');
        if (close == STR_NPOS) return false;
        str rest = str_tail(*entry, close + 1);
        *entry = str_span(entry->at + 1, close - 1);
        if (rest.len == 0) return true;
        return rest.at[0] == ':' && str_to_u64(str_tail(rest, 1), port);
    }
    size_t first = str_find_char(*entry, ':');
    if (first == STR_NPOS || first != str_rfind_char(*entry, ':'))
        return true; /* IPv6 without brackets */
    str digits = str_tail(*entry, first + 1);
    *entry = str_head(*entry, first);
    return str_to_u64(digits, port);
}

static bool entry_covers(str entry, str host, uint16_t port)
{
    uint64_t only, bits;

    if (str_eq(entry, STR("*"))) return true;
    if (!split_port(&entry, &only) || (only && only != port)) return false;
    if (str_eq(entry, STR("*"))) return true;

    size_t slash = str_find_char(entry, '/');
    struct address of = address_of(host), net = address_of(str_head(entry, slash));
    if (net.bits) {
        bits = (uint64_t)net.bits;
        if (slash != STR_NPOS && !str_to_u64(str_tail(entry, slash + 1), &bits)) return false;
        return of.bits == net.bits && bits <= (uint64_t)net.bits &&
               same_bits(of.bytes, net.bytes, (int)bits);
    }
    if (str_starts(entry, STR("*."))) entry = str_tail(entry, 1);
    if (str_starts(entry, STR("."))) entry = str_tail(entry, 1);
    entry = without_dot(entry);
    host = without_dot(host);
    if (entry.len == 0 || of.bits || host.len < entry.len) return false;
    if (!str_eq_nocase(str_tail(host, host.len - entry.len), entry)) return false;
    return host.len == entry.len || host.at[host.len - entry.len - 1] == '.';
}

bool proxy_applies(const struct proxy *p, str host, uint16_t port)
{
    str rest = p->except, entry;

    if (p->url.host.len == 0 || is_loopback(host)) return false;
    while (rest.at && str_split(&rest, ',', &entry))
        if (entry_covers(str_trim(entry), host, port)) return false;
    return true;
}
