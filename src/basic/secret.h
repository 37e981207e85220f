#pragma once

/* Secrets: bytes that are locked, kept out of dumps and wiped when let go. */

#include "basic/macros.h"

typedef struct Secret Secret;

/* Both return a new secret, to be freed with secret_free(), in guarded memory that no core dump holds.
 * secret_new() copies `size` bytes. secret_read_file() reads a regular file of at most `max` bytes:
 * -EPERM when others than owner and group can read or write it, -EFBIG beyond `max`, else open()'s and
 * read()'s errors. A NUL follows the bytes. */
int secret_new(const void *data, size_t size, Secret **ret);
int secret_read_file(const char *path, size_t max, Secret **ret);

/* Wipes, then frees. Takes NULL, returns NULL. */
Secret *secret_free(Secret *secret);
DEFINE_CLEANUP(Secret *, secret_free)

const char *secret_data(const Secret *secret);
size_t secret_size(const Secret *secret);

/* Once at start: keeps the process out of core dumps and out of reach of ptrace by other processes of the
 * user; readies libsodium. 0 or negative errno. */
int secrets_init(void);

/* At exit, when no secret is held any more: lets tools attach again (LeakSanitizer needs it). */
void secrets_exit(void);
