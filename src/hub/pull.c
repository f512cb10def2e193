#include "hub/pull.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/clock.h"
#include "base/rand.h"
#include "hub/fetch.h"
#include "hub/repo.h"

enum {
    TRIES_MAX = 6,           /* of a file, with growing waits */
    TRIES_LIST_MAX = 3,      /* of the first call: without a network that is told soon */
    WAIT_MS_MAX = 30 * 1000, /* between two of them */
    ANSWER_BYTES_MAX = 32 << 20,
    PROGRESS_US = 200 * 1000,
    COPY_BYTES = 1 << 20,
};
static const int64_t file_bytes_max = INT64_C(1) << 40;

struct pull {
    const struct pull_conf *c;
    struct arena *a;
    struct fetch *fetch;
    struct hub_name name;
    struct repo repo;
    const char *folder; /* cache/models--OWNER--NAME */
    const char *revision;
    struct pull_progress progress;
    uint64_t began_us, told_us;
};

static const char *path_of(struct pull *p, const char *dir, str name)
{
    return arena_strf(p->a, "%s/%.*s", dir, STR_ARG(name)).at;
}

/* ---- waiting and telling ---- */

static bool cancelled(const struct pull *p)
{
    return p->c->cancel && atomic_load(p->c->cancel);
}

static void tell(struct pull *p, bool now)
{
    uint64_t at = clock_mono_us();

    if (p->c->progress == NULL || (!now && at - p->told_us < PROGRESS_US)) return;
    p->told_us = at;
    p->progress.elapsed_us = at - p->began_us;
    p->c->progress(p->c->ctx, &p->progress);
}

static void wait_ms(const struct pull *p, int64_t ms)
{
    for (; ms > 0 && !cancelled(p); ms -= 100) {
        struct timespec t = {0, (ms < 100 ? ms : 100) * 1000000};
        nanosleep(&t, NULL);
    }
}

/* Whether a call is worth repeating, after the wait that this takes. */
static bool again(struct pull *p, int tried, int most, enum err e, const struct fetch_head *h)
{
    bool passing =
        e == ERR_NETWORK || e == ERR_TIMEOUT || (!e && (h->status == 429 || h->status >= 500));

    if (!passing || tried >= most || cancelled(p)) return false;
    int64_t ms = (int64_t)(500 << tried);
    if (h->retry_after_s) ms = (int64_t)h->retry_after_s * 1000;
    wait_ms(p, ms < WAIT_MS_MAX ? ms : WAIT_MS_MAX);
    return !cancelled(p);
}

static enum err judge(struct pull *p, const struct fetch_head *h, const char *what,
                      struct err_note *why)
{
    str owner = p->name.owner, name = p->name.name;

    if (h->status / 100 == 2) return ERR_NONE;
    why->http_status = (int)h->status;
    if (h->status == 401 || h->status == 403)
        return err_set(
            why, ERR_AUTH,
            "is gated: accept its licence at https://huggingface.co/%.*s/%.*s and set HF_TOKEN",
            STR_ARG(owner), STR_ARG(name));
    if (h->status == 404)
        return err_set(why, ERR_NOT_FOUND,
                       "the hub has no %s %.*s/%.*s; is the name spelt right? (a private one needs "
                       "HF_TOKEN)",
                       what, STR_ARG(owner), STR_ARG(name));
    if (h->status == 429) return err_set(why, ERR_RATE_LIMIT, "the hub's rate limit");
    return err_set(why, ERR_SERVER, "the hub answered %ld", h->status);
}

static enum err get(struct pull *p, const char *url, struct buf *body, const char *what,
                    struct err_note *why)
{
    struct fetch_head h = {0};
    enum err e;
    int tried = 0;

    do {
        buf_clear(body);
        e = fetch_get(p->fetch, url, body, &h, why);
    } while (again(p, tried++, TRIES_LIST_MAX, e, &h));
    return e ? e : judge(p, &h, what, why);
}

/* ---- folders ---- */

static enum err make_dirs(const char *path, struct err_note *why)
{
    char part[4096];
    size_t len = strlen(path);

