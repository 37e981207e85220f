/*
 * Any text as every short value that strangers write: times, durations, sizes, networks, addresses behind
 * proxies, header values, cursors. What must hold: what was read can be written, and is the same when it is
 * read again; nothing is out of its range; what one parser takes others of the same kind take.
 */

#include "fuzz.h"

#include <arpa/inet.h>
#include <locale.h>
#include <stdio.h>

#include "basic/key-file.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "callbackd/remote.h"
#include "config/network.h"
#include "http/header.h"
#include "scalectl/ndjson.h"
#include "scalectl/text/when.h"
#include "submitd/socket/accept.h"

#define NOW INT64_C(1466672974752123)

static void try_times(const char *text)
{
        char a[TIME_STAMP_SIZE], b[64];
        int64_t t, again;

        if (time_parse(text, &t) == 0) {
                assert(t != TIME_NONE && t <= TIME_LAST);
                /* A zone in the east leads out of 1970, which the form that is written does not follow. */
                if (t >= 0)
                        assert(time_parse(time_format(t, a), &again) == 0 && again == t);
        }
        if (time_parse_http_date(text, &t) == 0) {
                assert(t >= 0 && t <= TIME_LAST && t % 1000000 == 0);
                assert(strftime(b, sizeof(b), "%a, %d %b %Y %H:%M:%S GMT",
                                       gmtime(&(time_t){ (time_t)(t / 1000000) })) > 0);
                assert(time_parse_http_date(b, &again) == 0 && again == t);
        }
        if (when_parse(text, NOW, true, &t) == 0) {
                assert(t >= 0 && t <= TIME_LAST);
                assert(when_parse(time_format(t, a), NOW, false, &again) == 0 && again == t);
        }
        if (when_parse(text, NOW, false, &t) == 0)
                assert(t >= 0 && t <= TIME_LAST);
}

/* A number that is shown in a unit is one that fits. */
static void try_numbers(const char *text)
{
        char buf[32];
        uint64_t v, w;
        bool b;

        if (parse_u64(text, 10, 100000, &v) == 0)
                assert(v >= 10 && v <= 100000);
        if (parse_u64(text, 0, UINT64_MAX, &v) == 0) {
                snprintf(buf, sizeof(buf), "%lu", v);
                assert(parse_u64(buf, v, v, &w) == 0 && w == v);
                assert(parse_size(text, &w) == 0 && w == v);
        }
        if (parse_duration(text, &v) == 0) {
                assert(v % USEC_PER_MSEC == 0);
                snprintf(buf, sizeof(buf), "%lums", v / USEC_PER_MSEC);
                assert(parse_duration(buf, &w) == 0 && w == v);
        }
        if (parse_boolean(text, &b) == 0)
                assert(parse_boolean(b ? "yes" : "no", &b) == 0 && strlen(text) <= 5);
}

static void try_network(const char *text)
{
        char buf[NETWORK_TEXT_SIZE];
        Network n, again;

        if (network_parse(text, &n) < 0)
                return;
        assert(network_contains(&n, n.family, n.address));
        assert(!network_contains(&n, n.family == AF_INET ? AF_INET6 : AF_INET, n.address));
        assert(network_parse(network_format(&n, buf), &again) == 0);
        assert(again.family == n.family && again.prefix == n.prefix);
        assert(memcmp(again.address, n.address, sizeof(n.address)) == 0);
}

static bool is_address(const char *text)
{
        uint8_t bytes[16];

        return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

/* As the value of X-Forwarded-For, of a peer that is no proxy, and of one behind more of them. */
static void try_forwarded(const char *text)
{
        static const struct sockaddr_in peer = { .sin_family = AF_INET, .sin_addr = { 0x0100007f } };
        const char *const lists[] = { "203.0.113.9, junk", text, "198.51.100.7" };
        char buf[STORE_REMOTE_MAX + 1], more[STORE_REMOTE_MAX + 1];
        const struct sockaddr *p = (const struct sockaddr *)(const void *)&peer;
        Network trusted[2];

        assert(network_parse("127.0.0.0/8", &trusted[0]) == 0);
        assert(network_parse("198.51.100.0/24", &trusted[1]) == 0);
        assert(streq(remote_resolve(p, lists + 1, 1, NULL, 0, buf), "127.0.0.1"));
        assert(streq(remote_resolve(p, lists, 3, trusted, 1, buf), "198.51.100.7"));

        /* Whatever it is, it is an address; and what a stranger put in front of it changes nothing. */
        assert(is_address(remote_resolve(p, lists + 1, 1, trusted, 2, buf)));
        assert(streq(buf, remote_resolve(p, lists, 2, trusted, 2, more)));
        assert(is_address(remote_resolve(p, lists + 1, 2, trusted, 2, buf)));
        assert(streq(buf, remote_resolve(p, lists, 3, trusted, 2, more)));
}

static void try_headers(const char *text)
{
        uint64_t pause = header_retry_after(text, NOW);
        BodyKind kind = body_kind_of(text);
        int64_t t;

        assert(pause == UINT64_MAX || pause <= HEADER_RETRY_AFTER_MAX);
        if (pause != UINT64_MAX && time_parse_http_date(text, &t) < 0)
                assert(pause % USEC_PER_SEC == 0 && text[strspn(text, "0123456789")] == 0);

        assert(!header_type_is(text, "application/json") || header_type_is_json(text));
        assert((kind == BODY_JSON) == header_type_is(text, "application/json"));
        assert((kind == BODY_FORM) == header_type_is(text, "application/x-www-form-urlencoded"));
        if (kind == BODY_JSON)
                assert(strcasestr(text, "application/json"));

        if (accept_key_is_valid(text))
                assert(strlen(text) > 0 && strlen(text) <= 255 && !strpbrk(text, " \t\r\n\x7f"));
        if (ndjson_batch_is_valid(text))
                assert(accept_key_is_valid(text) && strlen(text) + 1 < NDJSON_KEY_SIZE);
        if (!api_key_problem(text, strlen(text)))
                assert(accept_key_is_valid(text) || strlen(text) > 255);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        /* In memory of just that size. */
        _cleanup_free_ char *text = strndup((const char *)data, size);

        assert(text);
        try_times(text);
        try_numbers(text);
        try_network(text);
        try_forwarded(text);
        try_headers(text);
        return 0;
}
