/*
 * A list of parameters can have a hundred thousand entries and a response as many that are to be among them,
 * so looking each up must not cost a walk over the list. This is a table of places in the array, open
 * addressed, at most half full: 16 to 32 bytes for each text, and the texts stay where they are. The hash is
 * keyed and the key is made for each set, because both lists are written by others.
 */

#include "task/text-set.h"

#include <sodium.h>

typedef struct TextSlot {
        uint32_t hash;
        uint32_t place; /* in the array, from 1; 0: free */
} TextSlot;

#define SLOTS_MIN 16U

int text_set_init(TextSet *s, const json_t *array)
{
        const size_t n = json_array_size(array);
        TextSet set = { .array = array, .n_slots = SLOTS_MIN };

        static_assert(sizeof(set.key) == crypto_shorthash_KEYBYTES, "the key has to fit");

        if (n == 0) {
                *s = (TextSet){};
                return 0;
        }
        if (n > UINT32_MAX / 4)
                return -ENOMEM;
        while (set.n_slots < 2 * n)
                set.n_slots *= 2;
        set.slots = calloc(set.n_slots, sizeof(TextSlot));
        if (!set.slots)
                return -ENOMEM;
        randombytes_buf(set.key, sizeof(set.key));
        *s = set;
        return 0;
}

void text_set_done(TextSet *set)
{
        free(set->slots);
        *set = (TextSet){};
}

static uint32_t hash_text(const TextSet *set, const json_t *text)
{
        uint8_t hash[crypto_shorthash_BYTES];
        uint32_t h;

        crypto_shorthash(hash, (const uint8_t *)json_string_value(text), json_string_length(text), set->key);
        memcpy(&h, hash, sizeof(h));
        return h;
}

static bool is_same(const json_t *a, const json_t *b)
{
        return json_string_length(a) == json_string_length(b) &&
               memcmp(json_string_value(a), json_string_value(b), json_string_length(a)) == 0;
}

/* The text's slot, or the free one where it would be. */
static TextSlot *find(const TextSet *set, const json_t *text, uint32_t hash)
{
        size_t i = hash & (set->n_slots - 1);

        while (set->slots[i].place != 0 &&
                        (set->slots[i].hash != hash ||
                                        !is_same(json_array_get(set->array, set->slots[i].place - 1), text)))
                i = (i + 1) & (set->n_slots - 1);
        return &set->slots[i];
}

bool text_set_add(TextSet *set, size_t index)
{
        const json_t *text = json_array_get(set->array, index);
        TextSlot *slot;
        uint32_t hash;

        if (!json_is_string(text))
                return false;
        hash = hash_text(set, text);
        slot = find(set, text, hash);
        if (slot->place != 0)
                return false;
        *slot = (TextSlot){ hash, (uint32_t)index + 1 };
        return true;
}

int text_set_init_full(TextSet *set, const json_t *array)
{
        const size_t n = json_array_size(array);
        int r;

        r = text_set_init(set, array);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                (void)text_set_add(set, i);
        return 0;
}

bool text_set_has(const TextSet *set, const json_t *text)
{
        return set->n_slots > 0 && json_is_string(text) && find(set, text, hash_text(set, text))->place != 0;
}

bool text_is_in(const json_t *array, const json_t *text)
{
        const size_t n = json_array_size(array);

        for (size_t i = 0; i < n; i++) {
                const json_t *one = json_array_get(array, i);

                if (json_is_string(one) && json_is_string(text) && is_same(one, text))
                        return true;
        }
        return false;
}
