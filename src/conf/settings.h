/* The table of settings, for src/conf alone: one row a setting, in the order of the documents.  A
 * row without a name is the heading of those that follow. */
#ifndef SEMA_CONF_SETTINGS_H
#define SEMA_CONF_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "conf/conf.h"

/* How a value is written: configuration.md, "Value syntax". */
enum setting_type {
    SETTING_STRING,
    SETTING_SECRET,
    SETTING_URL,
    SETTING_PROXY, /* an URL that may hold a user part */
    SETTING_STORE, /* a path or an address with a scheme */
    SETTING_PATH,
    SETTING_BACKEND, /* one of settings_backends */
    SETTING_WORD,    /* one of `words` */
    SETTING_DEVICE,
    SETTING_BOOL,
    SETTING_INT,
    SETTING_FLOAT,
    SETTING_LIST,
};

/* What it becomes in struct conf, at `at`. */
enum setting_into {
    INTO_NONE, /* only read by settle.c */
    INTO_TEXT,
    INTO_LIST,
    INTO_BOOL,
    INTO_IS,    /* a bool: the word is `is` */
    INTO_INDEX, /* of the word, an int or enum */
    INTO_INT,
    INTO_INT64,
    INTO_DOUBLE,
    INTO_MS, /* times `unit_ms` */
};

enum { SETTINGS_MAX = 128 };

struct setting {
    const char *name;
    const char *other; /* a second name that is read when the first is not set */
    const char *flag;  /* a second flag, without dashes */
    enum setting_type type;
    enum setting_into into;
    size_t at;             /* offset in struct conf */
    size_t set_at;         /* offset of the bool "given explicitly"; 0: none */
    const char *fallback;  /* the default, as a person would write it; NULL: unset */
    const char *otherwise; /* the default in words, where it depends on something */
    double min, max;       /* numbers: both 0 means any; texts: characters */
    bool above_min;        /* min itself is out of range */
    bool or_zero;          /* 0 is allowed below min: off, none, any */
    double unit_ms;        /* INTO_MS: milliseconds of one */
    const char *const *words;
    const char *is;
    const char *unit; /* as documents say it; NULL: none */
    bool lower_wins;  /* of several spellings in the environment: the proxies */
    bool keeps_empty; /* an empty value counts as given */
    const char *text; /* one sentence or two, for people */
};

extern const struct setting settings[];
extern const size_t settings_count;
extern const char *const settings_backends[]; /* NULL-terminated; those that people are told of */
/* The backend of that name in any case, as it is written in messages; NULL when there is none. */
const char *settings_backend(str name);

/* Row of a name in any case, by its first or second name; -1 when there is none. */
int settings_find(str name);
/* The known name within a distance of 2, or NULL. */
const char *settings_near(str name);
/* Of a row as its flag is written: lower case, dashes.  `out` holds a name and its NUL. */
enum { SETTING_NAME_BYTES_MAX = 40 };
void settings_flag(char out[SETTING_NAME_BYTES_MAX], const char *name);
/* A secret is no flag: whoever lists processes would see it. */
static inline bool settings_is_flag(const struct setting *r)
{
    return r->name && r->type != SETTING_SECRET;
}
const char *settings_type(const struct setting *r);
/* The default as documents say it, "-" when unset. */
const char *settings_default(const struct setting *r);
/* "0..1", "over 0, up to 1", "local, hf_api"; empty when anything goes. */
struct buf;
void settings_range(struct buf *to, const struct setting *r);

#endif
