/* A table with open places, at most half of them taken. A digest is its own hash. */

#include "scalectl/digests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/macros.h"

#define TABLE_FIRST 1024U /* places; always a power of two */

void digests_done(Digests *digests)
{
        free(digests->places);
        *digests = (Digests){};
}

/* The place of this digest, or the free one where it belongs. */
static DigestPlace *find_place(DigestPlace *places, size_t n_places, const uint8_t *digest)
{
        uint64_t hash;

        memcpy(&hash, digest, sizeof(hash));
        for (size_t i = hash & (n_places - 1);; i = (i + 1) & (n_places - 1))
                if (places[i].count == 0 || memcmp(places[i].digest, digest, DIGEST_FRONT_SIZE) == 0)
                        return &places[i];
}

static int grow(Digests *digests)
{
        size_t n_places = digests->n_places ? 2 * digests->n_places : TABLE_FIRST;
        DigestPlace *larger;

        if (digests->n >= DIGESTS_MAX)
                return -ENOBUFS;
        larger = calloc(n_places, sizeof(DigestPlace));
        if (!larger)
                return -ENOMEM;
        FOREACH_ARRAY(p, digests->places, digests->n_places)
                if (p->count > 0)
                        *find_place(larger, n_places, p->digest) = *p;
        free(digests->places);
        digests->places = larger;
        digests->n_places = n_places;
        return 0;
}

int digests_add(Digests *digests, const uint8_t digest[static DIGEST_FRONT_SIZE], uint32_t *ret)
{
        DigestPlace *p;
        int r;

        if ((digests->n + 1) * 2 > digests->n_places) {
                r = grow(digests);
                if (r < 0)
                        return r;
        }
        p = find_place(digests->places, digests->n_places, digest);
        if (p->count == 0) {
                memcpy(p->digest, digest, DIGEST_FRONT_SIZE);
                digests->n++;
        }
        *ret = ++p->count;
        return 0;
}

uint32_t digests_count(const Digests *digests, const uint8_t digest[static DIGEST_FRONT_SIZE])
{
        return digests->n == 0 ? 0 : find_place(digests->places, digests->n_places, digest)->count;
}
