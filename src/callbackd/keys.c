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

static bool label_is_taken(const Keys *k, const KeyLine *line)
{
        for (size_t i = 0; i < k->n; i++)
                if (strlen(k->labels[i]) == line->label_size &&
                                memcmp(k->labels[i], line->label, line->label_size) == 0)
                        return true;
        return false;
}

/* Takes one line in. NULL, or what is wrong with it. */
static const char *add_line(Keys *k, const char *text, size_t size)
{
        const char *why = NULL;
        KeyLine line;
        KeyHash hash;

        static_assert(KEY_LABEL_MAX == STORE_LABEL_MAX, "a label has to fit into the store");

        if (key_line_parse(text, size, &line, &why) <= 0)
                return why;
        if (k->n == KEYS_MAX)
                return "there can be 16 keys at most";
        if (label_is_taken(k, &line))
                return "this label stands for another key already";

        hash_key(k->vault, line.key, line.key_size, &hash);
        if (find_hash(k, &hash) < k->n)
                return "this key stands here already, with another label";

        k->vault->hashes[k->n] = hash;
        memcpy(k->labels[k->n], line.label, line.label_size);
        k->n++;
        return NULL;
}

static int fail(char **ret_error, int error, const char *path, unsigned line, const char *why)
{
        int n;

        if (line > 0)
                n = asprintf(ret_error, "%s, line %u: %s", path, line, why);
        else
                n = asprintf(ret_error, "%s: %s", path, why);
        if (n < 0)
                *ret_error = NULL;
        return error;
}

static int fail_reading(char **ret_error, int error, const char *path)
{
        static const struct {
                int error;
                const char *why;
        } reasons[] = {
                { EPERM, "others can read or write the file of keys; `chmod o= FILE` mends that" },
                { EFBIG, "the file of keys is larger than 64 KiB; a line `label key` for each key is "
                         "wanted" },
                { EINVAL, "the file of keys is no regular file" },
        };

        for (size_t i = 0; i < ELEMENTSOF(reasons); i++)
                if (error == -reasons[i].error)
                        return fail(ret_error, error, path, 0, reasons[i].why);
        return fail(ret_error, error, path, 0, strerror(-error));
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

int keys_load(const char *path, Keys **ret, char **ret_error)
{
        _cleanup_(secret_freep) Secret *file = NULL;
        _cleanup_(keys_freep) Keys *k = NULL;
        const char *p, *end;
        unsigned n = 0;
        int r;

        *ret_error = NULL;
        r = secret_read_file(path, KEY_FILE_MAX, &file);
        if (r < 0)
                return fail_reading(ret_error, r, path);
        r = keys_new(&k);
        if (r < 0)
                return r;

        end = secret_data(file) + secret_size(file);
        for (p = secret_data(file); p < end; p++) { /* over the end of the line */
                const char *line = p, *why;

                p = memchr(line, '\n', (size_t)(end - line)) ?: end;
                n++;
                why = add_line(k, line, (size_t)(p - line));
                if (why)
                        return fail(ret_error, -EINVAL, path, n, why);
        }
        if (k->n == 0)
                return fail(ret_error, -EINVAL, path, 0,
                                "there is no key in it; a line `label key` is wanted");

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
