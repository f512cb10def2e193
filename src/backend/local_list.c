/* Local models that may be named: inside the program, in MODEL_PATH, in the shared cache; and what
 * their files say, without loading them. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "backend/local_in.h"
#include "engine/engine.h"
#include "engine/format/files.h"
#include "hub/cache.h"
#include "hub/hub.h"

/* A file of the shared cache is a link to a blob, which is named by its SHA-256 when it is large.
 */
static bool blob_digest(const char *path, char out[65])
{
    char real[PATH_MAX];

    if (realpath(path, real) == NULL) return false;
    const char *name = strrchr(real, '/');
    if (name == NULL || strlen(++name) != 64 || strspn(name, "0123456789abcdef") != 64)
        return false;
    memcpy(out, name, 65);
    return true;
}

/* FNV-1a, 64 bits, with another beginning for each quarter: the same files give the same digits. */
static void made_digest(str name, uint64_t bytes, uint64_t modified_s, char out[65])
{
    for (unsigned quarter = 0; quarter < 4; quarter++) {
        uint64_t h = UINT64_C(14695981039346656037) + quarter;
        for (size_t i = 0; i < name.len; i++)
            h = (h ^ (unsigned char)name.at[i]) * UINT64_C(1099511628211);
        for (unsigned i = 0; i < 16; i++)
            h = (h ^ ((i < 8 ? bytes : modified_s) >> (i % 8 * 8) & 255)) * UINT64_C(1099511628211);
        snprintf(out + 16 * quarter, 17, "%016llx", (unsigned long long)h);
    }
}

/* Files that do not run are listed with what is known all the same: naming one says what is wrong.
 */
static void look_at(struct arena *a, struct files *files, const char *path, uint64_t bytes,
                    struct backend_offer *out)
{
    struct backend_files *to = arena_new(a, struct backend_files);
    char digest[65], weights[PATH_MAX];
    struct engine_about about;
    struct err_note unused;
    struct stat st;

    if (to == NULL) return;
    *to = (struct backend_files){.format = STR(""),
                                 .family = STR(""),
                                 .quantization = STR(""),
                                 .chat_template = STR(""),
                                 .bytes = bytes};
    if (path && stat(path, &st) == 0) to->modified_s = (uint64_t)st.st_mtime;
    if (files && engine_about(&about, files, a, &unused) == ERR_NONE) {
        to->format = str_of(about.format);
        to->family = about.family;
        to->quantization = str_of(about.quantization);
        to->chat_template = about.chat_template;
        to->parameters = about.parameters;
        to->takes_tools = about.takes_tools;
        out->context_length = about.ctx_tokens;
    }
    bool dir = path && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    snprintf(weights, sizeof weights, "%s%s", path ? path : "", dir ? "/model.safetensors" : "");
    if (path == NULL || !blob_digest(weights, digest))
        made_digest(out->id, bytes, to->modified_s, digest);
    to->digest = arena_str(a, str_of(digest));
    out->files = to;
}

static bool is_listed(const struct backend *b, str name)
{
    for (size_t i = 0; i < b->list_count; i++)
        if (str_eq(b->list[i].id, name)) return true;
    return false;
}

static void add_found(struct backend *b, const struct cached_model *m)
{
    struct backend_offer *o = &b->list[b->list_count];
    struct err_note unused;
    struct files *files = NULL;

    if (m->path == NULL || is_listed(b, m->name)) return;
    if (files_open(&files, m->path, &unused)) files = NULL;
    *o = (struct backend_offer){.id = m->name};
    look_at(&b->list_arena, files, m->path, m->bytes, o);
    files_close(files);
    if (b->conf.ctx_tokens > 0 && o->context_length > b->conf.ctx_tokens)
        o->context_length = b->conf.ctx_tokens;
    b->list_count++;
}

static void add_embedded(struct backend *b, const struct backend_embedded *m)
{
    struct backend_offer *o = &b->list[b->list_count];
    struct files *files = NULL;
    uint64_t bytes = 0;

    for (size_t i = 0; i < m->count; i++) bytes += m->blobs[i].bytes.len;
    if (files_of_memory(&files, m->blobs, m->count, m->model)) files = NULL;
    *o = (struct backend_offer){.id = str_of(m->model)};
    look_at(&b->list_arena, files, NULL, bytes, o);
    files_close(files);
    if (b->conf.ctx_tokens > 0 && o->context_length > b->conf.ctx_tokens)
        o->context_length = b->conf.ctx_tokens;
    b->list_count++;
}

/* The disk may be slow: on a thread of its own. */
static void *look(void *arg)
{
    struct backend *b = arg;
    struct arena *a = &b->list_arena;
    struct cached_model *cached = NULL, *own = NULL;
    struct err_note why = {0};
    size_t cached_count = 0, own_count = 0;
    enum err e = ERR_NONE;

    if (b->conf.model_path) e = folder_list(b->conf.model_path, &own, &own_count, a);
    if (!e && b->conf.hub_cache) e = cache_list(b->conf.hub_cache, &cached, &cached_count, a, &why);
    size_t most = b->conf.embedded_count + own_count + cached_count;
    if (!e && most) b->list = arena_array(a, struct backend_offer, most);
    if (!e && most && b->list == NULL) e = ERR_MEMORY;
    for (size_t i = 0; !e && i < b->conf.embedded_count; i++) add_embedded(b, &b->conf.embedded[i]);
    for (size_t i = 0; !e && i < own_count; i++) add_found(b, &own[i]);
    for (size_t i = 0; !e && i < cached_count; i++) add_found(b, &cached[i]);
    b->list_err = e;
    loop_post(b->loop, &b->listed);
    return NULL;
}

static void on_listed(struct task *t)
{
    struct backend *b = container_of(t, struct backend, listed);
    struct arena a = b->list_arena;

    if (b->listing) pthread_join(b->lister, NULL);
    b->listing = false;
    b->list_done(b->list_ctx, b->list_err, b->list, b->list_count); /* may close it */
    arena_fini(&a);
}

void local_list_start(struct backend *b, struct loop *l, uint32_t within_ms, backend_list_fn *done,
                      void *ctx)
{
    (void)within_ms; /* the asker has its own clock */
    b->loop = l;
    b->list_done = done;
    b->list_ctx = ctx;
    b->list = NULL;
    b->list_count = 0;
    arena_init(&b->list_arena, 0);
    b->listed.run = on_listed;
    b->listing = pthread_create(&b->lister, NULL, look, b) == 0;
    if (b->listing) return;
    b->list_err = ERR_MEMORY;
    loop_post(l, &b->listed);
}

/* MODEL_PATH may be one model's folder, which answers to every name: that says nothing here. */
bool local_list_has(const struct backend_conf *c, str model)
{
    bool one = c->model_path &&
               (str_ends(str_of(c->model_path), STR(".gguf")) || hub_is_model_dir(c->model_path));
    struct err_note unused;
    struct arena a;
    const char *path;

    for (size_t i = 0; i < c->embedded_count; i++)
        if (str_eq(model, str_of(c->embedded[i].model))) return true;
    arena_init(&a, 0);
    enum err e = hub_find(&path, model, one ? NULL : c->model_path, c->hub_cache, &a, &unused);
    if (e && one) {
        str own = str_of(c->model_path);
        size_t slash = str_rfind_char(own, '/');
        if (slash != STR_NPOS) own = str_tail(own, slash + 1);
        if (str_ends(own, STR(".gguf"))) own.len -= strlen(".gguf");
        if (str_eq(own, model)) e = ERR_NONE;
    }
    arena_fini(&a);
    return e == ERR_NONE;
}
