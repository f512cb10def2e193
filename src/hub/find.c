#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "hub/hub.h"

enum { REF_BYTES_MAX = 256 };

/* ---- names ---- */

static bool part_ok(str s)
{
    if (s.len == 0 || s.len > 128 || s.at[0] == '.' || s.at[0] == '-') return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-' || c >= 0x80;
        if (!ok) return false;
    }
    return str_find(s, STR("..")) == STR_NPOS;
}

enum err hub_name_parse(struct hub_name *out, str text, struct err_note *why)
{
    struct hub_name n = {0};
    size_t colon = str_find_char(text, ':');
    str path = colon == STR_NPOS ? text : str_head(text, colon);
    size_t slash = str_find_char(path, '/');

    if (colon != STR_NPOS) n.variant = str_tail(text, colon + 1);
    n.name = slash == STR_NPOS ? path : str_tail(path, slash + 1);
    if (slash != STR_NPOS) n.owner = str_head(path, slash);

    bool ok = part_ok(n.name) && (slash == STR_NPOS || part_ok(n.owner)) &&
              (colon == STR_NPOS || part_ok(n.variant));
    if (!ok)
        return err_set(why, ERR_INVALID, "\"%.*s\" is not a model name (OWNER/NAME)",
                       STR_ARG(str_head(text, 200)));
    *out = n;
    return ERR_NONE;
}

/* ---- folders ---- */

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static const char *join(struct arena *a, const char *dir, str rest)
{
    return arena_strf(a, "%s/%.*s", dir, STR_ARG(rest)).at;
}

static bool has(const char *dir, const char *name)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    return n > 0 && (size_t)n < sizeof path && is_file(path);
}

bool hub_is_model_dir(const char *path)
{
    static const char *const weights[] = {"model.safetensors", "model.safetensors.index.json",
                                          "pytorch_model.bin", "pytorch_model.bin.index.json"};

    if (!is_dir(path) || !has(path, "config.json")) return false;
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        if (has(path, weights[i])) return true;
    return false;
}

static bool has_nocase(const char *text, str part)
{
    for (; *text; text++)
        if (strncasecmp(text, part.at, part.len) == 0) return true;
    return part.len == 0;
}

/* How well a GGUF file's name fits: 0 not at all.  Without a variant Q4_K_M, Q4_0, Q8_0 are
 * preferred in this order, then any that is alone. */
static int gguf_rank(const char *name, str variant)
{
    static const char *const liked[] = {"Q4_K_M", "Q4_0", "Q8_0"};
    size_t len = strlen(name);

    if (len < 6 || strcasecmp(name + len - 5, ".gguf") != 0) return 0;
    if (strstr(name, "-of-") && !strstr(name, "-00001-of-"))
        return 0; /* a later part of a split file */
    if (variant.len) return has_nocase(name, variant) ? 5 : 0;
    for (int i = 0; i < 3; i++)
        if (has_nocase(name, str_of(liked[i]))) return 4 - i;
    return 1;
}

/* Naming any part of a split file means the whole, which is opened by its first part. */
static str first_part(struct arena *a, str variant)
{
    size_t of = str_find(variant, STR("-of-"));

    if (of == STR_NPOS || of < 6 || variant.at[of - 6] != '-') return variant;
    return arena_strf(a, "%.*s-00001%.*s", STR_ARG(str_head(variant, of - 6)),
                      STR_ARG(str_tail(variant, of)));
}

/* The one GGUF file of a folder that the variant means; NULL when none or several do. */
static const char *find_gguf(struct arena *a, const char *dir, str variant)
{
    variant = first_part(a, variant);
    DIR *d = opendir(dir);
    struct dirent *entry;
    const char *best = NULL;
    int best_rank = 0, equals = 0;

    if (d == NULL) return NULL;
    while ((entry = readdir(d))) {
        int rank = gguf_rank(entry->d_name, variant);
        if (rank == 0 || rank < best_rank) continue;
        equals = rank == best_rank ? equals + 1 : 1;
        best_rank = rank;
        best = join(a, dir, str_of(entry->d_name));
    }
    closedir(d);
    return equals == 1 && best && is_file(best) ? best : NULL;
}

