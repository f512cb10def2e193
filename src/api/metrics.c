/* /api/v1/metrics and METRICS_PATH (http-api.md section 11). */
#include "api/metrics.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/inside.h"
#include "base/clock.h"
#include "base/counter.h"

enum {
    METRICS_BYTES_MAX = 8 << 20,
    ROUTES_MAX = 64, /* one more is "other" */
};

static const char *const methods[] = {"GET", "POST", "HEAD", "DELETE", "OPTIONS", "other"};
enum { METHODS = sizeof methods / sizeof *methods };

static const short statuses[] = {101, 200, 204, 307, 400, 401, 403, 404, 405,
                                 408, 413, 414, 417, 421, 422, 426, 429, 431,
                                 499, 500, 501, 502, 503, 504, 505, 507, 0 /* other */};
enum { STATUSES = sizeof statuses / sizeof *statuses };

struct metrics {
    counter requests[ROUTES_MAX + 1][METHODS][STATUSES];
    struct histogram seconds[ROUTES_MAX + 1];
    counter rate_limited;
    counter switched, not_switched;
};

enum err metrics_new(struct metrics **out)
{
    struct metrics *m = calloc(1, sizeof *m);
    if (m == NULL) return ERR_MEMORY;
    assert(routes_count <= ROUTES_MAX);
    *out = m;
    return ERR_NONE;
}

void metrics_free(struct metrics *m)
{
    free(m);
}

static size_t method_index(str method)
{
    size_t i = 0;
    while (i < METHODS - 1 && !str_eq(method, str_of(methods[i]))) i++;
    return i;
}

static size_t status_index(int status)
{
    size_t i = 0;
    while (i < STATUSES - 1 && statuses[i] != status) i++;
    return i;
}

void metrics_request(struct metrics *m, const struct route *route, str method, int status,
                     uint64_t total_us)
{
    size_t at = route_index(route);

    if (route == NULL || at >= ROUTES_MAX) at = ROUTES_MAX;
    counter_add(&m->requests[at][method_index(method)][status_index(status)], 1);
    histogram_add(&m->seconds[at], total_us);
}

void metrics_rate_limited(struct metrics *m)
{
    counter_add(&m->rate_limited, 1);
}

void metrics_switched(struct metrics *m, bool ok)
{
    counter_add(ok ? &m->switched : &m->not_switched, 1);
}

/* ---- printing ---- */

static void head(struct buf *to, const char *name, const char *type, const char *help)
{
    buf_addf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct buf *to, const char *name, const char *type, const char *help, double value)
{
    head(to, name, type, help);
    buf_addf(to, "%s %.17g\n", name, value);
}

/* A label's value: backslash, quote and line feed escaped. */
static void label(struct buf *to, const char *name, str value)
{
    buf_addf(to, "%s=\"", name);
    for (size_t i = 0; i < value.len; i++) {
        char c = value.at[i];
        if (c == '\\' || c == '"') buf_add_char(to, '\\');
        if (c == '\n')
            buf_add(to, STR("\\n"));
        else
            buf_add_char(to, c);
    }
    buf_add_char(to, '"');
}

static void histogram(struct buf *to, const char *name, const char *key, str value,
                      const struct histogram *const *parts, size_t parts_count)
{
    uint64_t total = 0, sum_us = 0;

    for (size_t i = 0; i <= HISTOGRAM_BUCKETS; i++) {
        for (size_t p = 0; p < parts_count; p++) total += counter_read(&parts[p]->bucket[i]);
        buf_addf(to, "%s_bucket{", name);
        label(to, key, value);
        if (i < HISTOGRAM_BUCKETS)
            buf_addf(to, ",le=\"%g\"} %llu\n", histogram_bounds[i], (unsigned long long)total);
        else
            buf_addf(to, ",le=\"+Inf\"} %llu\n", (unsigned long long)total);
    }
    for (size_t p = 0; p < parts_count; p++) sum_us += counter_read(&parts[p]->sum_us);
    buf_addf(to, "%s_sum{", name);
    label(to, key, value);
    buf_addf(to, "} %.6f\n%s_count{", (double)sum_us / 1e6, name);
    label(to, key, value);
    buf_addf(to, "} %llu\n", (unsigned long long)total);
}

