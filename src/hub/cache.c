#include "hub/cache.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub/hub.h"

enum { OPEN_DIRS = 16, MODELS_MAX = 4096 };

/* nftw takes no context. */
static _Thread_local uint64_t walked_bytes;
static _Thread_local int walked_errno;

static int add_size(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)path, (void)at;
    if (type == FTW_F) walked_bytes += (uint64_t)st->st_size;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    if (remove(path) == 0) return 0;
    walked_errno = errno;
    return -1;
}

static uint64_t bytes_below(const char *path)
{
    walked_bytes = 0;
    nftw(path, add_size, OPEN_DIRS, FTW_PHYS);
    return walked_bytes;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct cached_model *)a)->name, ((const struct cached_model *)b)->name);
}

/* "models--OWNER--NAME" -> "OWNER/NAME"; false for other folders. */
static bool name_of(const char *folder, struct arena *a, str *out)
{
    str s = str_of(folder);

    if (!str_starts(s, STR("models--"))) return false;
    s = str_tail(s, strlen("models--"));
    size_t at = str_find(s, STR("--"));
    *out = at == STR_NPOS
               ? arena_str(a, s)
               : arena_strf(a, "%.*s/%.*s", STR_ARG(str_head(s, at)), STR_ARG(str_tail(s, at + 2)));
    return out->at != NULL;
}

enum err cache_list(const char *cache, struct cached_model **out, size_t *count, struct arena *a,
                    struct err_note *why)
{
    struct cached_model *list = arena_array(a, struct cached_model, MODELS_MAX);
    DIR *d = opendir(cache);
    struct dirent *entry;

    if (list == NULL) {
        if (d) closedir(d);
        return ERR_MEMORY;
    }
    *out = list;
    *count = 0;
    if (d == NULL)
        return errno == ENOENT ? ERR_NONE
                               : err_set(why, ERR_IO, "cannot read %s: %s", cache, strerror(errno));
    while ((entry = readdir(d)) && *count < MODELS_MAX) {
        struct cached_model *m = &list[*count];
        struct err_note unused;
        if (!name_of(entry->d_name, a, &m->name)) continue;
        const char *folder = arena_strf(a, "%s/%s", cache, entry->d_name).at;
        if (folder == NULL) break;
        m->bytes = bytes_below(folder);
        if (hub_find(&m->path, m->name, NULL, cache, a, &unused)) m->path = NULL;
        ++*count;
    }
    closedir(d);
    qsort(list, *count, sizeof *list, by_name);
    return ERR_NONE;
}

/* ---- the owner's own folder ---- */

struct folder {
    struct cached_model *at;
    size_t count;
    struct arena *a;
};

static void folder_add(struct folder *f, str name, const char *path)
{
    struct stat st;

    if (f->count == MODELS_MAX || name.at == NULL || path == NULL || stat(path, &st)) return;
    uint64_t bytes = S_ISDIR(st.st_mode) ? bytes_below(path) : (uint64_t)st.st_size;
    f->at[f->count++] = (struct cached_model){name, path, bytes};
}

static bool is_gguf(str name)
{
    /* Of a split file the first part stands for all. */
    bool later =
        str_find(name, STR("-of-")) != STR_NPOS && str_find(name, STR("-00001-of-")) == STR_NPOS;
    return str_ends(name, STR(".gguf")) && !later;
}

static str last_part(str path)
{
    while (path.len > 1 && path.at[path.len - 1] == '/') path.len--;
    size_t slash = str_rfind_char(path, '/');
    return slash == STR_NPOS ? path : str_tail(path, slash + 1);
}

static void folder_walk(struct folder *f, const char *path, str owner)
{
    DIR *d = opendir(path);
    struct dirent *entry;

    if (d == NULL) return;
    while ((entry = readdir(d)) && f->count < MODELS_MAX) {
        str name = str_of(entry->d_name);
        if (name.at[0] == '.') continue;
        const char *at = arena_strf(f->a, "%s/%s", path, entry->d_name).at;
        if (at == NULL) break;
        str full = owner.len ? arena_strf(f->a, "%.*s/%s", STR_ARG(owner), entry->d_name)
                             : arena_str(f->a, name);
        if (is_gguf(name) && owner.len == 0)
            folder_add(f, str_head(full, full.len - strlen(".gguf")), at);
        else if (hub_is_model_dir(at))
            folder_add(f, full, at);
        else if (owner.len == 0)
            folder_walk(f, at, full);
    }
    closedir(d);
}

enum err folder_list(const char *path, struct cached_model **out, size_t *count, struct arena *a)
{
    struct folder f = {.at = arena_array(a, struct cached_model, MODELS_MAX), .a = a};
    str name = arena_str(a, last_part(str_of(path)));

    if (f.at == NULL || name.at == NULL) return ERR_MEMORY;
    if (is_gguf(name))
        folder_add(&f, str_head(name, name.len - strlen(".gguf")), path);
    else if (hub_is_model_dir(path))
        folder_add(&f, name, path);
    else
        folder_walk(&f, path, STR_NONE);
    *out = f.at;
    *count = f.count;
    return ERR_NONE;
}

enum err cache_remove(const char *cache, str model, uint64_t *bytes, struct err_note *why)
{
    struct hub_name n;
    struct arena a;
    struct stat st;

    enum err e = hub_name_parse(&n, model, why);
    if (e) return e;
    arena_init(&a, 0);
    const char *folder =
        n.owner.len
            ? arena_strf(&a, "%s/models--%.*s--%.*s", cache, STR_ARG(n.owner), STR_ARG(n.name)).at
            : arena_strf(&a, "%s/models--%.*s", cache, STR_ARG(n.name)).at;
    if (folder == NULL) {
        e = ERR_MEMORY;
    } else if (lstat(folder, &st) != 0 || !S_ISDIR(st.st_mode)) {
        e = err_set(why, ERR_NOT_FOUND, "\"%.*s\" is not in %s", STR_ARG(model), cache);
    } else {
        *bytes = bytes_below(folder);
        walked_errno = 0;
        if (nftw(folder, remove_one, OPEN_DIRS, FTW_DEPTH | FTW_PHYS) != 0)
            e = err_set(why, ERR_IO, "cannot remove %s: %s", folder, strerror(walked_errno));
    }
    arena_fini(&a);
    return e;
}
