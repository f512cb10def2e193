/* A fake provider of tests/fakes as a child process; it ends with its parent. */
#ifndef SEMA_TESTS_FAKE_PROCESS_H
#define SEMA_TESTS_FAKE_PROCESS_H

#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct fake {
    pid_t pid;
    int to; /* its standard input: closing it ends it */
    int port;
};

/* `more`: further arguments, NULL at the end. */
static inline void fake_start(struct fake *f, const char *name, const char *const *more)
{
    const char *root = getenv("SEMA_SOURCE_ROOT");
    char path[512], line[128] = "";
    char *argv[16] = {(char[]){"python3"}, path, (char[]){"--with-parent"}};
    int in[2], out[2], argc = 3;
    size_t n = 0;

    snprintf(path, sizeof path, "%s/tests/fakes/%s", root ? root : ".", name);
    for (; more && *more && argc < 15; more++) argv[argc++] = (char *)(uintptr_t)*more;
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    fcntl(in[1], F_SETFD, FD_CLOEXEC); /* another fake would keep this one alive */
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    for (int i = 0; i < 2; i++) {
        posix_spawn_file_actions_addclose(&actions, in[i]);
        posix_spawn_file_actions_addclose(&actions, out[i]);
    }
    assert_int_equal(posix_spawnp(&f->pid, "python3", &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    f->to = in[1];
    while (n < sizeof line - 1 && !strchr(line, '\n')) {
        ssize_t got = read(out[0], line + n, sizeof line - 1 - n);
        if (got <= 0) break;
        n += (size_t)got;
        line[n] = '\0';
    }
    close(out[0]);
    const char *colon = strrchr(line, ':');
    assert_non_null(colon);
    f->port = (int)strtol(colon + 1, NULL, 10);
}

static inline void fake_stop(struct fake *f)
{
    if (f->pid == 0) return;
    close(f->to);
    waitpid(f->pid, NULL, 0);
    f->pid = 0;
}

#endif