static const char *route_label(size_t at, const struct conf *conf)
{
    return at < routes_count && at < ROUTES_MAX ? route_path(&routes[at], conf) : "other";
}

static void print_requests(struct buf *to, const struct metrics *m, const struct conf *conf)
{
    head(to, "sema_http_requests_total", "counter", "Requests answered.");
    for (size_t r = 0; r <= ROUTES_MAX; r++)
        for (size_t k = 0; k < METHODS; k++)
            for (size_t s = 0; s < STATUSES; s++) {
                uint64_t n = counter_read(&m->requests[r][k][s]);
                if (n == 0) continue;
                buf_addf(to, "sema_http_requests_total{method=\"%s\",", methods[k]);
                label(to, "route", str_of(route_label(r, conf)));
                if (statuses[s])
                    buf_addf(to, ",status=\"%d\"} %llu\n", statuses[s], (unsigned long long)n);
                else
                    buf_addf(to, ",status=\"other\"} %llu\n", (unsigned long long)n);
            }
    head(to, "sema_http_request_duration_seconds", "histogram",
         "From a request's first byte to its end.");
    for (size_t r = 0; r <= ROUTES_MAX; r++) {
        const struct histogram *h = &m->seconds[r];
        uint64_t any = 0;
        for (size_t i = 0; i <= HISTOGRAM_BUCKETS; i++) any += counter_read(&h->bucket[i]);
        if (any)
            histogram(to, "sema_http_request_duration_seconds", "route",
                      str_of(route_label(r, conf)), &h, 1);
    }
}

static void generation(struct buf *to, const struct model_numbers *n, const char *outcome,
                       uint64_t count)
{
    buf_add(to, STR("sema_generations_total{"));
    label(to, "backend", str_of(n->backend));
    buf_add_char(to, ',');
    label(to, "model", n->model);
    buf_addf(to, ",outcome=\"%s\"} %llu\n", outcome, (unsigned long long)count);
}

static void tokens(struct buf *to, const struct model_numbers *n, const char *kind, uint64_t count)
{
    buf_add(to, STR("sema_tokens_total{"));
    label(to, "backend", str_of(n->backend));
    buf_add_char(to, ',');
    label(to, "model", n->model);
    buf_addf(to, ",kind=\"%s\"} %llu\n", kind, (unsigned long long)count);
}

/* One histogram for each backend: its models together. */
static void by_backend(struct buf *to, const char *name, const struct models *models,
                       bool first_token)
{
    size_t count = models_numbers_count(models);
    const struct histogram *parts[MODEL_NUMBERS_MAX];

    for (size_t i = 0; i < count; i++) {
        const struct model_numbers *n = models_numbers(models, i);
        size_t parts_count = 0;
        bool seen = false;
        for (size_t k = 0; k < count; k++) {
            const struct model_numbers *other = models_numbers(models, k);
            if (!str_eq(str_of(other->backend), str_of(n->backend))) continue;
            if (k < i) seen = true;
            if (parts_count < MODEL_NUMBERS_MAX)
                parts[parts_count++] = first_token ? &other->first_token : &other->seconds;
        }
        if (!seen) histogram(to, name, "backend", str_of(n->backend), parts, parts_count);
    }
}

static void print_generations(struct buf *to, const struct models *models)
{
    size_t count = models_numbers_count(models);

    head(to, "sema_generations_total", "counter", "Answers asked of a model, by outcome.");
    for (size_t i = 0; i < count; i++) {
        const struct model_numbers *n = models_numbers(models, i);
        generation(to, n, "ok", counter_read(&n->ok));
        generation(to, n, "failed", counter_read(&n->failed));
        generation(to, n, "cancelled", counter_read(&n->cancelled));
    }
    head(to, "sema_generation_seconds", "histogram", "Time to the end of an answer.");
    by_backend(to, "sema_generation_seconds", models, false);
    head(to, "sema_time_to_first_token_seconds", "histogram", "Time to an answer's first text.");
    by_backend(to, "sema_time_to_first_token_seconds", models, true);
    head(to, "sema_tokens_total", "counter", "Tokens read and written by models.");
    for (size_t i = 0; i < count; i++) {
        const struct model_numbers *n = models_numbers(models, i);
        tokens(to, n, "prompt", counter_read(&n->prompt_tokens));
        tokens(to, n, "completion", counter_read(&n->completion_tokens));
    }
}

