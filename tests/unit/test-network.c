/* Networks, and what is in them. */

#include "test.h"

#include <arpa/inet.h>

#include "config/network.h"

static void test_contains(_unused_ void **state)
{
        static const struct {
                const char *network, *address;
                bool inside;
        } cases[] = {
                { "10.0.0.0/8", "10.255.1.2", true },
                { "10.0.0.0/8", "11.0.0.0", false },
                { "192.0.2.128/25", "192.0.2.200", true },
                { "192.0.2.128/25", "192.0.2.127", false },
                { "192.0.2.1", "192.0.2.1", true },
                { "192.0.2.1", "192.0.2.2", false },
                { "0.0.0.0/0", "203.0.113.9", true },
                { "0.0.0.0/0", "::1", false },
                { "::1", "::1", true },
                { "2001:db8::/33", "2001:db8:7fff::1", true },
                { "2001:db8::/33", "2001:db8:8000::1", false },
                { "::ffff:192.0.2.0/120", "192.0.2.9", true },
                { "::ffff:192.0.2.0/120", "192.0.3.9", false },
                { "unix", "192.0.2.1", false },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                int family = strchr(c->address, ':') ? AF_INET6 : AF_INET;
                uint8_t bytes[16];
                Network n;

                assert_int_equal(inet_pton(family, c->address, bytes), 1);
                assert_int_equal(network_parse(c->network, &n), 0);
                if (network_contains(&n, family, bytes) != c->inside)
                        fail_msg("%s in %s", c->address, c->network);
        }
}

static void test_unix(_unused_ void **state)
{
        Network n;

        assert_int_equal(network_parse("unix", &n), 0);
        assert_true(network_contains(&n, AF_UNIX, NULL));
}

static void test_refuses(_unused_ void **state)
{
        static const char *const cases[] = {
                "",
                "10.0.0.0/33",
                "10.0.0.0/",
                "10.0.0.1/8",
                "2001:db8::1/64",
                "::/129",
                "example.com",
                "10.0.0/8",
                "/8",
                "10.0.0.0/8/8",
                "10.0.0.0/-1",
        };
        Network n;

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases))
                if (network_parse(*c, &n) != -EINVAL)
                        fail_msg("%s", *c);
}

static void test_format(_unused_ void **state)
{
        static const char *const cases[] = { "10.0.0.0/8", "192.0.2.1", "::1", "2001:db8::/32", "unix",
                "0.0.0.0/0" };
        char buf[NETWORK_TEXT_SIZE];
        Network n;

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                assert_int_equal(network_parse(*c, &n), 0);
                assert_string_equal(network_format(&n, buf), *c);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_contains),
                cmocka_unit_test(test_unix),
                cmocka_unit_test(test_refuses),
                cmocka_unit_test(test_format),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
