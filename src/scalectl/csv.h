#pragma once

/* Tasks as a table: a header that names the parameters, and a row for each task. */

#include <stdio.h>

#include "basic/buffer.h"
#include "task/problem.h"

typedef struct Csv Csv;

/* Reads the header of `f` (borrowed). 0; -EBADMSG, with what is wrong in `problems`; -EIO, -ENOMEM. */
int csv_new(FILE *f, Problems *problems, Csv **ret);
Csv *csv_free(Csv *c);
DEFINE_CLEANUP(Csv *, csv_free)

/* Makes of the next row that is not empty what it would be as a line of JSON: {"type": ..., ...}. *number is
 * the line in which it begins, *bytes how much was read so far. 1; 0 at the end; -EBADMSG, with what is
 * wrong in `problems`; -EIO, -ENOMEM. */
int csv_next(Csv *c, Buffer *ret, uint64_t *number, uint64_t *bytes, Problems *problems);