/* ---- the process, under the names that Prometheus clients use ---- */

static size_t read_file(const char *path, char *to, size_t max)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, to, max - 1);

    if (fd >= 0) close(fd);
    to[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static double start_time_s(void)
{
    char text[4096];
    unsigned long long ticks = 0, boot_s = 0;

    read_file("/proc/self/stat", text, sizeof text);
    /* proc(5): the 22nd field; the second, the name in brackets, may hold blanks. */
    char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
    if (at) ticks = strtoull(at, NULL, 10);
    FILE *f = fopen("/proc/stat", "re");
    while (f && fgets(text, sizeof text, f))
        if (strncmp(text, "btime ", 6) == 0) boot_s = strtoull(text + 6, NULL, 10);
    if (f) fclose(f);
    return (double)boot_s + (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static size_t open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    size_t n = 0;

    if (d == NULL) return 0;
    for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
    closedir(d);
    return n - 1; /* the one that was just opened to look */
}

static void print_process(struct buf *to)
{
    char text[256];
    struct rusage used = {0};
    struct rlimit files = {0};
    double page = (double)sysconf(_SC_PAGESIZE);

    read_file("/proc/self/statm", text, sizeof text);
    char *end;
    unsigned long long pages = strtoull(text, &end, 10), resident = strtoull(end, NULL, 10);
    getrusage(RUSAGE_SELF, &used);
    getrlimit(RLIMIT_NOFILE, &files);
    one(to, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
        (double)resident * page);
    one(to, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.",
        (double)pages * page);
    one(to, "process_start_time_seconds", "gauge", "Start time since the Unix epoch in seconds.",
        start_time_s());
    one(to, "process_cpu_seconds_total", "counter", "User and system CPU time spent in seconds.",
        (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
            (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    one(to, "process_open_fds", "gauge", "Number of open file descriptors.", (double)open_files());
    one(to, "process_max_fds", "gauge", "Maximum number of open file descriptors.",
        (double)files.rlim_cur);
}

void metrics_print(struct buf *to, struct api *a)
{
    print_process(to);
    print_requests(to, a->metrics, a->conf);
    print_generations(to, a->parts.models);
    one(to, "sema_active_streams", "gauge", "SSE and WebSocket answers being generated.",
        (double)atomic_load(&a->streams));
    one(to, "sema_active_sessions", "gauge", "Sessions kept.",
        (double)shelf_sessions(a->parts.shelf));
    one(to, "sema_websocket_connections", "gauge", "Open WebSockets.",
        (double)gauge_read(&a->websockets));
    one(to, "sema_rate_limited_total", "counter", "Requests refused by RATE_LIMIT.",
        (double)counter_read(&a->metrics->rate_limited));
    one(to, "sema_fallbacks_total", "counter",
        "Answers that another model of the chain had to give.",
        (double)counter_read(&models_counts(a->parts.models)->fallbacks));
    one(to, "sema_rescues_total", "counter", "Streams that another model went on with.",
        (double)counter_read(&models_counts(a->parts.models)->rescues));
    head(to, "sema_model_switches_total", "counter", "Switches of the model, by outcome.");
    buf_addf(to, "sema_model_switches_total{outcome=\"ok\"} %llu\n",
             (unsigned long long)counter_read(&a->metrics->switched));
    buf_addf(to, "sema_model_switches_total{outcome=\"failed\"} %llu\n",
             (unsigned long long)counter_read(&a->metrics->not_switched));
}

void metrics_get(struct call *c)
{
    struct buf body;

    if (!c->api->conf->enable_metrics) {
        call_fail(c, 404, "metrics_disabled", STR("Metrics not enabled"));
        return;
    }
    buf_init(&body, METRICS_BYTES_MAX);
    metrics_print(&body, c->api);
    if (body.bad)
        call_out_of_memory(c);
    else
        call_send(c, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&body));
    buf_fini(&body);
}
