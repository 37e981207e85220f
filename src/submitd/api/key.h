#pragma once

/* The API key: the one secret that the submitter has. */

#include "basic/key-file.h"
#include "basic/secret.h"
#include "config/settings.h"
#include "daemon/credential.h"

#define API_KEY_MAX KEY_BYTES_MAX

typedef struct ApiKey {
        Secret *secret; /* owned */
        char *from;     /* owned: what people call the place that it is from */
        bool is_test;
} ApiKey;

extern const Credential api_key_credential;

/* Reads the key from the credential `api-key`, else from [api] key_file: one line, printable ASCII, that
 * begins with `live` or `test`. 0, or negative errno: *mistakes (see basic/mistakes.h) got a line with where
 * and what is wrong, and never what stands there. */
int api_key_load(const Settings *settings, ApiKey *ret, char **mistakes);

/* The same from a file, which messages call `name`. -EINVAL for the content, else the error of reading. */
int api_key_read(const char *path, const char *name, ApiKey *ret, char **mistakes);

/* Adds a line for what keeps a daemon with these settings (NULL: they can't be read) from having a key. */
void api_key_check(const Settings *settings, char **mistakes);

/* Wipes it. */
void api_key_done(ApiKey *key);