    if (len >= sizeof part) return err_set(why, ERR_IO, "the path %s is too long", path);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return err_set(why, ERR_IO, "cannot make the folder %s: %s", part, strerror(errno));
    }
    return ERR_NONE;
}

static enum err make_parent(const char *path, struct err_note *why)
{
    char dir[4096];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;

    if (len == 0 || len >= sizeof dir)
        return err_set(why, ERR_IO, "the path %s is not usable", path);
    memcpy(dir, path, len);
    dir[len] = '\0';
    return make_dirs(dir, why);
}

/* ---- sums ---- */

struct sum {
    EVP_MD_CTX *md;
    bool git; /* SHA-1 over "blob SIZE" NUL and the content */
    int64_t size;
};

static bool sum_begin(struct sum *s)
{
    char head[48];

    if (!EVP_DigestInit_ex(s->md, s->git ? EVP_sha1() : EVP_sha256(), NULL)) return false;
    if (!s->git) return true;
    int n = snprintf(head, sizeof head, "blob %lld", (long long)s->size);
    return EVP_DigestUpdate(s->md, head, (size_t)n + 1);
}

static void sum_hex(struct sum *s, char out[65])
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    EVP_DigestFinal_ex(s->md, raw, &n);
    for (unsigned i = 0; i < n && i < 32; i++) snprintf(out + 2 * i, 3, "%02x", raw[i]);
}

/* ---- one file ---- */

struct download {
    struct pull *p;
    const struct repo_file *f;
    const char *own;  /* the file of this pull's own beside the blob */
    const char *blob; /* where it goes when it is whole */
    int fd;
    int64_t have;
};

static enum err on_restart(void *ctx)
{
    struct download *d = ctx;

    if (ftruncate(d->fd, 0) != 0 || lseek(d->fd, 0, SEEK_SET) != 0) return ERR_IO;
    d->p->progress.bytes_done -= d->have;
    d->have = 0;
    return ERR_NONE;
}

static void on_more(void *ctx, const void *bytes, size_t count)
{
    struct download *d = ctx;
    (void)bytes;
    d->have += (int64_t)count;
    d->p->progress.bytes_done += (int64_t)count;
    d->p->progress.fetched += (int64_t)count;
    tell(d->p, false);
}

static bool copy_fd(int from, int to)
{
    char *piece = malloc(COPY_BYTES);
    ssize_t n = -1;

    while (piece && (n = read(from, piece, COPY_BYTES)) > 0)
        if (write(to, piece, (size_t)n) != n) n = -1;
    free(piece);
    return n == 0;
}

/* What an earlier try left is copied, not taken over: whoever wrote it may write on, and nothing
 * that is verified here may change afterwards.  Renaming it first makes sure that one pull only
 * takes it. */
static void claim(struct download *d, const char *left)
{
    char taken[64];

    snprintf(taken, sizeof taken, ".%016llx.taken", (unsigned long long)rand_u64());
    const char *mine = left ? arena_strf(d->p->a, "%s%s", left, taken).at : NULL;
    if (mine == NULL || rename(left, mine) != 0) return;
    int from = open(mine, O_RDONLY | O_CLOEXEC);
    off_t size = from >= 0 ? lseek(from, 0, SEEK_END) : 0;
    bool useful = size > d->have && (d->f->size < 0 || size <= d->f->size);
    if (useful && on_restart(d) == ERR_NONE) {
        lseek(from, 0, SEEK_SET);
        if (copy_fd(from, d->fd)) {
            d->have = size;
            d->p->progress.bytes_done += size;
        } else {
            on_restart(d);
        }
    }
    if (from >= 0) close(from);
    unlink(mine);
}

