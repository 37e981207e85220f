/*
 * Keys are not kept. What stays in memory is a hash of each, made with a key of this process's own, so that
 * comparing two of them is comparing 32 bytes in constant time, whatever the lengths, and a dump of memory
 * holds nothing that opens a door. Every key is compared, also when the first one fits.
 *
 * Messages about the file name a line and never quote it: what stands in the wrong place may be the key.
 */

#include "callbackd/keys.h"

#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "basic/key-file.h"
#include "basic/mistakes.h"
#include "basic/secret.h"

typedef struct KeyHash {
        uint8_t bytes[crypto_generichash_BYTES];
} KeyHash;

/* In guarded memory. */
typedef struct Vault {
        uint8_t pepper[crypto_generichash_KEYBYTES];
        KeyHash hashes[KEYS_MAX];
} Vault;

struct Keys {
        Vault *vault;
        char labels[KEYS_MAX][STORE_LABEL_MAX + 1];
        size_t n;
};

static void hash_key(const Vault *v, const char *key, size_t size, KeyHash *ret)
{
        crypto_generichash(ret->bytes, sizeof(ret->bytes), (const unsigned char *)key, size, v->pepper,
                        sizeof(v->pepper));
}

/* The index of the key with this hash, or n. No branch depends on a hash. */
static size_t find_hash(const Keys *k, const KeyHash *hash)
{
        size_t found = k->n;

        for (size_t i = 0; i < k->n; i++) {
                size_t equal = sodium_memcmp(k->vault->hashes[i].bytes, hash->bytes, sizeof(hash->bytes)) ==
                               0;

                found = equal * i + (1 - equal) * found;
        }
        return found;
}

const char *keys_match(const Keys *k, const char *value, size_t size)
{
        KeyHash hash;
        size_t i;

        if (size == 0 || size > KEY_SIZE_MAX)
                return NULL;

        hash_key(k->vault, value, size, &hash);
        i = find_hash(k, &hash);
        return i < k->n ? k->labels[i] : NULL;
}

static int keys_new(Keys **ret)
{
        _cleanup_(keys_freep) Keys *k = NULL;

        k = calloc(1, sizeof(Keys));
        if (!k)
                return -ENOMEM;
        k->vault = sodium_malloc(sizeof(Vault));
        if (!k->vault)
                return -ENOMEM;

        randombytes_buf(k->vault->pepper, sizeof(k->vault->pepper));
        *ret = TAKE_PTR(k);
        return 0;
}

static void add_key(Keys *k, const KeyLine *line)
{
        static_assert(KEY_LABEL_MAX == STORE_LABEL_MAX, "a label has to fit into the store");

        hash_key(k->vault, line->key, line->key_size, &k->vault->hashes[k->n]);
        memcpy(k->labels[k->n], line->label, line->label_size);
        k->n++;
}

int keys_load(const char *path, const char *name, Keys **ret, char **mistakes)
{
        _cleanup_(secret_freep) Secret *file = NULL;
        _cleanup_(keys_freep) Keys *k = NULL;
        KeyLines lines;
        int r;

        r = secret_read_file(path, KEY_FILE_MAX, &file);
        if (r < 0) {
                mistakes_add(mistakes, "%s: %s", name, key_file_problem(r));
                return r;
        }
        r = key_lines_read(name, secret_data(file), secret_size(file), &lines, mistakes);
        if (r >= 0)
                r = keys_new(&k);
        if (r < 0)
                return r;

        FOREACH_ARRAY(l, lines.items, lines.n)
                add_key(k, l);
        *ret = TAKE_PTR(k);
        return 0;
}

Keys *keys_free(Keys *k)
{
        if (!k)
                return NULL;

        sodium_free(k->vault); /* wipes */
        free(k);
        return NULL;
}

size_t keys_count(const Keys *k)
{
        return k->n;
}

const char *keys_label(const Keys *k, size_t i)
{
        assert(i < k->n);
        return k->labels[i];
}
