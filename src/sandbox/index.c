/* An index: open addressing. The keys are the stand-in's own or of who tries to break it on loopback, so
 * that a plain hash does. */

#include "sandbox/index.h"

#define FIRST_SIZE 256U

void index_done(Index *x)
{
        free(x->slots);
        *x = (Index){};
}

/* FNV-1a */
static size_t hash(const char *key)
{
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        for (; *key; key++)
                h = (h ^ (unsigned char)*key) * UINT64_C(0x100000001b3);
        return (size_t)(h ^ h >> 32);
}

/* Where it is, or would be. */
static IndexSlot *find(const Index *x, const char *key)
{
        size_t i = hash(key) & (x->size - 1);

        while (x->slots[i].key && !streq(x->slots[i].key, key))
                i = (i + 1) & (x->size - 1);
        return &x->slots[i];
}

void *index_get(const Index *x, const char *key)
{
        return x->size > 0 ? find(x, key)->value : NULL;
}

static int grow(Index *x)
{
        Index larger = { .n = x->n, .size = x->size > 0 ? 2 * x->size : FIRST_SIZE };

        larger.slots = calloc(larger.size, sizeof(IndexSlot));
        if (!larger.slots)
                return -ENOMEM;
        FOREACH_ARRAY(s, x->slots, x->size)
                if (s->key)
                        *find(&larger, s->key) = *s;
        free(x->slots);
        *x = larger;
        return 0;
}

int index_add(Index *x, const char *key, void *value)
{
        int r;

        if (2 * (x->n + 1) > x->size) {
                r = grow(x);
                if (r < 0)
                        return r;
        }
        *find(x, key) = (IndexSlot){ key, value };
        x->n++;
        return 0;
}
