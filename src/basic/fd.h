#pragma once

/* File descriptors: ownership. */

#include "basic/macros.h"

/* Closes fd if it is one; errno is kept. Returns -EBADF, to be assigned to the variable. */
int fd_close(int fd);

static inline void fd_closep(int *fd)
{
        *fd = fd_close(*fd);
}

#define _cleanup_close_ _cleanup_(fd_closep)

/* A new name lasts once its directory is on disk too. 0, or -1 and errno. */
int fd_sync_parent(const char *path);

/* Takes a descriptor out of its variable, which no longer owns it. */
static inline int take_fd(int *fd)
{
        int v = *fd;

        *fd = -EBADF;
        return v;
}
