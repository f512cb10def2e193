/* The log: one event is one line with a stable name and fields.  JSON or text by configuration; to
 * standard output and, when set, a file.  Any thread; a line is written whole.  Lines over 8 KiB
 * are cut and marked.  Nothing secret and no message text is ever passed in: fields are names,
 * counts, ids.
 *
 *     log_event(LEVEL_INFO, "chat", "chat_request_completed",
 *               LOG_STR("session_id", id), LOG_INT("response_length", n));
 *
 * A line below the threshold costs one comparison. */
#ifndef SEMA_BASE_LOG_H
#define SEMA_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct log_field {
    const char *key;
    enum { LOG_KIND_STR, LOG_KIND_INT, LOG_KIND_NUM, LOG_KIND_BOOL } kind;
    union {
        str s;
        int64_t i;
        double n;
    } v;
};

#define LOG_STR(k, s_) ((struct log_field){.key = (k), .kind = LOG_KIND_STR, .v.s = (s_)})
#define LOG_CSTR(k, c_) ((struct log_field){.key = (k), .kind = LOG_KIND_STR, .v.s = str_of(c_)})
#define LOG_INT(k, i_) ((struct log_field){.key = (k), .kind = LOG_KIND_INT, .v.i = (int64_t)(i_)})
#define LOG_NUM(k, n_)                                                                             \
    ((struct log_field){.key = (k), .kind = LOG_KIND_NUM, .v.n = (n_)}) /* 6 digits */
#define LOG_BOOL(k, b_) ((struct log_field){.key = (k), .kind = LOG_KIND_BOOL, .v.i = (b_)})

struct log_conf {
    enum level threshold;
    bool json;
    bool to_stderr;   /* instead of standard output: command-line tools */
    const char *path; /* of the copy; NULL for none */
};

/* Before the first log_event that matters; without it: text, INFO, standard error.  ERR_IO when the
 * file cannot be opened. */
enum err log_open(const struct log_conf *conf, struct err_note *why);
enum err log_reopen(void); /* the file anew, for SIGHUP; keeps the old one on failure */
void log_close(void);

extern enum level log_threshold; /* read by the macro; written by log_open only */

void log_write(enum level level, const char *logger, const char *event,
               const struct log_field *fields, size_t count);

#define log_event(level_, logger_, event_, ...)                                                    \
    do {                                                                                           \
        if ((level_) >= log_threshold) {                                                           \
            const struct log_field log_fields_[] = {{0}, ##__VA_ARGS__};                           \
            log_write((level_), (logger_), (event_), log_fields_ + 1,                              \
                      sizeof log_fields_ / sizeof *log_fields_ - 1);                               \
        }                                                                                          \
    } while (0)

const char *level_name(enum level level); /* "debug" ... "critical" */

#endif
