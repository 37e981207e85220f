#pragma once

/* Tasks, a line each: {"type": "categorization", ...}. */

#include <jansson.h>
#include <stdio.h>

#include "basic/buffer.h"
#include "scalectl/digests.h"

#define NDJSON_LINE_MAX  ((size_t)1024 * 1024) /* what the submitter takes as one body */
#define NDJSON_LINES_MAX DIGESTS_MAX           /* different ones in one file */
#define NDJSON_BATCH_MAX 128U
#define NDJSON_KEY_SIZE  256U

typedef struct Ndjson {
        FILE *f; /* borrowed */
        Buffer line;
        uint64_t number; /* of the line at hand, from 1 */
        uint64_t bytes;  /* read so far */
} Ndjson;

#define NDJSON_INIT(file) ((Ndjson){ .f = (file), .line = BUFFER_INIT(NDJSON_LINE_MAX) })
void ndjson_done(Ndjson *n);

/* Reads the next line that is not empty into n->line. 1, 0 at the end, -EMSGSIZE for one that is too long
 * (it was passed over), -EIO, -ENOMEM. */
int ndjson_next(Ndjson *n);

/* Takes a line apart: its type, its own idempotency key (NULL: none; both borrowed from *ret_params) and the
 * parameters, without these two. 0; -EBADMSG, and what would be right in *ret_wanted (static); -ENOMEM. */
int ndjson_parse(const void *line, size_t size, json_t **ret_line, json_t **ret_params,
                const char **ret_type, const char **ret_key, const char **ret_wanted);

/* Names for lines, the same whenever the same file is read again, also when lines were added, taken out or
 * moved meanwhile: what a line says, and how many of the same came before it. */
typedef struct NdjsonNames NdjsonNames;
int ndjson_names_new(const char *batch, NdjsonNames **ret);
NdjsonNames *ndjson_names_free(NdjsonNames *n);
DEFINE_CLEANUP(NdjsonNames *, ndjson_names_free)

/* Which line it is, wherever in the file it stands. */
typedef struct NdjsonPlace {
        uint8_t digest[DIGEST_FRONT_SIZE]; /* of what it says */
        uint32_t count;                    /* of equal ones so far, this one included */
} NdjsonPlace;

typedef struct NdjsonName {
        NdjsonPlace place;
        char key[NDJSON_KEY_SIZE]; /* the place, and the batch: an idempotency key */
} NdjsonName;

/* 0, -ENOBUFS (too many different lines), -ENOMEM. */
int ndjson_name(NdjsonNames *n, const json_t *line, NdjsonName *ret);

/* Whether a batch's name can stand in a key: visible ASCII, at most NDJSON_BATCH_MAX bytes. */
bool ndjson_batch_is_valid(const char *batch);

/* The same for a key that a line has itself, of less than NDJSON_KEY_SIZE bytes. */
bool ndjson_key_is_valid(const char *key);
