#pragma once

/* A spool: lines that are kept on disk to be read again. */

#include <stdio.h>

#include "basic/macros.h"

/* A file without a name, in $TMPDIR or /var/tmp; it is gone when the program is. */
typedef struct Spool {
        FILE *f;
        char *line; /* the last one read */
        size_t allocated;
} Spool;

/* 0 or negative errno. What a line must not have in it is a line end. */
int spool_open(Spool *ret);
int spool_write(Spool *spool, const char *line, size_t size);
int spool_rewind(Spool *spool);

/* 1 and a line without its end, borrowed until the next call; 0 at the end; negative errno. */
int spool_read(Spool *spool, const char **ret, size_t *ret_size);

void spool_done(Spool *spool);

/* The folder that it is in, for messages. */
const char *spool_folder(void);
