#pragma once

/* The API key: the one secret that the submitter has. */

#include "basic/key-file.h"
#include "basic/secret.h"
#include "config/settings.h"

#define API_KEY_MAX KEY_BYTES_MAX

typedef struct ApiKey {
        Secret *secret; /* owned */
        bool is_test;
} ApiKey;

/* Reads the key from the credential `api-key`, else from [api] key_file: one line, printable ASCII, that
 * begins with `live` or `test`. 0, or a status of sysexits.h: what was wrong, and never what stands there,
 * is in the log. */
int api_key_load(const Settings *settings, ApiKey *ret);

/* The same from a file. On failure *ret_error (owned by the caller, NULL when out of memory) says where and
 * what is wrong. -EINVAL for the content, else the error of reading. */
int api_key_read(const char *path, ApiKey *ret, char **ret_error);

/* Wipes it. */
void api_key_done(ApiKey *k);