static const char *model_in(struct arena *a, const char *dir, str variant)
{
    if (dir == NULL || !is_dir(dir)) return NULL;
    if (variant.len == 0 && hub_is_model_dir(dir)) return dir;
    return find_gguf(a, dir, variant);
}

static const char *below_model_path(struct arena *a, const struct hub_name *n, const char *path)
{
    const char *found = NULL;
    str file = str_of(path);

    if (is_file(path)) return str_ends(file, STR(".gguf")) ? path : NULL;
    if (n->owner.len) {
        const char *owner = join(a, path, n->owner);
        if (owner) found = model_in(a, join(a, owner, n->name), n->variant);
    }
    if (!found) found = model_in(a, join(a, path, n->name), n->variant);
    if (!found && str_ends(n->name, STR(".gguf"))) {
        const char *at = join(a, path, n->name);
        if (at && is_file(at)) found = at;
    }
    if (!found) {
        const char *at = arena_strf(a, "%s/%.*s.gguf", path, STR_ARG(n->name)).at;
        if (at && is_file(at)) found = at;
    }
    if (!found && hub_is_model_dir(path)) found = path;
    return found;
}

/* ---- the cache ---- */

static const char *snapshot_of_ref(struct arena *a, const char *repo)
{
    char line[REF_BYTES_MAX] = "";
    const char *ref = join(a, repo, STR("refs/main"));
    FILE *f = ref ? fopen(ref, "re") : NULL;

    if (f == NULL) return NULL;
    bool got = fgets(line, sizeof line, f) != NULL;
    fclose(f);
    str commit = str_trim(str_of(line));
    return got && part_ok(commit) ? arena_strf(a, "%s/snapshots/%.*s", repo, STR_ARG(commit)).at
                                  : NULL;
}

static const char *newest_snapshot(struct arena *a, const char *repo, str variant)
{
    const char *dir = join(a, repo, STR("snapshots")), *best = NULL;
    DIR *d = dir ? opendir(dir) : NULL;
    struct dirent *entry;
    time_t newest = 0;

    if (d == NULL) return NULL;
    while ((entry = readdir(d))) {
        struct stat st;
        if (entry->d_name[0] == '.') continue;
        const char *at = join(a, dir, str_of(entry->d_name));
        const char *model = model_in(a, at, variant);
        if (model && stat(at, &st) == 0 && (best == NULL || st.st_mtime > newest)) {
            newest = st.st_mtime;
            best = model;
        }
    }
    closedir(d);
    return best;
}

static const char *in_cache(struct arena *a, const struct hub_name *n, const char *cache)
{
    const char *repo =
        n->owner.len
            ? arena_strf(a, "%s/models--%.*s--%.*s", cache, STR_ARG(n->owner), STR_ARG(n->name)).at
            : arena_strf(a, "%s/models--%.*s", cache, STR_ARG(n->name)).at;
    if (repo == NULL || !is_dir(repo)) return NULL;
    const char *found = model_in(a, snapshot_of_ref(a, repo), n->variant);
    return found ? found : newest_snapshot(a, repo, n->variant);
}

enum err hub_find(const char **out, str model, const char *model_path, const char *cache,
                  struct arena *a, struct err_note *why)
{
    struct hub_name n;
    const char *found = NULL;

    enum err e = hub_name_parse(&n, model, why);
    if (e) return e;
    if (model_path) found = below_model_path(a, &n, model_path);
    if (!found && cache) found = in_cache(a, &n, cache);
    if (found) {
        *out = found;
        return ERR_NONE;
    }
    const char *where = model_path ? model_path : cache ? cache : "(no folder is set)";
    if (n.owner.len == 0) /* often a provider's model, and MODEL_TYPE was forgotten */
        return err_set(
            why, ERR_NOT_FOUND,
            "no such files in %s; models of the hub are named OWNER/NAME, and those of a "
            "provider need its MODEL_TYPE",
            where);
    return err_set(why, ERR_NOT_FOUND, "no such files in %s; get them with: sema pull %.*s", where,
                   STR_ARG(model));
}
