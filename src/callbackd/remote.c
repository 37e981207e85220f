/*
 * Anybody can send X-Forwarded-For, so it counts only from a peer that was named as a proxy, and only as far
 * as proxies wrote it: every proxy appends the address it saw, so the list is read from the right, and the
 * first address that isn't a trusted proxy's is the client. What stands left of that is hearsay. An entry
 * that is no address ends the reading at the last hop that was one.
 */

#include "callbackd/remote.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "config/network.h"

#define FORWARDED_MAX 16U /* headers that are looked at; a chain of proxies is short */
#define HOPS_MAX      32U

typedef struct Address {
        int family; /* AF_UNIX: no bytes */
        uint8_t bytes[16];
} Address;

/* IPv4 in IPv6 is IPv4. */
static void address_unmap(Address *address)
{
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

        if (address->family != AF_INET6 || memcmp(address->bytes, mapped, sizeof(mapped)) != 0)
                return;
        memmove(address->bytes, address->bytes + sizeof(mapped), 4);
        address->family = AF_INET;
}

static Address address_of(const struct sockaddr *peer)
{
        Address address = { .family = AF_UNIX };

        if (peer->sa_family == AF_INET) {
                address.family = AF_INET;
                memcpy(address.bytes, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
        } else if (peer->sa_family == AF_INET6) {
                address.family = AF_INET6;
                memcpy(address.bytes, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, 16);
        }
        address_unmap(&address);
        return address;
}

/* "192.0.2.1", "192.0.2.1:4711", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:4711". */
static bool address_parse(const char *text, size_t size, Address *ret)
{
        char copy[INET6_ADDRSTRLEN + sizeof("[]:65535")];
        Address address = {};
        char *p = copy, *end;

        if (size == 0 || size >= sizeof(copy))
                return false;
        memcpy(copy, text, size);
        copy[size] = 0;

        if (*p == '[') {
                end = strchr(++p, ']');
                if (!end || (end[1] != 0 && end[1] != ':'))
                        return false;
                *end = 0;
        } else if ((end = strchr(p, ':')) && !strchr(end + 1, ':'))
                *end = 0;

        if (inet_pton(AF_INET, p, address.bytes) == 1)
                address.family = AF_INET;
        else if (inet_pton(AF_INET6, p, address.bytes) == 1)
                address.family = AF_INET6;
        else
                return false;

        address_unmap(&address);
        *ret = address;
        return true;
}

static bool is_trusted(const Address *address, const Network *trusted, size_t n)
{
        FOREACH_ARRAY(network, trusted, n)
                if (network_contains(network, address->family, address->bytes))
                        return true;
        return false;
}

/* Takes the rightmost entry off a list; false when there is none left. */
static bool take_last(const char *list, size_t *size, const char **ret, size_t *ret_size)
{
        size_t end = *size, start;

        if (end == 0)
                return false;

        start = end;
        while (start > 0 && list[start - 1] != ',')
                start--;
        *size = start > 0 ? start - 1 : 0;

        while (start < end && (list[start] == ' ' || list[start] == '\t'))
                start++;
        while (end > start && (list[end - 1] == ' ' || list[end - 1] == '\t'))
                end--;
        *ret = list + start;
        *ret_size = end - start;
        return true;
}

/* Walks the hops from the nearest one outwards, up to the first that isn't trusted. */
static Address find_client(Address nearest, const char *const *forwarded, size_t n, const Network *trusted,
                size_t n_trusted)
{
        Address client = nearest;
        unsigned hops = 0;

        while (n-- > 0) {
                size_t size = strlen(forwarded[n]), entry_size;
                const char *entry;

                while (take_last(forwarded[n], &size, &entry, &entry_size)) {
                        Address address;

                        if (!is_trusted(&client, trusted, n_trusted) || hops++ == HOPS_MAX)
                                return client;
                        if (!address_parse(entry, entry_size, &address))
                                return client;
                        client = address;
                }
        }
        return client;
}

const char *remote_resolve(const struct sockaddr *peer, const char *const *forwarded, size_t n_forwarded,
                const Network *trusted, size_t n_trusted, char buf[static STORE_REMOTE_MAX + 1])
{
        Address address = find_client(address_of(peer), forwarded, n_forwarded, trusted, n_trusted);

        if (address.family == AF_UNIX ||
                        !inet_ntop(address.family, address.bytes, buf, STORE_REMOTE_MAX + 1))
                snprintf(buf, STORE_REMOTE_MAX + 1, "unix");
        return buf;
}

const char *remote_address(const HttpRequest *request, const Network *trusted, size_t n_trusted,
                char buf[static STORE_REMOTE_MAX + 1])
{
        unsigned total = http_request_header_count(request, "X-Forwarded-For");
        unsigned n = MIN(total, FORWARDED_MAX);
        const char *forwarded[FORWARDED_MAX];

        /* The last ones are the nearest. */
        for (unsigned i = 0; i < n; i++)
                forwarded[i] = http_request_header_at(request, "X-Forwarded-For", total - n + i) ?: "";

        return remote_resolve(http_request_peer(request), forwarded, n, trusted, n_trusted, buf);
}
