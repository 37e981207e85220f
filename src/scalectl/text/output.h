#pragma once

/* Files that are either there as a whole or not at all. */

#include <stdio.h>

#include "basic/macros.h"
#include "scalectl/text/term.h"

/* A file that is written beside its name and takes it at the end; "-" is standard output. What is there and
 * no regular file (a device, a pipe) is written as it is. */
typedef struct Output {
        const char *name; /* as it was given, borrowed; for messages */
        char *target;     /* where it will be; NULL: it is there already */
        char *temporary;  /* its name until then; NULL: it has none */
        FILE *f;
        bool terminal; /* what goes there is made safe */
        TermFilter filter;
        uint64_t size;
} Output;

/* 0, or an exit status (said). One that takes a name can be open at a time. */
int output_open(const char *name, Output *ret);

/* 0 or negative errno (said). */
int output_write(Output *output, const char *data, size_t size);

/* Syncs and takes the name. 0, or an exit status (said). */
int output_finish(Output *output);

/* Has `fn` called once for a signal that ends the program, where ending is not ignored, as it is under
 * nohup. */
void output_catch_signals(void (*fn)(int signal));

/* "NAME can't be WHAT", with the reason in errno. Negative errno. */
int output_complain(const char *name, const char *what);

/* Throws away what was not finished. */
void output_done(Output *output);
