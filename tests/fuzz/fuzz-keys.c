/*
 * Any bytes as a file of keys, of both kinds. What must hold: the daemon and whoever looks at the file for
 * it (scalectl) agree on whether it is good and on what the first key is; each key opens the door under its
 * own label and nothing else does; what is refused says where and quotes nothing that could be a key; an API
 * key that is taken can be sent.
 */

#include "fuzz-file.h"
#include "fuzz.h"

#include <sodium.h>

#include "basic/key-file.h"
#include "basic/secret.h"
#include "callbackd/auth.h"
#include "http/curl.h"
#include "submitd/api/key.h"

#define PATH "keys"

static const char *match(const Keys *k, const char *value)
{
        return keys_match(k, value, strlen(value));
}

static const char *const names[] = { PATH, NULL };

/* The line that is said to be wrong, 0 for the file as a whole; what is said of it quotes none of it. */
static void check_refusal(const char *error, const uint8_t *data, size_t size)
{
        const char *text = (const char *)data, *end = text + size, *path = fuzz_path(PATH), *rest;
        unsigned line = 0;

        assert(error && strncmp(error, path, strlen(path)) == 0);
        rest = error + strlen(path);
        if (*rest == ',')
                assert(sscanf(rest, ", line %u: ", &line) == 1 && line > 0);
        for (unsigned i = 1; i < line; i++) {
                text = memchr(text, '\n', (size_t)(end - text));
                assert(text);
                text++;
        }
        /* A word that is long enough to be a key, and that none of our sentences has in it. */
        for (const char *p = text; line > 0 && p < end && *p != '\n';) {
                size_t n = 0;

                while (p + n < end && (unsigned char)p[n] > 0x20 && (unsigned char)p[n] < 0x7f)
                        n++;
                if (n > 16)
                        assert(!memmem(rest, strlen(rest), p, n));
                p += MAX(n, 1U);
        }
}

static void try_line(const Keys *k, const char *text, size_t size, unsigned *n)
{
        char key[KEY_BYTES_MAX + 2];
        const char *why = NULL;
        KeyLine line;

        if (key_line_parse(text, size, &line, &why) != 1)
                return;
        memcpy(key, line.key, line.key_size);
        key[line.key_size] = 0;
        assert(streq(match(k, key), keys_label(k, *n)));
        assert(memcmp(keys_label(k, *n), line.label, line.label_size) == 0);
        assert(strlen(keys_label(k, *n)) == line.label_size);

        /* Its neighbours are not it; but they could be another one. */
        key[line.key_size - 1] ^= 1;
        assert(!streq_ptr(match(k, key), keys_label(k, *n)));
        key[line.key_size - 1] = 0;
        assert(!streq_ptr(match(k, key), keys_label(k, *n)));
        (*n)++;
}

static void check_keys(const Keys *k, const uint8_t *data, size_t size)
{
        const char *p = (const char *)data, *end = p + size;
        _cleanup_(secret_freep) Secret *first = NULL;
        unsigned n = 0;

        assert(key_file_first(fuzz_path(PATH), &first) == 0);
        assert(streq_ptr(match(k, secret_data(first)), keys_label(k, 0)));
        for (; p < end; p++) {
                const char *line = p;

                p = memchr(line, '\n', (size_t)(end - line)) ?: end;
                try_line(k, line, (size_t)(p - line), &n);
        }
        assert(n == keys_count(k));
        assert(!match(k, "") && !match(k, " "));
}

static void try_api_key(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *error = NULL;
        HeaderLines lines = {};
        ApiKey k = {};
        int r;

        r = api_key_read(fuzz_path(PATH), fuzz_path(PATH), &k, &error);
        if (r < 0) {
                assert(!k.secret);
                check_refusal(error, data, size);
                return;
        }
        assert(secret_size(k.secret) <= KEY_BYTES_MAX && size - secret_size(k.secret) <= 2);
        assert(memcmp(secret_data(k.secret), data, secret_size(k.secret)) == 0);
        assert(k.is_test == (*data == 't'));
        assert(header_lines_add_basic(&lines, k.secret) == 0);
        header_lines_done(&lines);
        api_key_done(&k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *error = NULL;
        Keys *keys = NULL;
        int r;

        fuzz_make_folder(names);
        assert(sodium_init() >= 0);
        fuzz_write(PATH, data, size);
        r = keys_load(fuzz_path(PATH), fuzz_path(PATH), &keys, &error);
        if (r < 0) {
                assert(!keys);
                check_refusal(error, data, size);
        } else
                check_keys(keys, data, size);
        keys_free(keys);
        try_api_key(data, size);
        return 0;
}
