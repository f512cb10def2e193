/* The main of a fuzz target outside the fuzzer, so that every target is a normal test too: all
 * files of its corpus folder, whole and cut, then the same mutations of them in every run.  Usage:
 * TARGET FOLDER [MUTATIONS].
 *
 * An input that ends the process is written out as hex first. */
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

enum { SEEDS_MAX = 512, INPUT_BYTES_MAX = 1 << 20, SECONDS_MAX = 3 };

struct seed {
    uint8_t *at;
    size_t len;
};
static struct seed seeds[SEEDS_MAX];
static size_t seeds_count;

static const uint8_t *now_at; /* the input that is being tried */
static size_t now_len;

static void show_input(void)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *at = now_at;
    now_at = NULL;
    for (size_t i = 0; at && i < now_len; i++) {
        char pair[2] = {digits[at[i] >> 4], digits[at[i] & 15]};
        if (write(2, pair, 2) != 2) return;
    }
    if (write(2, "\n", 1) != 1) return;
}

static void on_signal(int number)
{
    show_input();
    signal(number, SIG_DFL);
    raise(number);
}

/* From memory of exactly its size, so that a read beyond it is seen. */
static void try(const uint8_t *data, size_t len)
{
    uint8_t *exact = malloc(len ? len : 1);
    if (exact == NULL) abort();
    if (len) memcpy(exact, data, len);
    now_at = exact;
    now_len = len;
    LLVMFuzzerTestOneInput(exact, len);
    now_at = NULL;
    free(exact);
}

static void load(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL || seeds_count == SEEDS_MAX) abort();
    struct seed *s = &seeds[seeds_count];
    s->at = malloc(INPUT_BYTES_MAX);
    if (s->at == NULL) abort();
    s->len = fread(s->at, 1, INPUT_BYTES_MAX, f);
    fclose(f);
    seeds_count++;
}

static int name_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the order of their names: directories have none. */
static void load_folder(const char *folder)
{
    char *names[SEEDS_MAX], path[4096];
    size_t count = 0;
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        fprintf(stderr, "no corpus in %s\n", folder);
        exit(1);
    }
    for (struct dirent *d; (d = readdir(dir)) && count < SEEDS_MAX;) {
        if (d->d_name[0] != '.') names[count++] = strdup(d->d_name);
    }
    closedir(dir);
    qsort(names, count, sizeof *names, name_order);
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        load(path);
        free(names[i]);
    }
}

static uint64_t random_state = 0x9e3779b97f4a7c15;

static size_t below(size_t n) /* xorshift64 */
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return n ? (size_t)(random_state % n) : 0;
}

/* One change: a bit, a byte, a whole number at a border, a piece taken out, doubled, or from
 * elsewhere. */
static void mutate(uint8_t *at, size_t *len)
{
    static const uint64_t borders[] = {0,         1,          0x7f,       0x80,       0xff,
                                       0xffff,    0x7fffffff, 0x80000000, 0xffffffff, 1ull << 61,
                                       INT64_MAX, 1ull << 63, UINT64_MAX};
    if (*len == 0) return;
    size_t place = below(*len), n = 1 + below(16);
    if (n > *len - place) n = *len - place;
    switch (below(6)) {
    case 0: at[place] ^= (uint8_t)(1u << below(8)); break;
    case 1: at[place] = (uint8_t)below(256); break;
    case 2: {
        uint64_t border = borders[below(sizeof borders / sizeof *borders)];
        memcpy(at + place, &border, n < 8 ? n : 8);
        break;
    }
    case 3:
        memmove(at + place, at + place + n, *len - place - n);
        *len -= n;
        break;
    case 4:
        if (*len + n > INPUT_BYTES_MAX) return;
        memmove(at + place + n, at + place, *len - place);
        *len += n;
        break;
    default: {
        const struct seed *s = &seeds[below(seeds_count)];
        size_t from = below(s->len);
        if (n > s->len - from) n = s->len - from;
        memcpy(at + place, s->at + from, n);
    }
    }
}

int main(int argc, char **argv)
{
    size_t mutations = argc > 2 ? strtoul(argv[2], NULL, 10) : 50000, done = 0;
    if (argc < 2) return 2;
    load_folder(argv[1]);
    signal(SIGSEGV, on_signal);
    signal(SIGABRT, on_signal);
    signal(SIGFPE, on_signal);
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(show_input);

    printf("1..2\n");
    for (size_t i = 0; i < seeds_count; i++) {
        try(seeds[i].at, seeds[i].len);
        for (size_t cut = 0; cut < seeds[i].len; cut += 1 + seeds[i].len / 64)
            try(seeds[i].at, cut);
    }
    printf("%s 1 - %zu inputs of the corpus\n", seeds_count ? "ok" : "not ok", seeds_count);
    fflush(stdout);

    uint8_t *input = malloc(INPUT_BYTES_MAX);
    time_t end = time(NULL) + SECONDS_MAX; /* slow builds see the first part of the same sequence */
    for (; input && seeds_count && done < mutations && time(NULL) < end; done++) {
        const struct seed *s = &seeds[below(seeds_count)];
        size_t len = s->len, changes = 1 + below(6);
        memcpy(input, s->at, len);
        for (size_t i = 0; i < changes; i++) mutate(input, &len);
        if (below(16) == 0) len = below(len + 1);
        try(input, len);
    }
    printf("%s 2 - %zu mutations\n", done ? "ok" : "not ok", done);
    free(input);
    for (size_t i = 0; i < seeds_count; i++) free(seeds[i].at);
    return 0;
}
