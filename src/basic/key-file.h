#pragma once

/* The form of keys in files: a line `label key` for each callback auth key, or an API key alone. What is
 * said of a mistake is a constant text that quotes nothing: what stands in the wrong place may be the key.
 */

#include "basic/secret.h"

#define KEY_FILE_MAX  65536U /* bytes of a file of callback auth keys */
#define KEY_LINES_MAX 16U    /* keys in it */
#define KEY_LABEL_MAX 32U    /* bytes of a label */
#define KEY_BYTES_MAX 512U   /* of a key, of either kind */

/* Borrowed from the line. */
typedef struct KeyLine {
        const char *label, *key;
        size_t label_size, key_size;
} KeyLine;

/* Looks at one line, without its end. 1: a key; 0: a comment, or nothing; -EINVAL: *ret_why says what is
 * wrong with it, and *ret is untouched. */
int key_line_parse(const char *line, size_t size, KeyLine *ret, const char **ret_why);

/* The keys of a file, borrowed from its text. */
typedef struct KeyLines {
        KeyLine items[KEY_LINES_MAX];
        size_t n;
} KeyLines;

/* Looks at all of a file of callback auth keys. 0, or -EINVAL: *mistakes (see basic/mistakes.h) got a line
 * for each mistake, which begins with `name` for the file. */
int key_lines_read(const char *name, const char *text, size_t size, KeyLines *ret, char **mistakes);

/* The first key of a file of callback auth keys, without a look at what comes behind it. 0; -ENOENT and so
 * on as secret_read_file(); -EINVAL: no line `label key` in it. */
int key_file_first(const char *path, Secret **ret);

/* Why a file of keys can't be used that secret_read_file() failed for. */
const char *key_file_problem(int error);

/* NULL, or what is wrong with an API key. */
const char *api_key_problem(const char *key, size_t size);
