/* Runs a fuzz target over files and folders of inputs, as a test: one case an input.  The same
 * target is linked with libFuzzer where the compiler has it (see meson.build). */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int cases;

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) return -1;
    if (fseek(file, 0, SEEK_END)) abort();
    long size = ftell(file);
    rewind(file);
    uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
    if (data == NULL || fread(data, 1, (size_t)size, file) != (size_t)size) abort();
    fclose(file);
    LLVMFuzzerTestOneInput(data, (size_t)size);
    /* Every shorter start of a small input is an input too. */
    for (long cut = 0; size <= 4096 && cut < size; cut += 1 + size / 64) {
        uint8_t *part =
            malloc(cut > 0 ? (size_t)cut : 1); /* its own block: one byte too far is seen */
        if (part == NULL) abort();
        for (long i = 0; i < cut; i++) part[i] = data[i];
        LLVMFuzzerTestOneInput(part, (size_t)cut);
        free(part);
    }
    free(data);
    printf("ok %d - %s\n", ++cases, path);
    return 0;
}

static int run(const char *path)
{
    struct stat info;
    struct dirent **names;

    if (stat(path, &info)) return -1;
    if (!S_ISDIR(info.st_mode)) return run_file(path);
    int count = scandir(path, &names, NULL, alphasort);
    int result = count < 0 ? -1 : 0;
    for (int i = 0; i < count; i++) {
        char inside[4096];
        int n = snprintf(inside, sizeof inside, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && (n >= (int)sizeof inside || run(inside))) result = -1;
        free(names[i]);
    }
    if (count >= 0) free(names);
    return result;
}

int main(int argc, char **argv)
{
    int result = argc > 1 ? 0 : -1;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++)
        if (run(argv[i])) result = -1;
    printf("1..%d\n", cases);
    if (result) fprintf(stderr, "an input cannot be read\n");
    return result ? 1 : 0;
}
