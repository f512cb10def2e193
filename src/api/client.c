#include "api/client.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

static bool address_parse(str text, uint8_t out[16], bool *v4)
{
    char s[CLIENT_ADDRESS_BYTES];
    size_t zone = str_find_char(text, '%');
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

    if (zone != STR_NPOS) text = str_head(text, zone);
    if (text.len == 0 || text.len >= sizeof s) return false;
    memcpy(s, text.at, text.len);
    s[text.len] = '\0';
    if (memchr(s, '\0', text.len)) return false;
    if (inet_pton(AF_INET, s, out + 12) == 1) {
        memcpy(out, mapped, sizeof mapped);
        *v4 = true;
        return true;
    }
    *v4 = false;
    return inet_pton(AF_INET6, s, out) == 1;
}

static bool network_has(const struct network *n, const uint8_t address[16])
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;

    if (memcmp(n->at, address, whole) != 0) return false;
    if (rest == 0) return true;
    uint8_t mask = (uint8_t)(0xFF << (8 - rest));
    return (n->at[whole] & mask) == (address[whole] & mask);
}

static bool network_parse(str text, struct network *out)
{
    size_t slash = str_find_char(text, '/');
    uint64_t bits = 128;
    bool v4;

    if (!address_parse(str_head(text, slash == STR_NPOS ? text.len : slash), out->at, &v4))
        return false;
    if (slash != STR_NPOS) {
        if (!str_to_u64(str_tail(text, slash + 1), &bits) || bits > (v4 ? 32u : 128u)) return false;
        if (v4) bits += 96;
    }
    out->bits = (unsigned)bits;
    return true;
}

enum err networks_init(struct networks *out, const struct conf_list *list, struct err_note *why)
{
    struct networks n = {0};

    n.at = list->count ? calloc(list->count, sizeof *n.at) : NULL;
    if (list->count && n.at == NULL) return ERR_MEMORY;
    for (size_t i = 0; i < list->count; i++) {
        str text = str_trim(str_of(list->at[i]));
        if (str_eq(text, STR("*"))) {
            n.all = true;
        } else if (network_parse(text, &n.at[n.count])) {
            n.count++;
        } else {
            networks_fini(&n);
            return err_set(why, ERR_INVALID, "\"%.*s\" is neither an address nor a network",
                           STR_ARG(str_head(text, 80)));
        }
    }
    *out = n;
    return ERR_NONE;
}

void networks_fini(struct networks *n)
{
    free(n->at);
    *n = (struct networks){0};
}

bool networks_have(const struct networks *n, str address)
{
    uint8_t bytes[16];
    bool v4;

    if (n->all) return true;
    if (!address_parse(address, bytes, &v4)) return false;
    for (size_t i = 0; i < n->count; i++)
        if (network_has(&n->at[i], bytes)) return true;
    return false;
}

/* One entry of the list: "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80". */
static str entry_address(str entry)
{
    entry = str_trim(entry);
    if (entry.len && entry.at[0] == '[') {
        size_t end = str_find_char(entry, ']');
        return end == STR_NPOS ? STR_NONE : str_span(entry.at + 1, end - 1);
    }
    size_t colon = str_find_char(entry, ':');
    if (colon != STR_NPOS && str_rfind_char(entry, ':') == colon) return str_head(entry, colon);
    return entry;
}

/* One text for one client, whatever spelling came. */
static bool address_print(char out[CLIENT_ADDRESS_BYTES], str text)
{
    uint8_t bytes[16];
    bool v4;
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

    if (!address_parse(text, bytes, &v4)) return false;
    if (memcmp(bytes, mapped, sizeof mapped) == 0)
        return inet_ntop(AF_INET, bytes + 12, out, CLIENT_ADDRESS_BYTES) != NULL;
    return inet_ntop(AF_INET6, bytes, out, CLIENT_ADDRESS_BYTES) != NULL;
}

void client_address(char out[CLIENT_ADDRESS_BYTES], const struct networks *trusted, str peer,
                    const struct headers *h)
{
    str best = STR_NONE; /* the leftmost of the trusted run at the right end, or what ends it */
    bool ended = false;

    if (!address_print(out, peer))
        snprintf(out, CLIENT_ADDRESS_BYTES, "%.*s",
                 STR_ARG(str_head(peer, CLIENT_ADDRESS_BYTES - 1)));
    if (!networks_have(trusted, peer)) return;

    for (size_t i = h->count; i-- > 0 && !ended;) {
        if (!str_eq_nocase(h->at[i].name, STR("X-Forwarded-For"))) continue;
        str rest = h->at[i].value;
        while (!ended && rest.at) {
            size_t comma = str_rfind_char(rest, ',');
            str entry = comma == STR_NPOS ? rest : str_tail(rest, comma + 1);
            rest = comma == STR_NPOS ? STR_NONE : str_head(rest, comma);
            entry = entry_address(entry);
            if (entry.len == 0) continue;
            best = entry;
            ended = !networks_have(trusted, entry);
        }
    }
    char found[CLIENT_ADDRESS_BYTES];
    if (best.at && address_print(found, best)) memcpy(out, found, sizeof found);
}
