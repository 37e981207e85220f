/* The doctor's checks that need no daemon: what they find, and that nothing is found where all is well. */

#include "test.h"

#include "scalectl/doctor/doctor.h"

#define FOUND_MAX 16U

typedef struct Found {
        struct {
                FindingKind kind;
                char message[512], advice[512];
        } items[FOUND_MAX];
        size_t n;
} Found;

static void take(Doctor *d, FindingKind kind, const char *message, const char *advice)
{
        Found *f = d->userdata;

        assert_true(f->n < FOUND_MAX);
        assert_true((kind == FINDING_OK) == !advice);
        f->items[f->n].kind = kind;
        snprintf(f->items[f->n].message, sizeof(f->items->message), "%s", message);
        snprintf(f->items[f->n].advice, sizeof(f->items->advice), "%s", advice ?: "");
        f->n++;
}

static void expect(const Found *f, FindingKind kind, const char *part)
{
        for (size_t i = 0; i < f->n; i++)
                if (f->items[i].kind == kind && strstr(f->items[i].message, part))
                        return;
        fail_msg("no finding with \"%s\" among %zu, the first is \"%s\"", part, f->n,
                        f->n > 0 ? f->items[0].message : "");
}

#define LOCKS                                                                                              \
        "User=scale-callbackd\nNoNewPrivileges=yes\nProtectSystem=strict\nProtectHome=yes\n"               \
        "MemoryDenyWriteExecute=yes\nRestrictNamespaces=yes\nPrivateDevices=yes\nCapabilityBoundingSet=\n" \
        "LimitCORE=0\n"
#define RUNS "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\n"

static void look(const char *properties, Found *f)
{
        Doctor d = { .check = "units", .take = take, .userdata = f };

        *f = (Found){};
        doctor_look_at_unit(&d, properties);
}

static void test_units(_unused_ void **state)
{
        static const struct {
                const char *properties;
                FindingKind kind;
                const char *part;
        } cases[] = {
                { "Id=x.socket\nLoadState=not-found\nActiveState=inactive", FINDING_WARNING,
                                "systemd knows no x.socket" },
                { "Id=x.service\nLoadState=loaded\nActiveState=failed\nUnitFileState=enabled\n" LOCKS,
                                FINDING_FAILURE, "x.service failed" },
                { "Id=x.service\nResult=exit-code\nExecMainStatus=78\nLoadState=loaded\nActiveState=failed\n"
                  "UnitFileState=enabled\n" LOCKS,
                                FINDING_FAILURE, "x.service refused to start with status 78" },
                { "Id=x.service\nResult=exit-code\nExecMainStatus=74\nLoadState=loaded\nActiveState=failed\n"
                  "UnitFileState=enabled\n" LOCKS,
                                FINDING_FAILURE, "failed with exit-code, status 74" },
                { "Id=x.service\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\n"
                  "Result=signal\nExecMainStatus=11\n" LOCKS,
                                FINDING_FAILURE,
                                "ends at every start, the last time with signal, status 11" },
                { "Id=x.socket\nLoadState=loaded\nActiveState=inactive\nUnitFileState=enabled",
                                FINDING_FAILURE, "x.socket is inactive" },
                { "Id=x.socket\nLoadState=loaded\nActiveState=activating\nUnitFileState=enabled",
                                FINDING_FAILURE, "x.socket is activating" },
                { "Id=x.socket\nLoadState=loaded\nActiveState=active\nUnitFileState=disabled",
                                FINDING_WARNING, "is not enabled" },
                { "NeedDaemonReload=yes\nId=x.socket\nLoadState=loaded\nActiveState=active\n"
                  "UnitFileState=enabled",
                                FINDING_WARNING, "was changed since" },
                { "Id=x.service\nNRestarts=7\n" RUNS LOCKS, FINDING_WARNING, "again 7 times" },
                { "Id=x.service\nNRestarts=0\n" RUNS "User=root\n", FINDING_WARNING, "runs as root" },
                { "Id=x.service\nNRestarts=0\n" RUNS "User=\n", FINDING_WARNING, "runs as root" },
                { "Id=x.service\n" RUNS "User=x\nProtectSystem=no\n", FINDING_WARNING,
                                "x.service has ProtectSystem=no, and was made for ProtectSystem=strict" },
                { "Id=x.service\n" RUNS "User=x\nCapabilityBoundingSet=cap_chown\n", FINDING_WARNING,
                                "has CapabilityBoundingSet=cap_chown" },
                { "", FINDING_FAILURE, "is not known" },
        };
        Found f;

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                look(c->properties, &f);
                expect(&f, c->kind, c->part);
        }
        look("Id=x.service\nNRestarts=0\n" RUNS LOCKS, &f);
        assert_int_equal(f.n, 0);
        look("Id=x.service\nLoadState=loaded\nActiveState=activating\nUnitFileState=enabled\n" LOCKS, &f);
        assert_int_equal(f.n, 0); /* on its way */
        look("Id=x.socket\n" RUNS, &f);
        assert_int_equal(f.n, 0);
}

static void test_places(_unused_ void **state)
{
        static const char *const here[] = { "127.0.0.1:8090", "http://127.1.2.3/x", "http://localhost:1/",
                "https://localhost", "[::1]:8090", "http://[::1]/callback" };
        static const char *const elsewhere[] = { "0.0.0.0:8090", "https://127.example.com/", "[::]:8090",
                "https://localhost.example.com/", "https://hooks.example.com:443/127.0.0.1", "[::12]:1",
                "https://", "" };

        FOREACH_ARRAY(p, here, ELEMENTSOF(here))
                if (!doctor_is_here(*p))
                        fail_msg("%s is here", *p);
        FOREACH_ARRAY(p, elsewhere, ELEMENTSOF(elsewhere))
                if (doctor_is_here(*p))
                        fail_msg("%s is elsewhere", *p);
}

/* As curl words them, over OpenSSL. */
static void test_tls(_unused_ void **state)
{
        static const struct {
                const char *error, *part;
        } cases[] = {
                { "SSL certificate problem: certificate has expired", "renew" },
                { "SSL certificate problem: certificate is not yet valid", "clocks" },
                { "SSL certificate problem: self-signed certificate in certificate chain", "authority" },
                { "SSL certificate problem: unable to get local issuer certificate", "whole chain" },
                { "SSL: no alternative certificate subject name matches target host name 'x'",
                                "another name" },
                { "error:0A00010B:SSL routines::wrong version number", "does not speak TLS" },
                { "OpenSSL/3.0.15: error:0A000126:SSL routines::unexpected eof while reading", "TLS 1.2" },
                { "SSL certificate problem: something new", "openssl s_client" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                const char *advice = doctor_tls_advice(c->error);

                if (!advice || !strstr(advice, c->part))
                        fail_msg("%s: %s", c->error, strna(advice));
        }
        assert_null(doctor_tls_advice("Could not resolve host: hooks.example.com"));
        assert_null(doctor_tls_advice(""));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_units),
                cmocka_unit_test(test_places),
                cmocka_unit_test(test_tls),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
