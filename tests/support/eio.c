/*
 * Interposed between a server and its disk by LD_PRELOAD: lets calls on files of the objects fail
 * with EIO while the file named by XFER_EIO exists and holds the call's name. For tests alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int fails(int fd, const char *call)
{
    const char *control = getenv("XFER_EIO");
    char link[64], path[4096], wanted[64] = "";
    FILE *file;
    ssize_t length;

    if (control == NULL)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = '\0';
    if (strstr(path, "/objects/") == NULL && strstr(path, "/incoming/") == NULL)
        return 0;
    file = fopen(control, "r");
    if (file == NULL)
        return 0;
    if (fgets(wanted, sizeof wanted, file) == NULL)
        wanted[0] = '\0';
    fclose(file);
    if (strcmp(wanted, call) != 0)
        return 0;
    errno = EIO;
    return 1;
}

#define NEXT(type, name, ...) ((type (*)(__VA_ARGS__)) dlsym(RTLD_NEXT, name))

ssize_t pread64(int fd, void *data, size_t count, off64_t offset)
{
    if (fails(fd, "pread"))
        return -1;
    return NEXT(ssize_t, "pread64", int, void *, size_t, off64_t)(fd, data, count, offset);
}

ssize_t pread(int fd, void *data, size_t count, off_t offset)
{
    return pread64(fd, data, count, offset);
}

ssize_t writev(int fd, const struct iovec *blocks, int count)
{
    if (fails(fd, "writev"))
        return -1;
    return NEXT(ssize_t, "writev", int, const struct iovec *, int)(fd, blocks, count);
}

int fsync(int fd)
{
    if (fails(fd, "fsync"))
        return -1;
    return NEXT(int, "fsync", int)(fd);
}
