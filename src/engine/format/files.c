#include "engine/format/files.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/limits.h"

struct file {
    char *name;
    str bytes;
    bool mapped;
    struct file *next;
};

struct files {
    char *label;
    char *dir;       /* NULL: bytes inside the program */
    char *gguf;      /* first part; NULL when the weights are in another format */
    char *only;      /* the path named this file of weights; NULL otherwise */
    bool gguf_alone; /* the path named a GGUF file: nothing beside it belongs to it */
    const struct files_blob *blobs; /* when dir is NULL */
    size_t blobs_count;

    pthread_mutex_t lock; /* guards the list */
    struct file *list;
};

/* ---- a file that shrinks under its map ------------------------------------------------------- */

static _Thread_local sigjmp_buf *guard_jump; /* where a fault of this thread goes */
static struct sigaction guard_before;
static pthread_once_t guard_once = PTHREAD_ONCE_INIT;

static void guard_fault(int signal, siginfo_t *info, void *context)
{
    if (guard_jump != NULL) {
        /* The mask of before the fault: the thread sanitizer blocks all signals in a handler. */
        pthread_sigmask(SIG_SETMASK, &((ucontext_t *)context)->uc_sigmask, NULL);
        siglongjmp(*guard_jump, 1);
    }
    if (guard_before.sa_flags & SA_SIGINFO) {
        guard_before.sa_sigaction(signal, info, context);
        return;
    }
    /* Not ours: as if this handler were not there. */
    sigaction(SIGBUS, &guard_before, NULL);
    raise(signal);
}

static void guard_install(void)
{
    struct sigaction action = {.sa_sigaction = guard_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &guard_before);
}

enum err files_guard(void (*work)(void *ctx), void *ctx)
{
    sigjmp_buf here;
    sigjmp_buf *volatile outer = guard_jump;
    volatile enum err e = ERR_NONE;

    pthread_once(&guard_once, guard_install);
    /* The handler puts the signal mask back, so there is none to save at each call. */
    if (sigsetjmp(here, 0) == 0) {
        guard_jump = &here;
        work(ctx);
    } else {
        e = ERR_IO;
    }
    guard_jump = outer;
    return e;
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool dir_has(const char *dir, const char *name)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", dir, name) < 0) return false;
    struct stat st;
    bool has = stat(path, &st) == 0 && S_ISREG(st.st_mode);
    free(path);
    return has;
}

/* "x-00002-of-00003.gguf": where the part's five digits stand; NULL for a whole file. */
static char *split_digits(char *name)
{
    static const char shape[] = "-00000-of-00000.gguf";
    size_t len = strlen(name), tail = sizeof shape - 1;
    if (len <= tail) return NULL;
    char *at = name + len - tail;
    for (size_t i = 0; i < tail; i++) {
        bool ok = shape[i] == '0' ? at[i] >= '0' && at[i] <= '9' : at[i] == shape[i];
        if (!ok) return NULL;
    }
    return at + 1;
}

static bool is_first_part(char *name)
{
    char *digits = split_digits(name);
    return digits == NULL || memcmp(digits, "00001", 5) == 0;
}

static bool has_nocase(const char *text, const char *part)
{
    return strcasestr(text, part) != NULL;
}

/* Of several GGUF files in a directory: the only one, else by the block types of local-models.md
 * section 7.  How likely a name is to be meant; 0: not at all. */
static int gguf_rank(char *name)
{
    str s = str_of(name);
    if (!str_ends(s, STR(".gguf")) || !is_first_part(name) || has_nocase(name, "mmproj")) return 0;
    if (has_nocase(name, "Q4_K_M")) return 4;
    if (has_nocase(name, "Q4_0")) return 3;
    if (has_nocase(name, "Q8_0")) return 2;
    return 1;
}

static enum err find_gguf(struct files *f)
{
    static const char *const others[] = {"model.safetensors", "model.safetensors.index.json",
                                         "pytorch_model.bin", "pytorch_model.bin.index.json"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (dir_has(f->dir, others[i])) return ERR_NONE;
    }
    DIR *dir = opendir(f->dir);
    if (dir == NULL) return ERR_IO;
    int best = 0, count = 0;
    enum err e = ERR_NONE;
    for (struct dirent *d; !e && (d = readdir(dir));) {
        int rank = gguf_rank(d->d_name);
        if (rank == 0) continue;
        count++;
        /* Equal ranks: the first by name, so that the choice does not hang on the directory's
         * order. */
        if (rank > best || (rank == best && strcmp(d->d_name, f->gguf) < 0)) {
            char *name = strdup(d->d_name);
            if (name == NULL) e = ERR_MEMORY;
            free(f->gguf);
            f->gguf = name;
            best = rank;
        }
    }
    closedir(dir);
    if (!e && best == 1 && count > 1) { /* none of the types that may be chosen for the user */
        free(f->gguf);
        f->gguf = NULL;
    }
    return e;
}

