/*
 * A callback comes in when it shows one of the keys in exactly one header. The answer to anything else is
 * one constant text: it doesn't tell a missing header from a wrong one, nor a wrong key from an old one.
 * Such requests cost a line in the log a minute, however many there are.
 *
 * Keys are not kept. What stays in memory is a hash of each, made with a key of this process's own, so that
 * comparing two of them is comparing 32 bytes in constant time, whatever the lengths, and a dump of memory
 * holds nothing that could be shown. Every key is compared, also when the first one fits. Messages about the
 * file of keys name a line and never quote it: what stands in the wrong place may be the key.
 *
 * A callback with a key that comes to another path is a mistake in somebody's set-up, which uses up the
 * twenty tries that there are, so the log names the path. The answer is the same 404 as without a key.
 */

#include "callbackd/auth.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#include "basic/log.h"
#include "basic/mistakes.h"
#include "basic/parse.h"
#include "basic/secret.h"
#include "daemon/message.h"

#define QUIET_USEC (60 * USEC_PER_SEC)
#define BLANKS     " \t" /* around a header's value they are no part of it, and in no key */

/* The keys. */

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

static void hash_key(const Vault *vault, const char *key, size_t size, KeyHash *ret)
{
        crypto_generichash(ret->bytes, sizeof(ret->bytes), (const unsigned char *)key, size, vault->pepper,
                        sizeof(vault->pepper));
}

/* The index of the key with this hash, or n. No branch depends on a hash. */
static size_t find_hash(const Keys *keys, const KeyHash *hash)
{
        size_t found = keys->n;

        for (size_t i = 0; i < keys->n; i++) {
                size_t equal = sodium_memcmp(keys->vault->hashes[i].bytes, hash->bytes,
                                               sizeof(hash->bytes)) == 0;

                found = equal * i + (1 - equal) * found;
        }
        return found;
}

const char *keys_match(const Keys *keys, const char *value, size_t size)
{
        KeyHash hash;
        size_t i;

        if (size == 0 || size > KEY_SIZE_MAX)
                return NULL;

        hash_key(keys->vault, value, size, &hash);
        i = find_hash(keys, &hash);
        return i < keys->n ? keys->labels[i] : NULL;
}

static int keys_new(Keys **ret)
{
        _cleanup_(keys_freep) Keys *keys = NULL;

        keys = calloc(1, sizeof(Keys));
        if (!keys)
                return -ENOMEM;
        keys->vault = sodium_malloc(sizeof(Vault));
        if (!keys->vault)
                return -ENOMEM;

        randombytes_buf(keys->vault->pepper, sizeof(keys->vault->pepper));
        *ret = TAKE_PTR(keys);
        return 0;
}

static void add_key(Keys *keys, const KeyLine *line)
{
        static_assert(KEY_LABEL_MAX == STORE_LABEL_MAX, "a label has to fit into the store");

        hash_key(keys->vault, line->key, line->key_size, &keys->vault->hashes[keys->n]);
        memcpy(keys->labels[keys->n], line->label, line->label_size);
        keys->n++;
}

int keys_load(const char *path, const char *name, Keys **ret, char **mistakes)
{
        _cleanup_(secret_freep) Secret *file = NULL;
        _cleanup_(keys_freep) Keys *keys = NULL;
        KeyLines lines;
        int r;

        r = secret_read_file(path, KEY_FILE_MAX, &file);
        if (r < 0) {
                mistakes_add(mistakes, "%s: %s", name, key_file_problem(r));
                return r;
        }
        r = key_lines_read(name, secret_data(file), secret_size(file), &lines, mistakes);
        if (r < 0)
                return r;
        r = keys_new(&keys);
        if (r < 0)
                return r;

        FOREACH_ARRAY(line, lines.items, lines.n)
                add_key(keys, line);
        *ret = TAKE_PTR(keys);
        return 0;
}

Keys *keys_free(Keys *keys)
{
        if (!keys)
                return NULL;

        sodium_free(keys->vault); /* wipes */
        free(keys);
        return NULL;
}

size_t keys_count(const Keys *keys)
{
        return keys->n;
}

const char *keys_label(const Keys *keys, size_t i)
{
        assert(i < keys->n);
        return keys->labels[i];
}

