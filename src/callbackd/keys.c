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

#include "basic/secret.h"

#define FILE_SIZE_MAX 65536U

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

const char *keys_match(const Keys *k, const char *value)
{
        size_t size = strnlen(value, KEY_SIZE_MAX + 1), i;
        KeyHash hash;

        if (size == 0 || size > KEY_SIZE_MAX)
                return NULL;

        hash_key(k->vault, value, size, &hash);
        i = find_hash(k, &hash);
        return i < k->n ? k->labels[i] : NULL;
}

/* A piece of the file. */
typedef struct Word {
        const char *p;
        size_t size;
} Word;

static bool is_space(char c)
{
        return c == ' ' || c == '\t' || c == '\r';
}

static Word next_word(Word *rest)
{
        Word w;

        while (rest->size > 0 && is_space(*rest->p)) {
                rest->p++;
                rest->size--;
        }
        w = (Word){ .p = rest->p };
        while (rest->size > 0 && !is_space(*rest->p)) {
                rest->p++;
                rest->size--;
                w.size++;
        }
        return w;
}

static Word next_line(Word *rest)
{
        const char *end = memchr(rest->p, '\n', rest->size);
        Word line = { .p = rest->p, .size = end ? (size_t)(end - rest->p) : rest->size };
        size_t taken = line.size + (end ? 1 : 0);

        rest->p += taken;
        rest->size -= taken;
        return line;
}

static bool label_is_valid(Word w)
{
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

        if (w.size == 0 || w.size > STORE_LABEL_MAX)
                return false;
        for (size_t i = 0; i < w.size; i++)
                if (!memchr(allowed, w.p[i], sizeof(allowed) - 1))
                        return false;
        return true;
}

static bool key_is_valid(Word w)
{
        if (w.size == 0 || w.size > KEY_SIZE_MAX)
                return false;
        for (size_t i = 0; i < w.size; i++)
                if ((unsigned char)w.p[i] <= 0x20 || (unsigned char)w.p[i] >= 0x7f)
                        return false;
        return true;
}

static bool label_is_taken(const Keys *k, Word label)
{
        for (size_t i = 0; i < k->n; i++)
                if (strlen(k->labels[i]) == label.size && memcmp(k->labels[i], label.p, label.size) == 0)
                        return true;
        return false;
}

/* Takes one line in. NULL, or what is wrong with it. */
static const char *add_line(Keys *k, Word line)
{
        Word label = next_word(&line), key = next_word(&line);
        KeyHash hash;

        if (label.size == 0 || *label.p == '#')
                return NULL;
        if (key.size == 0 || next_word(&line).size > 0)
                return "a label and a key are wanted, separated by a space, as in `live 0123abcd`";
        if (!label_is_valid(label))
                return "a label is up to 32 letters, digits, dots, underscores and dashes";
        if (!key_is_valid(key))
                return "a key is up to 512 printable ASCII characters without spaces";
        if (k->n == KEYS_MAX)
                return "there can be 16 keys at most";
        if (label_is_taken(k, label))
                return "this label stands for another key already";

        hash_key(k->vault, key.p, key.size, &hash);
        if (find_hash(k, &hash) < k->n)
                return "this key stands here already, with another label";

        k->vault->hashes[k->n] = hash;
        memcpy(k->labels[k->n], label.p, label.size);
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
        unsigned n = 0;
        Word rest;
        int r;

        *ret_error = NULL;
        r = secret_read_file(path, FILE_SIZE_MAX, &file);
        if (r < 0)
                return fail_reading(ret_error, r, path);
        r = keys_new(&k);
        if (r < 0)
                return r;

        rest = (Word){ .p = secret_data(file), .size = secret_size(file) };
        while (rest.size > 0) {
                const char *why = add_line(k, next_line(&rest));

                n++;
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
