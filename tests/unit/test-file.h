#pragma once

/* For tests of files that others must not read: a directory of its own, and a file in it. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

static char dir[] = "/tmp/test-scale-XXXXXX", path[64];

static inline int set_up(_unused_ void **state)
{
        if (!mkdtemp(dir))
                return -1;
        snprintf(path, sizeof(path), "%s/keys", dir);
        return 0;
}

static inline int tear_down(_unused_ void **state)
{
        (void)unlink(path);
        return rmdir(dir);
}

static inline void write_file(const char *text, mode_t mode)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        assert_int_equal(fchmod(fd, mode), 0);
        close(fd);
}
