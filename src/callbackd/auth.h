#pragma once

/* Who may deliver a callback: keys, several at once, each with a label, so that they can be rotated. */

#include "basic/key-file.h"
#include "http/server.h"
#include "store/types.h"

#define KEYS_MAX     KEY_LINES_MAX
#define KEY_SIZE_MAX KEY_BYTES_MAX

typedef struct Keys Keys;

/* Reads a file with a line `label key` for each, which messages call `name`. On failure *mistakes (see
 * basic/mistakes.h) got a line for each: where and what is wrong, never what stands there. -EINVAL for the
 * content, else the error of reading. */
int keys_load(const char *path, const char *name, Keys **ret, char **mistakes);

Keys *keys_free(Keys *keys);
DEFINE_CLEANUP(Keys *, keys_free)

/* The label of the key that the `size` bytes of `value` equal, borrowed; NULL: none. Takes as long whichever
 * key it is. */
const char *keys_match(const Keys *keys, const char *value, size_t size);

/* How many, and their labels for messages. */
size_t keys_count(const Keys *keys);
const char *keys_label(const Keys *keys, size_t i);

#define AUTH_HEADER "scale-callback-auth"

/* The label of the key that the request shows (borrowed from `keys`); NULL: it may not come in, for whatever
 * reason. There must be exactly one such header. */
const char *auth_check(const Keys *keys, const HttpRequest *request);

/* Whether the key that it shows stands in a text as well, which is not to be shown then. */
bool auth_key_stands_in(const HttpRequest *request, const char *text);

/* Answers 401, with the same bytes for every reason. */
int auth_refuse(HttpRequest *request);

#define AUTH_PATH_SIZE 129U /* of a path in the log; what is longer is cut */

/* Requests of one sort for the log: the first at once, then one line a minute that counts them. */
typedef struct AuthLog {
        uint64_t last;             /* monotonic, of the last line; 0: never */
        uint64_t silent;           /* requests since then */
        char path[AUTH_PATH_SIZE]; /* of the last one that had a key and no path of ours; "": none had */
} AuthLog;

/* One without a key. `now` is monotonic, `remote` the client's address. */
void auth_log_refusal(AuthLog *log, uint64_t now, const char *remote);

/* One with a key, whose label this is, to a path where there is nothing. */
void auth_log_misdirected(
                AuthLog *log, uint64_t now, const char *path, const char *label, const char *remote);

/* Says what was left unsaid for a minute. */
void auth_log_flush(AuthLog *log, uint64_t now);
