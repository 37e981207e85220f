/* A table with open places, at most half of them taken. A digest is its own hash. */

#include "scalectl/digests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/macros.h"

#define TABLE_FIRST 1024U /* places; always a power of two */

void digests_done(Digests *d)
{
        free(d->places);
        *d = (Digests){};
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

static int grow(Digests *d)
{
        size_t n_places = d->n_places ? 2 * d->n_places : TABLE_FIRST;
        DigestPlace *larger;

        if (d->n >= DIGESTS_MAX)
                return -ENOBUFS;
        larger = calloc(n_places, sizeof(DigestPlace));
        if (!larger)
                return -ENOMEM;
        FOREACH_ARRAY(p, d->places, d->n_places)
                if (p->count > 0)
                        *find_place(larger, n_places, p->digest) = *p;
        free(d->places);
        d->places = larger;
        d->n_places = n_places;
        return 0;
}

int digests_add(Digests *d, const uint8_t digest[static DIGEST_FRONT_SIZE], uint32_t *ret)
{
        DigestPlace *p;
        int r;

        if ((d->n + 1) * 2 > d->n_places) {
                r = grow(d);
                if (r < 0)
                        return r;
        }
        p = find_place(d->places, d->n_places, digest);
        if (p->count == 0) {
                memcpy(p->digest, digest, DIGEST_FRONT_SIZE);
                d->n++;
        }
        *ret = ++p->count;
        return 0;
}

uint32_t digests_count(const Digests *d, const uint8_t digest[static DIGEST_FRONT_SIZE])
{
        return d->n == 0 ? 0 : find_place(d->places, d->n_places, digest)->count;
}
