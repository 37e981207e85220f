#pragma once

/* Files that are either there as a whole or not at all. */

#include <sys/types.h>

#include "basic/macros.h"

/* A file that is written beside its name and takes it at the end; "-" is standard output. */
typedef struct Output {
        const char *name; /* borrowed */
        char *temporary;  /* NULL: standard output */
        int fd;
        uint64_t size;
} Output;

/* 0, or an exit status (said). */
int output_open(const char *name, Output *ret);

/* 0 or negative errno (said). */
int output_write(Output *o, const char *data, size_t size);

/* Syncs and takes the name. 0, or an exit status (said). */
int output_finish(Output *o);

/* Throws away what was not finished. */
void output_done(Output *o);
