/*
 * jansson says of a text that there was no memory for that it is no JSON, with a line and a column, and a
 * sender would be told that its callback is wrong. Worse, when the buffer of a word can't grow it goes on
 * without the byte, so that a text is read that nobody wrote, or past the end of its buffer.
 *
 * So all that jansson allocates goes through here. Whatever fails while a text is read is remembered, and
 * the text was not read then, whatever jansson says. A word's buffer grows in powers of two, and so a
 * request of such a size that fails is served out of a reserve that was made before, for as long as the text
 * is read; any other size fails as it should and ends the reading. The reserve suffices for the longest
 * word, and for everything else of these sizes that a text of that length can ask for: the most is a list of
 * strings of 31 bytes, at less than three bytes a byte.
 *
 * And jansson 2.14 reads past a NUL byte that follows a number or a literal, as if it were not there. What
 * was taken for JSON here would be none for whoever reads it after us, so such a byte is refused: it can
 * stand nowhere in JSON.
 */

#include "task/json.h"

#include <stdio.h>

#define GROWTH_MIN    32U /* of a word's buffer */
#define RESERVE_PARTS 4U  /* of the text */

/* What a thread that reads has. */
static _Thread_local struct {
        char *reserve; /* NULL: it reads nothing now */
        size_t size, used;
        bool failed;
} reading;

static void *allocate_reserve(size_t size)
{
        char *p;

        reading.failed = true;
        if (size < GROWTH_MIN || (size & (size - 1)) != 0 || size > reading.size - reading.used)
                return NULL;
        p = reading.reserve + reading.used; /* sizes are powers of two, so it is aligned */
        reading.used += size;
        return p;
}

static void *allocate(size_t size)
{
        void *p = malloc(size);

        return p || !reading.reserve ? p : allocate_reserve(size);
}

static void release(void *p)
{
        uintptr_t start = (uintptr_t)reading.reserve, at = (uintptr_t)p;

        if (reading.failed && at >= start && at - start < reading.size)
                return;
        free(p);
}

/* Before there are other threads and any value. */
__attribute__((constructor)) static void set_up(void)
{
        json_set_alloc_funcs(allocate, release);
}

/* What jansson would have said. */
static void refuse_nul(const char *text, size_t at, json_error_t *error)
{
        *error = (json_error_t){ .line = 1, .position = (int)MIN(at, (size_t)INT32_MAX) };
        for (size_t i = 0; i < at; i++) {
                error->column++;
                if (text[i] == '\n') {
                        error->line++;
                        error->column = 0;
                }
        }
        snprintf(error->text, sizeof(error->text), "a NUL byte");
}

int json_parse(const void *text, size_t size, size_t flags, json_t **ret, json_error_t *ret_error)
{
        _cleanup_free_ char *reserve = NULL;
        const char *nul = size > 0 ? memchr(text, 0, size) : NULL;
        json_error_t error;
        json_t *value;
        bool failed;

        if (nul) {
                if (ret_error)
                        refuse_nul(text, (size_t)(nul - (const char *)text), ret_error);
                return -EBADMSG;
        }
        if (size > SIZE_MAX / RESERVE_PARTS - GROWTH_MIN)
                return -ENOMEM;
        reserve = malloc((size + GROWTH_MIN) * RESERVE_PARTS);
        if (!reserve)
                return -ENOMEM;

        reading.reserve = reserve;
        reading.size = (size + GROWTH_MIN) * RESERVE_PARTS;
        value = json_loadb(text, size, flags, &error);
        if (reading.failed) {
                json_decref(value); /* while what comes from the reserve is still known */
                value = NULL;
        }
        failed = reading.failed;
        memset(&reading, 0, sizeof(reading));

        if (failed)
                return -ENOMEM;
        if (!value) {
                if (ret_error)
                        *ret_error = error;
                return -EBADMSG;
        }
        *ret = value;
        return 0;
}
