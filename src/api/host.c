#include "api/host.h"

bool host_is_loopback_name(str host)
{
    return str_eq_nocase(host, STR("localhost")) || str_eq(host, STR("127.0.0.1")) ||
           str_eq(host, STR("::1"));
}

static str without_brackets(str name)
{
    if (name.len > 2 && name.at[0] == '[' && name.at[name.len - 1] == ']')
        return str_span(name.at + 1, name.len - 2);
    return name;
}

bool host_allowed(const struct host_rule *rule, str host)
{
    if (!rule->allowed.set) {
        if (!rule->loopback) return true;
        return host_is_loopback_name(host) ||
               (host.len && str_eq_nocase(host, without_brackets(rule->own)));
    }
    for (size_t i = 0; i < rule->allowed.count; i++) {
        str name = without_brackets(str_of(rule->allowed.at[i]));
        if (str_eq(name, STR("*"))) return true;
        if (host.len && str_eq_nocase(name, host)) return true;
    }
    return false;
}
