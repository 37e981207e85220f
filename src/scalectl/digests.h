#pragma once

/* How often something was met, by the front of its digest. */

#include <stddef.h>
#include <stdint.h>

#define DIGEST_FRONT_SIZE 16U
#define DIGESTS_MAX       (4U * 1024 * 1024) /* different ones */

typedef struct DigestPlace {
        uint8_t digest[DIGEST_FRONT_SIZE];
        uint32_t count; /* 0: free */
} DigestPlace;

/* Zeroed is empty. */
typedef struct Digests {
        DigestPlace *places;
        size_t n_places, n;
} Digests;

void digests_done(Digests *digests);

/* One more; how many there are now in *ret. 0, -ENOBUFS (too many different ones), -ENOMEM. */
int digests_add(Digests *digests, const uint8_t digest[static DIGEST_FRONT_SIZE], uint32_t *ret);

uint32_t digests_count(const Digests *digests, const uint8_t digest[static DIGEST_FRONT_SIZE]);
