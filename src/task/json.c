/*
 * The one place where jansson reads text of others. It keeps apart what is wrong with the text and what is
 * wrong with us (json-memory.c).
 *
 * And jansson 2.14 reads past a NUL byte that follows a number or a literal, as if it were not there. What
 * was taken for JSON here would be none for whoever reads it after us, so such a byte is refused: it can
 * stand nowhere in JSON. An escaped one is a character as any other, for everybody: who takes a text in must
 * not hand it on to one of us that can't read it.
 */

#include "task/json.h"

#include <stdio.h>

#include "task/json-memory.h"

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
        const char *nul = size > 0 ? memchr(text, 0, size) : NULL;
        JsonReserve reserve;
        json_error_t error;
        json_t *value;
        int r;

        if (nul) {
                if (ret_error)
                        refuse_nul(text, (size_t)(nul - (const char *)text), ret_error);
                return -EBADMSG;
        }

        r = json_reserve_enter(&reserve, size);
        if (r < 0)
                return r;
        value = json_loadb(text, size, flags | JSON_ALLOW_NUL, &error);
        if (!json_reserve_leave(&reserve, &value))
                return -ENOMEM;
        if (!value) {
                if (ret_error)
                        *ret_error = error;
                return -EBADMSG;
        }
        *ret = value;
        return 0;
}
