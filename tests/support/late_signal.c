/*
 * Interposed by LD_PRELOAD: sends the process a SIGINT at the latest moment, when a program has made
 * its last look for signals and is about to wait for a terminal. For tests alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void interrupt(int fd)
{
    static int sent;

    if (!sent && isatty(fd) && getenv("XFER_LATE_SIGNAL") != NULL) {
        sent = 1;
        raise(SIGINT);
    }
}

ssize_t read(int fd, void *buffer, size_t count)
{
    static ssize_t (*real)(int, void *, size_t);

    if (real == NULL)
        real = (ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    interrupt(fd);
    return real(fd, buffer, count);
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    static int (*real)(struct pollfd *, nfds_t, int);

    if (real == NULL)
        real = (int (*)(struct pollfd *, nfds_t, int))dlsym(RTLD_NEXT, "poll");
    for (nfds_t number = 0; number < count; number++)
        interrupt(fds[number].fd);
    return real(fds, count, timeout);
}
