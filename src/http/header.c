#include "http/header.h"

str headers_get(const struct headers *h, str name)
{
    for (size_t i = 0; i < h->count; i++)
        if (str_eq_nocase(h->at[i].name, name)) return h->at[i].value;
    return STR_NONE;
}

bool headers_has_token(const struct headers *h, str name, str token)
{
    for (size_t i = 0; i < h->count; i++) {
        if (!str_eq_nocase(h->at[i].name, name)) continue;
        str rest = h->at[i].value, part;
        while (str_split(&rest, ',', &part))
            if (str_eq_nocase(str_trim(part), token)) return true;
    }
    return false;
}
