#pragma once

/* For targets that read files: a folder of the process's own, which goes away with it. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/macros.h"

static char fuzz_folder[] = "/dev/shm/fuzz-scale-XXXXXX";

static inline const char *fuzz_path(const char *name)
{
        static char path[4][128];
        static unsigned i;
        char *p = path[i++ % ELEMENTSOF(path)];

        snprintf(p, sizeof(path[0]), "%s%s%s", fuzz_folder, *name ? "/" : "", name);
        return p;
}

/* Up to a NULL, files before the folders that they are in. */
static const char *const *fuzz_names;

static inline void fuzz_clean_up(void)
{
        for (const char *const *n = fuzz_names; *n; n++)
                (void)remove(fuzz_path(*n));
        (void)rmdir(fuzz_folder);
}

static inline void fuzz_make_folder(const char *const *names)
{
        if (fuzz_names)
                return;
        fuzz_names = names;
        assert(mkdtemp(fuzz_folder));
        assert(atexit(fuzz_clean_up) == 0);
}

static inline void fuzz_write(const char *name, const void *data, size_t size)
{
        int fd = open(fuzz_path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert(fd >= 0 && (size == 0 || write(fd, data, size) == (ssize_t)size));
        close(fd);
}