/* The standard name for a partial blob, and what pulls of ours left that were killed. */
static void claim_partial(struct download *d)
{
    const char *name = strrchr(d->blob, '/') + 1, *own = strrchr(d->own, '/') + 1;
    const char *dir = arena_str(d->p->a, str_span(d->blob, (size_t)(name - d->blob - 1))).at;
    DIR *blobs = dir ? opendir(dir) : NULL;
    struct dirent *entry;

    claim(d, arena_strf(d->p->a, "%s.incomplete", d->blob).at);
    while (blobs && (entry = readdir(blobs))) {
        str s = str_of(entry->d_name);
        if (str_starts(s, str_of(name)) && str_ends(s, STR(".part")) && !str_eq(s, str_of(own)))
            claim(d, path_of(d->p, dir, s));
    }
    if (blobs) closedir(blobs);
}

static enum err verify(struct download *d, bool *good, struct err_note *why)
{
    struct sum s = {.git = d->f->sha256.len == 0, .size = d->have};
    str want = d->f->sha256.len ? d->f->sha256 : d->f->blob_id;
    char hex[65] = "";

    *good = d->f->size < 0 || d->have == d->f->size;
    if (!*good || want.len == 0) return ERR_NONE;
    s.md = EVP_MD_CTX_new();
    char *piece = malloc(COPY_BYTES);
    ssize_t n = -1;
    bool ok = s.md && piece && sum_begin(&s) && lseek(d->fd, 0, SEEK_SET) == 0;
    while (ok && (n = read(d->fd, piece, COPY_BYTES)) > 0)
        ok = EVP_DigestUpdate(s.md, piece, (size_t)n);
    if (ok && n == 0) sum_hex(&s, hex);
    free(piece);
    EVP_MD_CTX_free(s.md);
    if (!ok || n != 0) return err_set(why, ERR_IO, "cannot read back %s", d->own);
    *good = str_eq(str_of(hex), want);
    return ERR_NONE;
}

static enum err fetch_rest(struct download *d, struct err_note *why)
{
    struct pull *p = d->p;
    const char *url =
        arena_strf(p->a, "%s/%.*s/%.*s/resolve/%.*s/%.*s", p->c->endpoint, STR_ARG(p->name.owner),
                   STR_ARG(p->name.name), STR_ARG(p->repo.commit), STR_ARG(d->f->name))
            .at;
    struct fetch_head h = {0};
    enum err e = url ? ERR_NONE : ERR_MEMORY;
    int tried = 0;

    while (!e) {
        if (d->f->size >= 0 && d->have == d->f->size) return ERR_NONE;
        int64_t had = d->have;
        lseek(d->fd, d->have, SEEK_SET);
        struct fetch_file to = {.fd = d->fd,
                                .from = d->have,
                                .size_max = d->f->size >= 0 ? d->f->size : file_bytes_max,
                                .restart = on_restart,
                                .more = on_more,
                                .ctx = d};
        e = fetch_file(p->fetch, url, &to, &h, why);
        if (!e && h.status / 100 == 2) return ERR_NONE;
        if (!e && h.status == 416) { /* what we have is not the start of this file */
            e = on_restart(d);
            if (!e && tried++ < TRIES_MAX) continue;
            return err_set(why, ERR_SERVER, "the hub refuses %.*s", STR_ARG(d->f->name));
        }
        if (d->have > had) tried = 0; /* it moves: the wait starts small again */
        if (again(p, tried++, TRIES_MAX, e, &h))
            e = ERR_NONE;
        else
            return e ? e : judge(p, &h, "file of", why);
    }
    return e;
}

static bool blob_there(const char *blob, int64_t size)
{
    struct stat st;
    return stat(blob, &st) == 0 && S_ISREG(st.st_mode) && (size < 0 || st.st_size == size);
}

static enum err publish(struct download *d, struct err_note *why)
{
    if (fsync(d->fd) == 0 && fchmod(d->fd, 0644) == 0 && rename(d->own, d->blob) == 0)
        return ERR_NONE;

    /* Where locks do nothing, another pull may have claimed our file and finished before us. */
    int was = errno;
    if (was == ENOENT && blob_there(d->blob, d->have)) return ERR_NONE;
    return err_set(why, ERR_IO, "cannot keep %s: %s", d->blob, strerror(was));
}

/* A wrong sum begins anew once; what is whole becomes the blob, what was cut stays for the next
 * try. */