/* What a request shows. */

/* NULL: none, or several. */
static const char *shown_key(const HttpRequest *request, size_t *ret_size)
{
        const char *value = http_request_header(request, AUTH_HEADER);
        size_t size;

        if (http_request_header_count(request, AUTH_HEADER) != 1)
                return NULL;

        value += strspn(value, BLANKS);
        size = strlen(value);
        while (size > 0 && strchr(BLANKS, value[size - 1]))
                size--;
        *ret_size = size;
        return value;
}

const char *auth_check(const Keys *keys, const HttpRequest *request)
{
        size_t size;
        const char *value = shown_key(request, &size);

        return value ? keys_match(keys, value, size) : NULL;
}

bool auth_key_stands_in(const HttpRequest *request, const char *text)
{
        size_t size;
        const char *value = shown_key(request, &size);

        return value && memmem(text, strlen(text), value, size);
}

int auth_refuse(HttpRequest *request)
{
        int r;

        /* RFC 9110 wants a challenge with 401; there is no registered scheme for a bare header. */
        r = http_reply_header(request, "WWW-Authenticate", AUTH_HEADER);
        if (r < 0)
                return r;

        return http_reply_error(request, 401, NULL,
                        "The header " AUTH_HEADER " must be there once and hold a callback auth key.");
}

/* The log. */

/* Whether this one gets a line of its own; else it is counted. */
static bool is_first(AuthLog *log, uint64_t now)
{
        if (log->last > 0 && now - log->last < QUIET_USEC) {
                log->silent++;
                return false;
        }
        auth_log_flush(log, now);
        log->last = now;
        return true;
}

void auth_log_refusal(AuthLog *log, uint64_t now, const char *remote)
{
        if (is_first(log, now))
                log_event(LOG_WARNING, MESSAGE_UNAUTHORIZED,
                                LOG_FIELDS(LOG_TEXT("REMOTE_ADDRESS", remote), LOG_NUMBER("REQUESTS", 1)),
                                "Refused a callback without a valid key, from %s.", remote);
}

/* Anything that isn't plain is percent-encoded, whoever shows it; what is too long is cut. */
static void quote_path(const char *path, char ret[static AUTH_PATH_SIZE])
{
        static const char end[] = "...";
        size_t n = 0;

        for (; *path && n + 3 + sizeof(end) <= AUTH_PATH_SIZE; path++)
                if (*path > 0x20 && *path < 0x7f && !strchr("\"\\<>", *path))
                        ret[n++] = *path;
                else
                        n += (size_t)sprintf(ret + n, "%%%02X", (unsigned char)*path);
        strcpy(ret + n, *path ? end : "");
}

void auth_log_misdirected(
                AuthLog *log, uint64_t now, const char *path, const char *label, const char *remote)
{
        quote_path(path, log->path);
        if (is_first(log, now))
                log_event(LOG_WARNING, MESSAGE_MISDIRECTED,
                                LOG_FIELDS(LOG_TEXT("REMOTE_ADDRESS", remote), LOG_TEXT("KEY_LABEL", label),
                                                LOG_TEXT("PATH", log->path), LOG_NUMBER("REQUESTS", 1)),
                                "A callback with the key %s, from %s, came to the path %s, where nothing is taken: answered 404.",
                                label, remote, log->path);
}

void auth_log_flush(AuthLog *log, uint64_t now)
{
        if (log->silent == 0 || now - log->last < QUIET_USEC)
                return;

        if (log->path[0])
                log_event(LOG_WARNING, MESSAGE_MISDIRECTED,
                                LOG_FIELDS(LOG_TEXT("PATH", log->path), LOG_NUMBER("REQUESTS", log->silent)),
                                "%" PRIu64
                                " more callbacks with a valid key came to paths where nothing is taken, the last one to %s: answered 404.",
                                log->silent, log->path);
        else
                log_event(LOG_WARNING, MESSAGE_UNAUTHORIZED, LOG_FIELDS(LOG_NUMBER("REQUESTS", log->silent)),
                                "Refused %" PRIu64 " more callbacks without a valid key.", log->silent);
        log->silent = 0;
        log->last = now;
}
