/*
 * A callback comes in when it shows one of the keys in exactly one header. The answer to anything else is
 * one constant text: it doesn't tell a missing header from a wrong one, nor a wrong key from an old one.
 * Such requests cost a line in the log a minute, however many there are.
 */

#include "callbackd/auth.h"

#include <inttypes.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "daemon/message.h"

#define QUIET_USEC (60 * USEC_PER_SEC)

const char *auth_check(const Keys *keys, const HttpRequest *request)
{
        if (http_request_header_count(request, AUTH_HEADER) != 1)
                return NULL;

        return keys_match(keys, http_request_header(request, AUTH_HEADER));
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

void auth_log_refusal(AuthLog *l, uint64_t now, const char *remote)
{
        if (l->last > 0 && now - l->last < QUIET_USEC) {
                l->silent++;
                return;
        }
        auth_log_flush(l, now);
        log_event(LOG_WARNING, MESSAGE_UNAUTHORIZED,
                        LOG_FIELDS(LOG_TEXT("REMOTE_ADDRESS", remote), LOG_NUMBER("REQUESTS", 1)),
                        "Refused a callback without a valid key, from %s.", remote);
        l->last = now;
}

void auth_log_flush(AuthLog *l, uint64_t now)
{
        if (l->silent == 0 || now - l->last < QUIET_USEC)
                return;

        log_event(LOG_WARNING, MESSAGE_UNAUTHORIZED, LOG_FIELDS(LOG_NUMBER("REQUESTS", l->silent)),
                        "Refused %" PRIu64 " more callbacks without a valid key.", l->silent);
        l->silent = 0;
        l->last = now;
}
