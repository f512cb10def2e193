#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

static const struct err_row rows[ERR_COUNT] = {
#define X(kind, text, code, api, v1, retry, fallback, level)                                       \
    [ERR_##kind] = {text, code, api, v1, retry, fallback, LEVEL_##level},
    ERR_MAP(X)
#undef X
};

const struct err_row *err_row(enum err e)
{
    return &rows[(unsigned)e < ERR_COUNT ? e : ERR_INTERNAL];
}

enum err err_set(struct err_note *why, enum err e, const char *format, ...)
{
    if (why == NULL) return e;

    va_list args;
    va_start(args, format);
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    return e;
}

enum err err_context(struct err_note *why, enum err e, const char *format, ...)
{
    if (why == NULL) return e;

    char was[sizeof why->text];
    memcpy(was, why->text, sizeof was);

    va_list args;
    va_start(args, format);
    int n = vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof why->text)
        snprintf(why->text + n, sizeof why->text - (size_t)n, ": %s",
                 was[0] ? was : err_row(e)->text);
    return e;
}

const char *err_text(const struct err_note *why, enum err e)
{
    return why && why->text[0] ? why->text : err_row(e)->text;
}
