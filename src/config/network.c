/*
 * Networks are compared bit by bit, each family for itself. Bits behind the prefix have to be
 * zero: 10.1.2.3/8 is more likely a slip of the pen than a way to write 10.0.0.0/8.
 */

#include "config/network.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "basic/parse.h"

static unsigned family_bits(int family)
{
        return family == AF_INET ? 32 : family == AF_INET6 ? 128 : 0;
}

/* Whether the first `bits` bits are the same. */
static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
        unsigned whole = bits / 8, rest = bits % 8;
        uint8_t mask = (uint8_t)(0xff << (8 - rest));

        if (memcmp(a, b, whole) != 0)
                return false;
        return rest == 0 || ((a[whole] ^ b[whole]) & mask) == 0;
}

static bool has_host_bits(const Network *network)
{
        for (unsigned i = network->prefix; i < family_bits(network->family); i++)
                if (network->address[i / 8] & (0x80 >> (i % 8)))
                        return true;
        return false;
}

/* IPv4 written in IPv6 is IPv4: peers are compared as that. */
static void unmap(Network *network)
{
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

        if (network->family != AF_INET6 || network->prefix < 96 ||
                        memcmp(network->address, mapped, sizeof(mapped)) != 0)
                return;

        *network = (Network){
                .family = AF_INET,
                .address = { network->address[12], network->address[13], network->address[14],
                                network->address[15] },
                .prefix = network->prefix - 96,
        };
}

int network_parse(const char *text, Network *ret)
{
        char address[INET6_ADDRSTRLEN];
        const char *slash = strchr(text, '/');
        size_t size = slash ? (size_t)(slash - text) : strlen(text);
        Network n = {};
        uint64_t prefix;

        if (streq(text, "unix")) {
                *ret = (Network){ .family = AF_UNIX };
                return 0;
        }
        if (size >= sizeof(address))
                return -EINVAL;
        memcpy(address, text, size);
        address[size] = 0;

        if (inet_pton(AF_INET, address, n.address) == 1)
                n.family = AF_INET;
        else if (inet_pton(AF_INET6, address, n.address) == 1)
                n.family = AF_INET6;
        else
                return -EINVAL;

        prefix = family_bits(n.family);
        if (slash && parse_u64(slash + 1, 0, prefix, &prefix) < 0)
                return -EINVAL;
        n.prefix = (unsigned)prefix;
        if (has_host_bits(&n))
                return -EINVAL;

        unmap(&n);
        *ret = n;
        return 0;
}

bool network_contains(const Network *network, int family, const uint8_t *bytes)
{
        if (network->family != family)
                return false;
        return family == AF_UNIX || same_prefix(network->address, bytes, network->prefix);
}

const char *network_format(const Network *network, char buf[static NETWORK_TEXT_SIZE])
{
        char address[INET6_ADDRSTRLEN];

        if (network->family == AF_UNIX ||
                        !inet_ntop(network->family, network->address, address, sizeof(address)))
                snprintf(buf, NETWORK_TEXT_SIZE, "unix");
        else if (network->prefix == family_bits(network->family))
                snprintf(buf, NETWORK_TEXT_SIZE, "%s", address);
        else
                snprintf(buf, NETWORK_TEXT_SIZE, "%s/%u", address, network->prefix);
        return buf;
}
