/* An index: open addressing. The keys are the stand-in's own or of who tries to break it on loopback, so
 * that a plain hash does. */

#include "sandbox/index.h"

#define INDEX_FIRST_SIZE 256U

void index_done(Index *index)
{
        free(index->slots);
        *index = (Index){};
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
static IndexSlot *find(const Index *index, const char *key)
{
        size_t i = hash(key) & (index->size - 1);

        while (index->slots[i].key && !streq(index->slots[i].key, key))
                i = (i + 1) & (index->size - 1);
        return &index->slots[i];
}

void *index_get(const Index *index, const char *key)
{
        return index->size > 0 ? find(index, key)->value : NULL;
}

static int grow(Index *index)
{
        Index larger = { .n = index->n, .size = index->size > 0 ? 2 * index->size : INDEX_FIRST_SIZE };

        larger.slots = calloc(larger.size, sizeof(IndexSlot));
        if (!larger.slots)
                return -ENOMEM;
        FOREACH_ARRAY(s, index->slots, index->size)
                if (s->key)
                        *find(&larger, s->key) = *s;
        free(index->slots);
        *index = larger;
        return 0;
}

int index_add(Index *index, const char *key, void *value)
{
        int r;

        if (2 * (index->n + 1) > index->size) {
                r = grow(index);
                if (r < 0)
                        return r;
        }
        *find(index, key) = (IndexSlot){ key, value };
        index->n++;
        return 0;
}
