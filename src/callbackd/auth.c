/*
 * A callback comes in when it shows one of the keys in exactly one header. The answer to anything else is
 * one constant text: it doesn't tell a missing header from a wrong one, nor a wrong key from an old one.
 * Such requests cost a line in the log a minute, however many there are.
 *
 * A callback with a key that comes to another path is a mistake in somebody's set-up, which burns the twenty
 * tries that there are, so the log names the path. The answer is the same 404 as without a key.
 */

#include "callbackd/auth.h"

#include <inttypes.h>
#include <stdio.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "daemon/message.h"

#define QUIET_USEC (60 * USEC_PER_SEC)
#define BLANKS     " \t" /* around a header's value they are no part of it, and in no key */

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

/* Whether this one gets a line of its own; else it is counted. */
static bool is_first(AuthLog *l, uint64_t now)
{
        if (l->last > 0 && now - l->last < QUIET_USEC) {
                l->silent++;
                return false;
        }
        auth_log_flush(l, now);
        l->last = now;
        return true;
}

void auth_log_refusal(AuthLog *l, uint64_t now, const char *remote)
{
        if (is_first(l, now))
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

void auth_log_misdirected(AuthLog *l, uint64_t now, const char *path, const char *label, const char *remote)
{
        quote_path(path, l->path);
        if (is_first(l, now))
                log_event(LOG_WARNING, MESSAGE_MISDIRECTED,
                                LOG_FIELDS(LOG_TEXT("REMOTE_ADDRESS", remote), LOG_TEXT("KEY_LABEL", label),
                                                LOG_TEXT("PATH", l->path), LOG_NUMBER("REQUESTS", 1)),
                                "A callback with the key %s, from %s, came to the path %s, where nothing is "
                                "taken: answered 404.",
                                label, remote, l->path);
}

void auth_log_flush(AuthLog *l, uint64_t now)
{
        if (l->silent == 0 || now - l->last < QUIET_USEC)
                return;

        if (l->path[0])
                log_event(LOG_WARNING, MESSAGE_MISDIRECTED,
                                LOG_FIELDS(LOG_TEXT("PATH", l->path), LOG_NUMBER("REQUESTS", l->silent)),
                                "%" PRIu64 " more callbacks with a valid key came to paths where nothing is "
                                "taken, the last one to %s: answered 404.",
                                l->silent, l->path);
        else
                log_event(LOG_WARNING, MESSAGE_UNAUTHORIZED, LOG_FIELDS(LOG_NUMBER("REQUESTS", l->silent)),
                                "Refused %" PRIu64 " more callbacks without a valid key.", l->silent);
        l->silent = 0;
        l->last = now;
}
