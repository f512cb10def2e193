#include "engine/machine.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* The number behind `key` in a file of "key value" lines; 0 when there is none. */
static uint64_t read_key(const char *path, const char *key)
{
    FILE *f = fopen(path, "re");
    char line[256];
    uint64_t n = 0;

    if (f == NULL) return 0;
    while (fgets(line, sizeof line, f)) {
        str s = str_of(line), k = str_of(key);
        if (!str_starts(s, k)) continue;
        s = str_trim(str_tail(s, k.len));
        size_t blank = str_find_char(s, ' ');
        str_to_u64(blank == STR_NPOS ? s : str_head(s, blank), &n);
        break;
    }
    fclose(f);
    return n;
}

uint64_t machine_free_bytes(void)
{
    uint64_t free_bytes = read_key("/proc/meminfo", "MemAvailable:") * 1024;
    uint64_t limit = read_key("/sys/fs/cgroup/memory.max", "");
    uint64_t used = read_key("/sys/fs/cgroup/memory.current", "");

    if (limit > 0) {
        uint64_t left = limit > used ? limit - used : 0;
        if (free_bytes == 0 || left < free_bytes) free_bytes = left;
    }
    return free_bytes;
}

int machine_threads(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    uint64_t quota = 0, period = 0;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");

    if (f) {
        char line[64];
        if (fgets(line, sizeof line, f)) {
            str s = str_trim(str_of(line));
            size_t blank = str_find_char(s, ' ');
            if (blank != STR_NPOS && str_to_u64(str_head(s, blank), &quota))
                str_to_u64(str_tail(s, blank + 1), &period);
        }
        fclose(f);
    }
    if (quota && period) {
        int whole = (int)(quota / period);
        if (whole < 1) whole = 1;
        if (whole < n) n = whole;
    }
    return n < 1 ? 1 : n;
}
