/* What src/conf shares between its files while settings are loaded, and keeps for `sema config`. */
#ifndef SEMA_CONF_STATE_H
#define SEMA_CONF_STATE_H

#include "base/arena.h"
#include "conf/settings.h"

enum conf_from { FROM_DEFAULT, FROM_FILE, FROM_ENVIRONMENT, FROM_FLAG };

struct conf_source {
    enum conf_from from;
    const char *raw;  /* as given; NULL: unset */
    const char *name; /* under which it was given, when that is not the setting's own */
    int line;         /* FROM_FILE */
    const char *text; /* the checked value of a setting that has no field of its own */
    bool bad;         /* a mistake was reported */
};

struct conf_state {
    struct arena arena;
    struct conf_source of[SETTINGS_MAX]; /* by row of the table */
    const char *env_path;                /* of the .env file that was read; NULL: none */
    char *const *environ;                /* while loading */
    const char *cwd;
    int cpus;
    FILE *mistakes, *warnings;
    const char *const *only;
    int mistakes_count;
    bool no_memory;
};

/* One line on `mistakes`, unless the setting is passed over. */
void conf_mistake(struct conf *c, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void conf_warning(struct conf *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A variable of the process by its exact name, NULL when unset or empty. */
const char *conf_env(const struct conf *c, const char *name);
struct conf_source *conf_source(const struct conf *c, const char *name); /* a name of the table */
/* A copy in the state's arena; never NULL: when memory is out an empty text, and no_memory is set.
 */
const char *conf_keep(struct conf *c, str s);
const char *conf_keepf(struct conf *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* For messages: without control characters, cut, the password of an address masked. */
const char *conf_quote(struct conf *c, str s);
/* `~/` is the home folder. */
const char *conf_path(struct conf *c, str s);

/* The steps of a load, in their order. */
void take_values(struct conf *c);     /* each value by its type, into its field */
void settle_defaults(struct conf *c); /* what depends on other settings or on the machine */
void check_all(struct conf *c);       /* what must hold between them */

#endif
