/* The client's address, out of what proxies say. */

#include "test.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include "callbackd/remote.h"
#include "config/network.h"

typedef union Peer {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
} Peer;

static Peer peer_of(const char *text)
{
        Peer p = { .any.sa_family = AF_UNIX };

        if (strchr(text, ':')) {
                p.v6.sin6_family = AF_INET6;
                assert_int_equal(inet_pton(AF_INET6, text, &p.v6.sin6_addr), 1);
        } else if (!streq(text, "unix")) {
                p.v4.sin_family = AF_INET;
                assert_int_equal(inet_pton(AF_INET, text, &p.v4.sin_addr), 1);
        }
        return p;
}

static void test_resolve(_unused_ void **state)
{
        static const struct {
                const char *peer, *trusted[3], *forwarded[3], *client;
        } cases[] = {
                { "192.0.2.1", {}, {}, "192.0.2.1" },
                { "192.0.2.1", {}, { "203.0.113.9" }, "192.0.2.1" },
                { "127.0.0.1", { "127.0.0.1" }, {}, "127.0.0.1" },
                { "127.0.0.1", { "127.0.0.1" }, { "203.0.113.9" }, "203.0.113.9" },
                /* What the client wrote itself stands on the left. */
                { "127.0.0.1", { "127.0.0.1" }, { "10.0.0.1, 203.0.113.9" }, "203.0.113.9" },
                { "127.0.0.1", { "127.0.0.1", "10.0.0.0/8" }, { "198.51.100.1, 203.0.113.9,10.1.2.3" },
                                "203.0.113.9" },
                { "127.0.0.1", { "127.0.0.1", "10.0.0.0/8" }, { "10.1.1.1, 10.2.2.2" }, "10.1.1.1" },
                /* Several headers are one list. */
                { "127.0.0.1", { "127.0.0.1" }, { "198.51.100.1", "203.0.113.9" }, "203.0.113.9" },
                { "127.0.0.1", { "127.0.0.1", "203.0.113.9" }, { "198.51.100.1", "203.0.113.9" },
                                "198.51.100.1" },
                { "127.0.0.1", { "127.0.0.1" }, { "203.0.113.9:4711" }, "203.0.113.9" },
                { "127.0.0.1", { "127.0.0.1" }, { "[2001:db8::1]:4711" }, "2001:db8::1" },
                { "127.0.0.1", { "127.0.0.1" }, { "2001:db8::1" }, "2001:db8::1" },
                { "127.0.0.1", { "127.0.0.1" }, { "::ffff:203.0.113.9" }, "203.0.113.9" },
                { "::ffff:127.0.0.1", { "127.0.0.1" }, { "203.0.113.9" }, "203.0.113.9" },
                { "unix", { "unix" }, { "203.0.113.9" }, "203.0.113.9" },
                { "unix", { "127.0.0.1" }, { "203.0.113.9" }, "unix" },
                { "unix", {}, {}, "unix" },
                /* No address: the last hop that was one. */
                { "127.0.0.1", { "127.0.0.1" }, { "unknown" }, "127.0.0.1" },
                { "127.0.0.1", { "127.0.0.1" }, { "" }, "127.0.0.1" },
                { "127.0.0.1", { "127.0.0.1" }, { "203.0.113.9," }, "127.0.0.1" },
                { "127.0.0.1", { "127.0.0.1" }, { "[2001:db8::1" }, "127.0.0.1" },
                { "127.0.0.1", { "127.0.0.1" },
                                { "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21.22" },
                                "127.0.0.1" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                Network trusted[3];
                size_t n_trusted = 0, n_forwarded = 0;
                char buf[STORE_REMOTE_MAX + 1];
                Peer peer = peer_of(c->peer);

                for (; n_trusted < 3 && c->trusted[n_trusted]; n_trusted++)
                        assert_int_equal(network_parse(c->trusted[n_trusted], &trusted[n_trusted]), 0);
                while (n_forwarded < 3 && c->forwarded[n_forwarded])
                        n_forwarded++;
                remote_resolve(&peer.any, c->forwarded, n_forwarded, trusted, n_trusted, buf);
                if (!streq(buf, c->client))
                        fail_msg("peer %s, %s: %s instead of %s", c->peer, strna(c->forwarded[0]), buf,
                                        c->client);
        }
}

static void test_a_long_chain_is_followed_so_far(_unused_ void **state)
{
        char list[4096] = "", buf[STORE_REMOTE_MAX + 1];
        const char *forwarded[] = { list };
        Peer peer = peer_of("127.0.0.1");
        Network all;

        for (unsigned i = 0; i < 200; i++)
                strcat(list, i > 0 ? ",127.0.0.1" : "203.0.113.9");
        assert_int_equal(network_parse("0.0.0.0/0", &all), 0);
        assert_string_equal(remote_resolve(&peer.any, forwarded, 1, &all, 1, buf), "127.0.0.1");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_resolve),
                cmocka_unit_test(test_a_long_chain_is_followed_so_far),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
