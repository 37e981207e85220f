/*
 * jansson 2.14 reads past a NUL byte that follows a number or a literal, as if it were not there. What was
 * taken for JSON here would be none for whoever reads it after us, so such a byte is refused: it can stand
 * nowhere in JSON.
 */

#include "task/decode.h"

#include <stdio.h>

/* What jansson would have said: the code of an error lies behind its text. */
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
        snprintf(error->text, JSON_ERROR_TEXT_LENGTH - 1, "a NUL byte");
        error->text[JSON_ERROR_TEXT_LENGTH - 1] = json_error_invalid_syntax;
}

json_t *json_decode(const void *text, size_t size, size_t flags, json_error_t *error)
{
        const char *nul = size > 0 ? memchr(text, 0, size) : NULL;

        if (!nul)
                return json_loadb(text, size, flags, error);
        if (error)
                refuse_nul(text, (size_t)(nul - (const char *)text), error);
        return NULL;
}
