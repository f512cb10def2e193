#include "cli/process.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

/* PR_SET_DUMPABLE would do as well, but it also hides /proc/PID/fd and smaps from whoever runs the
 * server and wants to see what it holds.  The limit ends dumps to files; the filter (core(5))
 * empties those that a handler takes by a pipe, which no limit stops. */
void process_keep_secrets(void)
{
    const struct rlimit none = {0, 0};
    int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);

    setrlimit(RLIMIT_CORE, &none);
    if (fd < 0) return;
    if (write(fd, "0\n", 2) != 2) { /* an old kernel: the limit still holds */
    }
    close(fd);
}

void process_serve(int threads)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a log over `ulimit -f`: the line is lost, the process is not */
    /* Each heap keeps what its threads once needed: as many heaps as loops, not eight for each
     * core. */
    mallopt(M_ARENA_MAX, threads + 1);
    /* Otherwise the bound grows with the largest block ever freed, and memory is not given back. */
    mallopt(M_TRIM_THRESHOLD, 256 * 1024);
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
}