/* What the path of one file means: a GGUF file alone; or weights whose settings stand beside them,
 * where any shard of an index means all of them. */
static enum err split_path(struct files *f, const char *path, struct err_note *why)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    str s = str_of(name);
    bool torch = str_ends(s, STR(".bin"));
    f->dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    if (f->dir == NULL) return ERR_MEMORY;
    if (torch || str_ends(s, STR(".safetensors"))) {
        const char *whole = torch ? "pytorch_model.bin" : "model.safetensors";
        const char *index = torch ? "pytorch_model.bin.index.json" : "model.safetensors.index.json";
        if (strcmp(name, whole) != 0 && dir_has(f->dir, index)) return ERR_NONE;
        f->only = strdup(name);
        return f->only ? ERR_NONE : ERR_MEMORY;
    }
    if (s.len < 5 || strcasecmp(s.at + s.len - 5, ".gguf") != 0) {
        return err_set(why, ERR_MODEL_UNUSABLE,
                       "%s: not a file of weights (.gguf, .safetensors, .bin)", path);
    }
    f->gguf = strdup(name);
    f->gguf_alone = true;
    if (f->gguf == NULL) return ERR_MEMORY;
    char *digits = split_digits(f->gguf);
    if (digits != NULL) memcpy(digits, "00001", 5); /* naming any part means the whole */
    return ERR_NONE;
}

static struct files *files_new(const char *label)
{
    struct files *f = calloc(1, sizeof *f);
    if (f == NULL) return NULL;
    pthread_mutex_init(&f->lock, NULL);
    f->label = strdup(label);
    if (f->label == NULL) {
        files_close(f);
        return NULL;
    }
    return f;
}

enum err files_open(struct files **out, const char *path, struct err_note *why)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        int reason = errno;
        bool absent = reason == ENOENT || reason == ENOTDIR;
        return err_set(why, absent ? ERR_NOT_FOUND : ERR_IO, "%s: %s", path, strerror(reason));
    }
    struct files *f = files_new(path);
    enum err e = f ? ERR_NONE : ERR_MEMORY;
    if (!e && S_ISDIR(st.st_mode)) {
        f->dir = strdup(path);
        e = f->dir ? find_gguf(f) : ERR_MEMORY;
        if (e == ERR_IO) err_set(why, e, "%s: %s", path, strerror(errno));
    } else if (!e && S_ISREG(st.st_mode)) {
        e = split_path(f, path, why);
    } else if (!e) {
        e = err_set(why, ERR_IO, "%s: neither a directory nor a file", path);
    }
    if (e) {
        files_close(f);
        return e;
    }
    *out = f;
    return ERR_NONE;
}

enum err files_of_memory(struct files **out, const struct files_blob *blobs, size_t count,
                         const char *label)
{
    struct files *f = files_new(label);
    if (f == NULL) return ERR_MEMORY;
    f->blobs = blobs;
    f->blobs_count = count;
    for (size_t i = 0; i < count && f->gguf == NULL; i++) {
        if (!str_ends(str_of(blobs[i].name), STR(".gguf"))) continue;
        f->gguf = strdup(blobs[i].name);
        if (f->gguf == NULL) {
            files_close(f);
            return ERR_MEMORY;
        }
    }
    *out = f;
    return ERR_NONE;
}

static void file_free(struct file *file)
{
    if (file->mapped) {
        munmap((void *)file->bytes.at, file->bytes.len);
    } else {
        free((void *)file->bytes.at);
    }
    free(file->name);
    free(file);
}

