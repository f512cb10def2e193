#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"

enum { LINE_BYTES_MAX = 8192 }; /* reliability.md section 2 */

enum level log_threshold = LEVEL_INFO;

static struct {
    pthread_mutex_t lock; /* a reopened file is swapped under it; a line is one write without it */
    struct log_conf conf;
    char *path;
    int fd; /* of the copy, -1 without */
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .conf.to_stderr = true, .fd = -1};

const char *level_name(enum level level)
{
    static const char *const names[] = {"debug", "info", "warning", "error", "critical"};
    return names[level];
}

static int open_copy(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

enum err log_open(const struct log_conf *conf, struct err_note *why)
{
    int fd = -1;
    char *path = NULL;

    if (conf->path) {
        path = strdup(conf->path);
        fd = path ? open_copy(path) : -1;
        if (fd < 0) {
            int was = errno;
            free(path);
            return err_set(why, ERR_IO, "cannot open \"%s\": %s", conf->path, strerror(was));
        }
    }
    log_close();
    state.conf = *conf;
    state.conf.path = NULL;
    state.path = path;
    state.fd = fd;
    log_threshold = conf->threshold;
    return ERR_NONE;
}

enum err log_reopen(void)
{
    enum err e = ERR_NONE;

    pthread_mutex_lock(&state.lock);
    if (state.path) {
        int fd = open_copy(state.path);
        if (fd < 0) {
            e = ERR_IO;
        } else {
            close(state.fd);
            state.fd = fd;
        }
    }
    pthread_mutex_unlock(&state.lock);
    return e;
}

void log_close(void)
{
    pthread_mutex_lock(&state.lock);
    if (state.fd >= 0) close(state.fd);
    free(state.path);
    state.fd = -1;
    state.path = NULL;
    pthread_mutex_unlock(&state.lock);
}

static void add_json(struct buf *line, enum level level, const char *logger, const char *event,
                     const struct log_field *f, size_t count, const char *when)
{
    struct json_out o = json_begin(line);

    json_object(&o);
    for (size_t i = 0; i < count; i++) {
        json_key(&o, f[i].key);
        switch (f[i].kind) {
        case LOG_KIND_STR: json_text(&o, f[i].v.s); break;
        case LOG_KIND_INT: json_int(&o, f[i].v.i); break;
        case LOG_KIND_NUM: json_fixed(&o, f[i].v.n, 6); break;
        case LOG_KIND_BOOL: json_bool(&o, f[i].v.i != 0); break;
        }
    }
    json_key(&o, "event"), json_text(&o, str_of(event));
    json_key(&o, "logger"), json_text(&o, str_of(logger));
    json_key(&o, "level"), json_text(&o, str_of(level_name(level)));
    json_key(&o, "timestamp"), json_text(&o, str_of(when));
    json_end_object(&o);
}

/* A value with blanks or quotes is quoted, so that a line always splits the same way. */
static void add_text_value(struct buf *line, str s)
{
    bool plain = s.len > 0;

    for (size_t i = 0; plain && i < s.len; i++)
        plain = (unsigned char)s.at[i] > ' ' && s.at[i] != '"' && s.at[i] != '=';
    if (plain) {
        buf_add(line, s);
    } else {
        buf_add_char(line, '"');
        json_escape(line, s, true);
        buf_add_char(line, '"');
    }
}

static void add_text(struct buf *line, enum level level, const char *logger, const char *event,
                     const struct log_field *f, size_t count, const char *when)
{
    buf_addf(line, "%s %-8s %s.%s", when, level_name(level), logger, event);
    for (size_t i = 0; i < count; i++) {
        buf_addf(line, " %s=", f[i].key);
        switch (f[i].kind) {
        case LOG_KIND_STR: add_text_value(line, f[i].v.s); break;
        case LOG_KIND_INT: buf_addf(line, "%lld", (long long)f[i].v.i); break;
        case LOG_KIND_NUM: buf_addf(line, "%.6f", f[i].v.n); break;
        case LOG_KIND_BOOL: buf_addf(line, f[i].v.i ? "true" : "false"); break;
        }
    }
}

static void write_line(int fd, str line)
{
    while (line.len > 0) {
        ssize_t n = write(fd, line.at, line.len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return; /* a log that cannot be written must not stop the server */
        line = str_tail(line, (size_t)n);
    }
}

void log_write(enum level level, const char *logger, const char *event,
               const struct log_field *fields, size_t count)
{
    char when[CLOCK_ISO_BYTES];
    struct buf line;

    clock_iso(when, clock_wall_us());
    buf_init(&line, 16 * LINE_BYTES_MAX);
    (state.conf.json ? add_json : add_text)(&line, level, logger, event, fields, count, when);
    if (line.bad || line.len > LINE_BYTES_MAX) {
        /* Cutting JSON in the middle would break its reader: the fields go, the event stays. */
        const struct log_field cut = LOG_BOOL("cut", true);
        buf_clear(&line);
        (state.conf.json ? add_json : add_text)(&line, level, logger, event, &cut, 1, when);
    }
    buf_add_char(&line, '\n');

    pthread_mutex_lock(&state.lock);
    if (!line.bad) {
        write_line(state.conf.to_stderr ? STDERR_FILENO : STDOUT_FILENO, buf_str(&line));
        if (state.fd >= 0) write_line(state.fd, buf_str(&line));
    }
    pthread_mutex_unlock(&state.lock);
    buf_fini(&line);
}
