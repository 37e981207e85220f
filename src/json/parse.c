/*
 * The one place where text of others becomes JSON. Our own reader reads it (read.c); what that refuses
 * is given to jansson, whose messages say what is wrong and where. It keeps apart what is wrong with the
 * text and what is wrong with us (memory.c).
 *
 * And jansson 2.14 reads past a NUL byte that follows a number or a literal, as if it were not there. What
 * was taken for JSON here would be none for whoever reads it after us, so such a byte is refused: it can
 * stand nowhere in JSON. An escaped one is a character as any other, for everybody: who takes a text in must
 * not hand it on to one of us that can't read it.
 */

#include "json/parse.h"

#include <stdio.h>

#include "json/memory.h"

#define DEPTH_MAX 2048U /* jansson's */

static void set_place(const char *text, size_t at, json_error_t *error)
{
        *error = (json_error_t){ .line = 1, .position = (int)MIN(at, (size_t)INT32_MAX) };
        for (size_t i = 0; i < at; i++) {
                error->column++;
                if (text[i] == '\n') {
                        error->line++;
                        error->column = 0;
                }
        }
}

/* What jansson doesn't take and we do: not what is wrong with a text that both refuse. */
static bool is_about_what_we_take(const json_error_t *error)
{
        return json_error_code(error) == json_error_numeric_overflow ||
               strncmp(error->text, "invalid Unicode '", 17) == 0;
}

/* What is wrong with a text that our reader refused, at this place. Where jansson takes it after all, it is
 * JSON. 0, -EBADMSG, -ENOMEM. */
static int ask_jansson(const char *text, size_t size, size_t flags, size_t at, json_t **ret,
                json_error_t *ret_error)
{
        const char *nul = size > 0 ? memchr(text, 0, size) : NULL;
        JsonReserve reserve;
        json_t *value;
        int r;

        if (nul) {
                set_place(text, (size_t)(nul - text), ret_error);
                snprintf(ret_error->text, sizeof(ret_error->text), "a NUL byte");
                return -EBADMSG;
        }
        r = json_reserve_enter(&reserve, size);
        if (r < 0)
                return r;
        value = json_loadb(text, size, flags | JSON_ALLOW_NUL, ret_error);
        if (!json_reserve_leave(&reserve, &value))
                return -ENOMEM;
        if (value) {
                *ret = value;
                return 0;
        }
        if (is_about_what_we_take(ret_error)) {
                set_place(text, at, ret_error);
                snprintf(ret_error->text, sizeof(ret_error->text), "this can't stand here");
        }
        return -EBADMSG;
}

int json_parse_noting(const void *text, size_t size, size_t flags, json_t **ret, JsonFindings *ret_findings,
                json_error_t *ret_error)
{
        json_error_t error;
        int r;

        r = json_read(text, size, DEPTH_MAX, flags, ret, ret_findings);
        if (r == -EBADMSG)
                r = ask_jansson(text, size, flags, ret_findings->end, ret, &error);
        if (r == -EBADMSG && ret_error)
                *ret_error = error;
        return r;
}

int json_parse(const void *text, size_t size, size_t flags, json_t **ret, json_error_t *ret_error)
{
        JsonFindings findings;

        return json_parse_noting(text, size, flags, ret, &findings, ret_error);
}

const char *json_findings_format(
                const JsonFindings *findings, const void *text, char buf[static JSON_FINDINGS_SIZE])
{
        const char *escape = (const char *)text + findings->first_unpaired;
        json_error_t place;

        if (findings->n_unpaired == 0)
                return NULL;
        set_place(text, findings->first_unpaired, &place);
        snprintf(buf, JSON_FINDINGS_SIZE,
                        "half a character, %.6s in line %d, column %d, is read as U+FFFD (%zu of them in "
                        "all)",
                        escape, place.line, place.column + 1, findings->n_unpaired);
        return buf;
}