static enum err download(struct download *d, struct err_note *why)
{
    enum err e = ERR_NONE;
    bool good = false;

    claim_partial(d);
    for (int round = 0; !e && !good && round < 2; round++) {
        e = fetch_rest(d, why);
        if (!e) e = verify(d, &good, why);
        if (!e && !good) e = on_restart(d);
    }
    if (!e && !good)
        e = err_set(why, ERR_SERVER, "%.*s does not have the hash that the hub names",
                    STR_ARG(d->f->name));
    if (!e) return publish(d, why);

    const char *left = arena_strf(d->p->a, "%s.incomplete", d->blob).at;
    if (d->have == 0 || left == NULL || rename(d->own, left) != 0) unlink(d->own);
    return e;
}

/* Waits for another pull of the same blob; without working locks both go on, each in its own file.
 */
static int lock_blob(struct pull *p, str etag)
{
    const char *dir = arena_strf(p->a, "%s/.locks/models--%.*s--%.*s", p->c->cache,
                                 STR_ARG(p->name.owner), STR_ARG(p->name.name))
                          .at;
    const char *path = dir && make_dirs(dir, NULL) == ERR_NONE
                           ? arena_strf(p->a, "%s/%.*s.lock", dir, STR_ARG(etag)).at
                           : NULL;
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644) : -1;

    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK && !cancelled(p)) {
        wait_ms(p, 200);
        tell(p, false);
    }
    return fd;
}

/* Tells size and hash of a file that the list did not tell them of. */
static enum err ask_file(struct pull *p, struct repo_file *f, struct err_note *why)
{
    const char *url =
        arena_strf(p->a, "%s/%.*s/%.*s/resolve/%.*s/%.*s", p->c->endpoint, STR_ARG(p->name.owner),
                   STR_ARG(p->name.name), STR_ARG(p->repo.commit), STR_ARG(f->name))
            .at;
    struct fetch_head h = {0};
    enum err e;
    int tried = 0;

    if (url == NULL) return ERR_MEMORY;
    do e = fetch_head(p->fetch, url, &h, why);
    while (again(p, tried++, TRIES_MAX, e, &h));
    if (!e) e = judge(p, &h, "file of", why);
    if (e) return e;
    size_t len = strlen(h.etag);
    if (len == 64) f->sha256 = arena_str(p->a, str_of(h.etag));
    if (len == 40) f->blob_id = arena_str(p->a, str_of(h.etag));
    f->size = h.size;
    if (len != 64 && len != 40)
        return err_set(why, ERR_SERVER, "the hub names no hash for %.*s", STR_ARG(f->name));
    return ERR_NONE;
}

static enum err link_file(struct pull *p, const struct repo_file *f, str etag, struct err_note *why)
{
    const char *at = arena_strf(p->a, "%s/snapshots/%.*s/%.*s", p->folder, STR_ARG(p->repo.commit),
                                STR_ARG(f->name))
                         .at;
    struct buf target;
    char fresh[40];

    if (at == NULL) return ERR_MEMORY;
    enum err e = make_parent(at, why);
    if (e) return e;
    buf_init(&target, 4096);
    for (size_t i = 0; i < f->name.len; i++)
        if (f->name.at[i] == '/') buf_add(&target, STR("../"));
    buf_addf(&target, "../../blobs/%.*s", STR_ARG(etag));
    buf_add_char(&target, '\0');
    snprintf(fresh, sizeof fresh, ".%016llx", (unsigned long long)rand_u64());
    const char *temp = arena_strf(p->a, "%s%s", at, fresh).at;
    bool ok = !target.bad && temp && symlink(target.at, temp) == 0 && rename(temp, at) == 0;
    if (!ok) e = err_set(why, ERR_IO, "cannot link %s: %s", at, strerror(errno));
    if (!ok && temp) unlink(temp);
    buf_fini(&target);
    return e;
}

static str etag_of(const struct repo_file *f)
{
    return f->sha256.len ? f->sha256 : f->blob_id;
}

static enum err pull_file(struct pull *p, const struct repo_file *f, struct err_note *why)
{
    struct download d = {.p = p, .f = f, .fd = -1};
    str etag = etag_of(f);
    char own[64];