void files_close(struct files *f)
{
    if (f == NULL) return;
    for (struct file *file = f->list; file;) {
        struct file *next = file->next;
        file_free(file);
        file = next;
    }
    pthread_mutex_destroy(&f->lock);
    free(f->label);
    free(f->dir);
    free(f->gguf);
    free(f->only);
    free(f);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static bool belongs(const struct files *f, const char *name)
{
    if (name[0] == '\0' || strchr(name, '/') || strcmp(name, "..") == 0) return false;
    return !f->gguf_alone || str_ends(str_of(name), STR(".gguf"));
}

/* Weights are mapped; all else is small and read, so that nobody who parses it can meet a fault. */
static bool is_mapped(const char *name)
{
    str s = str_of(name);
    return str_ends(s, STR(".safetensors")) || str_ends(s, STR(".gguf")) ||
           str_ends(s, STR(".bin"));
}

static enum err read_all(int fd, size_t bytes, str *out)
{
    char *at = malloc(bytes ? bytes : 1);
    if (at == NULL) return ERR_MEMORY;
    size_t len = 0;
    while (len < bytes) {
        ssize_t n = read(fd, at + len, bytes - len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            free(at);
            return ERR_IO;
        }
        if (n == 0) break; /* became shorter meanwhile */
        len += (size_t)n;
    }
    *out = str_span(at, len);
    return ERR_NONE;
}

static enum err load(struct file *file, int fd, const char *path, struct err_note *why)
{
    struct stat st;
    if (fstat(fd, &st) != 0) return err_set(why, ERR_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode)) return err_set(why, ERR_IO, "%s: not a regular file", path);
    size_t bytes = (size_t)st.st_size;
    if (!is_mapped(file->name) || bytes == 0) {
        if (bytes > MODEL_TEXT_BYTES_MAX) {
            return err_set(why, ERR_IO, "%s: %zu bytes are too many for a file of its kind", path,
                           bytes);
        }
        enum err e = read_all(fd, bytes, &file->bytes);
        return e == ERR_IO ? err_set(why, e, "%s: %s", path, strerror(errno)) : e;
    }
    void *at = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) return err_set(why, ERR_IO, "%s: %s", path, strerror(errno));
    file->mapped = true;
    file->bytes = str_span(at, bytes);
    return ERR_NONE;
}

static enum err open_one(struct files *f, const char *name, struct file **out, struct err_note *why)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", f->dir, name) < 0) return ERR_MEMORY;

    /* Without O_NONBLOCK a pipe of that name would wait for a writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    enum err e = ERR_NONE;
    if (fd < 0) {
        bool absent = errno == ENOENT || errno == ENOTDIR;
        e = absent ? ERR_NOT_FOUND : err_set(why, ERR_IO, "%s: %s", path, strerror(errno));
    }
    struct file *file = NULL;
    if (!e) {
        file = calloc(1, sizeof *file);
        if (file) file->name = strdup(name);
        if (file == NULL || file->name == NULL) e = ERR_MEMORY;
    }
    if (!e) e = load(file, fd, path, why);
    if (fd >= 0) close(fd);
    free(path);
    if (e) {
        if (file) file_free(file);
        return e;
    }
    *out = file;
    return ERR_NONE;
}

static const struct files_blob *blob_find(const struct files *f, const char *name)
{
    for (size_t i = 0; i < f->blobs_count; i++) {
        if (strcmp(f->blobs[i].name, name) == 0) return &f->blobs[i];
    }
    return NULL;
}

enum err files_get(struct files *f, const char *name, str *out, struct err_note *why)
{
    if (!belongs(f, name)) return ERR_NOT_FOUND;
    if (f->dir == NULL) {
        const struct files_blob *blob = blob_find(f, name);
        if (blob == NULL) return ERR_NOT_FOUND;
        *out = blob->bytes;
        return ERR_NONE;
    }
    enum err e = ERR_NONE;
    pthread_mutex_lock(&f->lock);
    struct file *file = f->list;
    while (file && strcmp(file->name, name) != 0) file = file->next;
    if (file == NULL) {
        e = open_one(f, name, &file, why);
        if (!e) {
            file->next = f->list;
            f->list = file;
        }
    }
    if (!e) *out = file->bytes;
    pthread_mutex_unlock(&f->lock);
    return e;
}

bool files_has(struct files *f, const char *name)
{
    if (!belongs(f, name)) return false;
    return f->dir ? dir_has(f->dir, name) : blob_find(f, name) != NULL;
}

const char *files_label(const struct files *f)
{
    return f->label;
}

const char *files_gguf(const struct files *f)
{
    return f->gguf;
}

const char *files_only(const struct files *f)
{
    return f->only;
}

enum err files_fault(const struct files *f, const char *name, enum err e, struct err_note *why,
                     const char *format, ...)
{
    if (why == NULL) return e;
    char reason[384];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    err_set(why, e, "%s/%s: %s", f->dir ? f->dir : f->label, name, reason);
    /* Tensor names come from the file: nothing in them may break the line or drive a terminal. */
    for (char *c = why->text; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    }
    return e;
}
