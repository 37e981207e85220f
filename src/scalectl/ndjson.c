/*
 * Files of tasks. They are read line by line and never as a whole; a line too long or no JSON is told by its
 * number and the rest goes on.
 *
 * That a file can be submitted again after an interruption rests on the names of its lines: each is an
 * idempotency key made of the batch's name, a digest of what the line says, and a count of equal lines
 * before it. What came in the first time comes to the same submission the second time.
 */

#include "scalectl/ndjson.h"

#include <inttypes.h>

#include "task/callback.h"
#include "json/parse.h"

void ndjson_done(Ndjson *n)
{
        buffer_done(&n->line);
}

/* One line, empty or not, without its end. 1, 0, -EMSGSIZE, -EIO, -ENOMEM. */
static int read_line(Ndjson *n)
{
        bool too_long = false;
        char c;
        int byte, r;

        buffer_consume(&n->line, n->line.size);
        while ((byte = getc_unlocked(n->f)) != EOF) {
                n->bytes++;
                if (byte == '\n')
                        break;
                c = (char)byte;
                r = too_long ? 0 : buffer_append(&n->line, &c, 1);
                if (r == -ENOMEM)
                        return r;
                too_long = too_long || r == -ENOBUFS;
        }
        if (ferror(n->f))
                return -EIO;
        if (byte == EOF && n->line.size == 0)
                return 0;
        n->number++;
        return too_long ? -EMSGSIZE : 1;
}

static bool is_blank(const Buffer *line)
{
        for (size_t i = 0; i < line->size; i++)
                if (!strchr(" \t\r", line->data[i]) || line->data[i] == 0)
                        return false;
        return true;
}

int ndjson_next(Ndjson *n)
{
        int r;

        do
                r = read_line(n);
        while (r > 0 && is_blank(&n->line));
        return r;
}

int ndjson_parse(const void *line, size_t size, json_t **ret_line, json_t **ret_params,
                const char **ret_type, const char **ret_key, const char **ret_wanted)
{
        json_auto_t *root = NULL, *params = NULL;
        const json_t *type, *key;
        int r;

        r = json_parse(line, size, JSON_REJECT_DUPLICATES, &root, NULL);
        if (r == -ENOMEM)
                return r;
        type = json_object_get(root, "type");
        key = json_object_get(root, "idempotency_key");
        if (!root)
                *ret_wanted = "one JSON object, without names that come twice";
        else if (!json_is_object(root))
                *ret_wanted = "a JSON object";
        else if (json_string_length(type) == 0)
                *ret_wanted = "a member type, as \"categorization\"";
        else if (key && json_string_length(key) == 0)
                *ret_wanted = "a text as idempotency_key";
        else {
                params = json_copy(root);
                if (!params)
                        return -ENOMEM;
                (void)json_object_del(params, "type");
                (void)json_object_del(params, "idempotency_key");
                *ret_type = json_string_value(type);
                *ret_key = json_string_value(key);
                *ret_line = json_incref(root);
                *ret_params = json_incref(params);
                return 0;
        }
        return -EBADMSG;
}

/* Names. */

struct NdjsonNames {
        char batch[NDJSON_BATCH_MAX + 1];
        Digests lines;
};

static bool is_visible(const char *text, size_t max)
{
        size_t n = strlen(text);

        for (size_t i = 0; i < n; i++)
                if ((unsigned char)text[i] <= 0x20 || (unsigned char)text[i] >= 0x7f)
                        return false;
        return n > 0 && n <= max;
}

bool ndjson_batch_is_valid(const char *batch)
{
        return is_visible(batch, NDJSON_BATCH_MAX);
}

bool ndjson_key_is_valid(const char *key)
{
        return is_visible(key, NDJSON_KEY_SIZE - 1);
}

int ndjson_names_new(const char *batch, NdjsonNames **ret)
{
        NdjsonNames *n;

        assert(ndjson_batch_is_valid(batch));
        n = calloc(1, sizeof(NdjsonNames));
        if (!n)
                return -ENOMEM;
        strcpy(n->batch, batch);
        *ret = n;
        return 0;
}

NdjsonNames *ndjson_names_free(NdjsonNames *n)
{
        if (!n)
                return NULL;

        digests_done(&n->lines);
        free(n);
        return NULL;
}

int ndjson_name(NdjsonNames *n, const json_t *line, NdjsonName *ret)
{
        uint8_t digest[CALLBACK_DIGEST_SIZE];
        char hex[2 * DIGEST_FRONT_SIZE + 1];
        int r;

        static_assert(CALLBACK_DIGEST_SIZE >= DIGEST_FRONT_SIZE, "a name has the front of a digest");

        r = json_digest(line, digest);
        if (r >= 0)
                r = digests_add(&n->lines, digest, &ret->place.count);
        if (r < 0)
                return r;

        memcpy(ret->place.digest, digest, DIGEST_FRONT_SIZE);
        for (size_t i = 0; i < DIGEST_FRONT_SIZE; i++)
                snprintf(hex + 2 * i, 3, "%02x", digest[i]);
        snprintf(ret->key, sizeof(ret->key), "%s:%s:%" PRIu32, n->batch, hex, ret->place.count);
        return 0;
}