    p->progress.file = f->name;
    d.blob = arena_strf(p->a, "%s/blobs/%.*s", p->folder, STR_ARG(etag)).at;
    snprintf(own, sizeof own, ".%016llx.part", (unsigned long long)rand_u64());
    d.own = d.blob ? arena_strf(p->a, "%s%s", d.blob, own).at : NULL;
    if (d.own == NULL) return ERR_MEMORY;
    enum err e = make_parent(d.blob, why);
    if (e) return e;

    int lock = lock_blob(p, etag);
    if (cancelled(p)) {
        e = err_set(why, ERR_CANCELLED, "cancelled");
    } else if (blob_there(d.blob, f->size)) {
        p->progress.bytes_done += f->size > 0 ? f->size : 0;
    } else {
        d.fd = open(d.own, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (d.fd < 0) e = err_set(why, ERR_IO, "cannot write %s: %s", d.own, strerror(errno));
        if (!e) e = download(&d, why);
        if (d.fd >= 0) close(d.fd);
    }
    if (lock >= 0) close(lock);
    if (!e) e = link_file(p, f, etag, why);
    if (!e) p->progress.files_done++;
    tell(p, true);
    return e;
}

/* ---- the whole ---- */

static enum err check_room(struct pull *p, const struct repo_choice *c, struct err_note *why)
{
    struct statvfs fs;
    int64_t need = 0;

    for (size_t i = 0; i < c->count; i++) {
        const char *blob =
            arena_strf(p->a, "%s/blobs/%.*s", p->folder, STR_ARG(etag_of(c->files[i]))).at;
        if (blob && !blob_there(blob, c->files[i]->size) && c->files[i]->size > 0)
            need += c->files[i]->size;
    }
    if (statvfs(p->folder, &fs) != 0) return ERR_NONE;
    int64_t room = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
    if (need <= room) return ERR_NONE;
    return err_set(
        why, ERR_IO,
        "needs %.1f GB in %s, %.1f GB are free; make room, or set HF_HUB_CACHE to another "
        "disk",
        (double)need / 1e9, p->folder, (double)room / 1e9);
}

static enum err list_repo(struct pull *p, struct err_note *why)
{
    const char *url =
        arena_strf(p->a, "%s/api/models/%.*s/%.*s/revision/%s?blobs=true", p->c->endpoint,
                   STR_ARG(p->name.owner), STR_ARG(p->name.name), p->revision)
            .at;
    struct buf body;

    if (url == NULL) return ERR_MEMORY;
    buf_init(&body, ANSWER_BYTES_MAX);
    enum err e = get(p, url, &body, "model", why);
    if (!e) e = repo_read(&p->repo, buf_str(&body), p->a, why);
    buf_fini(&body);
    return e;
}

static enum err tell_all(struct pull *p, const struct repo_choice *c, struct err_note *why)
{
    enum err e = ERR_NONE;

    for (size_t i = 0; i < c->count && !e; i++) {
        struct repo_file *f = &p->repo.files[c->files[i] - p->repo.files];
        if (f->size < 0 || etag_of(f).len == 0) e = ask_file(p, f, why);
    }
    p->progress.files = c->count;
    p->progress.bytes = 0;
    for (size_t i = 0; i < c->count; i++)
        p->progress.bytes += c->files[i]->size > 0 ? c->files[i]->size : 0;
    return e;
}

static enum err read_index(struct pull *p, const struct repo_file *f, struct buf *to,
                           struct err_note *why)
{
    const char *at = arena_strf(p->a, "%s/blobs/%.*s", p->folder, STR_ARG(etag_of(f))).at;
    FILE *in = at ? fopen(at, "re") : NULL;
    size_t n = 1;

    if (in == NULL) return err_set(why, ERR_IO, "cannot read back %s", at ? at : "the index");
    while (n > 0) {
        char *room = buf_room(to, COPY_BYTES);
        if (room == NULL) break;
        n = fread(room, 1, COPY_BYTES, in);
        buf_grew(to, n);
    }
    fclose(in);
    return to->bad ? ERR_MEMORY : ERR_NONE;
}

static enum err choose(struct pull *p, struct repo_choice *c, struct err_note *why)
{
    enum err e = repo_choose(c, &p->repo, &p->name, STR_NONE, p->a, why);
    if (e || c->needs_index == NULL) return e;

    struct buf index;
    struct repo_choice only = {.files = &c->needs_index, .count = 1};
    buf_init(&index, ANSWER_BYTES_MAX);
    e = tell_all(p, &only, why);
    if (!e) e = pull_file(p, c->needs_index, why);
    if (!e) e = read_index(p, c->needs_index, &index, why);
    if (!e) e = repo_choose(c, &p->repo, &p->name, buf_str(&index), p->a, why);
    buf_fini(&index);
    p->progress.files_done = 0;
    p->progress.bytes_done = 0;
    return e;
}

/* The reference is written last: it never names a snapshot that is not whole. */
static enum err write_ref(struct pull *p, struct err_note *why)
{
    const char *at = arena_strf(p->a, "%s/refs/%s", p->folder, p->revision).at;
    char fresh[40];

    snprintf(fresh, sizeof fresh, ".%016llx", (unsigned long long)rand_u64());
    const char *temp = at ? arena_strf(p->a, "%s%s", at, fresh).at : NULL;
    if (temp == NULL) return ERR_MEMORY;
    enum err e = make_parent(at, why);
    if (e) return e;
    FILE *f = fopen(temp, "we");
    bool ok = f && fwrite(p->repo.commit.at, 1, p->repo.commit.len, f) == p->repo.commit.len;
    if (f && fclose(f) != 0) ok = false;
    if (ok && rename(temp, at) == 0) return ERR_NONE;
    unlink(temp);
    return err_set(why, ERR_IO, "cannot write %s: %s", at, strerror(errno));
}

static bool revision_ok(str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.at[i] | 32) >= 'a' && (s.at[i] | 32) <= 'z') &&
            !(s.at[i] >= '0' && s.at[i] <= '9') && !strchr("._-", s.at[i]))
            return false;
    return s.len > 0 && s.len < 128 && s.at[0] != '.' && s.at[0] != '-';
}

static enum err pull_all(struct pull *p, struct err_note *why)
{
    struct repo_choice c;

    enum err e = list_repo(p, why);
    if (!e) e = make_dirs(p->folder, why);
    if (!e) e = choose(p, &c, why);
    if (!e) e = tell_all(p, &c, why);
    if (!e) e = check_room(p, &c, why);
    for (size_t i = 0; !e && i < c.count; i++) e = pull_file(p, c.files[i], why);
    return e ? e : write_ref(p, why);
}

enum err hub_pull(const char **out, str model, const struct pull_conf *c, struct arena *a,
                  struct err_note *why)
{
    struct pull p = {.c = c, .a = a, .revision = c->revision ? c->revision : "main"};
    struct err_note unused = {0};
    struct fetch_conf f = {.token = c->token, .endpoint = c->endpoint, .cancel = c->cancel};

    if (why == NULL) why = &unused;
    enum err e = hub_name_parse(&p.name, model, why);
    if (!e && p.name.owner.len == 0)
        e = err_set(why, ERR_INVALID, "\"%.*s\" has no owner: the hub's names are OWNER/NAME",
                    STR_ARG(model));
    if (!e && !revision_ok(str_of(p.revision)))
        e = err_set(why, ERR_INVALID, "\"%s\" is not a revision", p.revision);
    if (e) return e;
    p.folder = arena_strf(a, "%s/models--%.*s--%.*s", c->cache, STR_ARG(p.name.owner),
                          STR_ARG(p.name.name))
                   .at;
    if (p.folder == NULL) return ERR_MEMORY;
    p.began_us = clock_mono_us();
    e = fetch_new(&p.fetch, &f, why);
    if (!e) e = pull_all(&p, why);
    fetch_free(p.fetch);
    return e ? e : hub_find(out, model, NULL, c->cache, a, why);
}
