/* Settings: what is read, what is refused and in which words. */

#include "test.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/mistakes.h"
#include "config/table.h"

static char dir[] = "/tmp/test-settings-XXXXXX", path[64], drop_in_dir[80], drop_in[96];

static int set_up(_unused_ void **state)
{
        if (!mkdtemp(dir))
                return -1;
        snprintf(path, sizeof(path), "%s/scale.conf", dir);
        snprintf(drop_in_dir, sizeof(drop_in_dir), "%s.d", path);
        snprintf(drop_in, sizeof(drop_in), "%s/10-x.conf", drop_in_dir);
        return 0;
}

static int tear_down(_unused_ void **state)
{
        (void)unlink(path);
        return rmdir(dir);
}

static void write_file(const char *name, const char *text)
{
        FILE *f = fopen(name, "we");

        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static void test_defaults(_unused_ void **state)
{
        Settings s;
        char *error;

        write_file(path, "");
        assert_int_equal(settings_load(path, NULL, &s, &error), 0);
        assert_string_equal(s.callback.listen[0], "127.0.0.1:8090");
        assert_null(s.callback.listen[1]);
        assert_string_equal(s.callback.path, "/callback");
        assert_null(s.callback.auth_keys_file);
        assert_int_equal(s.callback.max_body, 8 * 1024 * 1024);
        assert_int_equal(s.callback.max_bodies, 64 * 1024 * 1024);
        assert_int_equal(s.callback.max_connections, 1024);
        assert_int_equal(s.callback.header_timeout, 10000000);
        assert_int_equal(s.callback.body_timeout, 30000000);
        assert_int_equal(s.callback.idle_timeout, 60000000);
        assert_int_equal(s.callback.invalid_status, 422);
        assert_false(s.callback.strict);
        assert_int_equal(s.callback.n_trusted_proxies, 0);
        assert_string_equal(s.query.socket, "/run/scale-callbackd/query.sock");
        assert_string_equal(s.control.socket, "/run/scale-callbackd/control.sock");
        assert_true(s.store.keep_deliveries == UINT64_MAX);
        assert_int_equal(s.store.min_free, 64 * 1024 * 1024);
        settings_done(&s);
}

static void test_file_drop_in_and_override(_unused_ void **state)
{
        const char *items[] = { "callback.max_body=3M", "store.keep_deliveries=90d" };
        const SettingsOverrides overrides = { items, ELEMENTSOF(items) };
        Settings s;
        char *error;

        write_file(path, "# a comment\n[callback]\nlisten = [::1]:80 unix:/run/x\nmax_body = 1M ; and "
                         "another\n"
                         "strict = yes\ntrusted_proxies = 10.0.0.0/8 unix\n[submit]\nlive_per_day = 5\n");
        assert_int_equal(mkdir(drop_in_dir, 0700), 0);
        write_file(drop_in, "[callback]\nmax_body = 2M\npath = /hook\n");
        assert_int_equal(settings_load(path, &overrides, &s, &error), 0);
        unlink(drop_in);
        rmdir(drop_in_dir);

        assert_string_equal(s.callback.listen[0], "[::1]:80");
        assert_string_equal(s.callback.listen[1], "unix:/run/x");
        assert_null(s.callback.listen[2]);
        assert_int_equal(s.callback.max_body, 3 * 1024 * 1024);
        assert_string_equal(s.callback.path, "/hook");
        assert_true(s.callback.strict);
        assert_int_equal(s.callback.n_trusted_proxies, 2);
        assert_true(s.store.keep_deliveries == UINT64_C(90) * 24 * 3600 * 1000000);
        assert_int_equal(s.submit.live_per_day, 5);
        settings_done(&s);
}

/* What people write for the same place is the same place. */
static void test_urls_and_paths_in_other_words(_unused_ void **state)
{
        static const struct {
                const char *setting, *url, *path;
        } cases[] = {
                { "api.url=https://api.example.com/v1/", "https://api.example.com/v1", "/callback" },
                { "api.url=HTTPS://api.example.com/v1", "https://api.example.com/v1", "/callback" },
                { "api.url=Http://Example.com//", "http://Example.com", "/callback" },
                { "callback.path=/hook/", "https://api.scaleapi.com/v1", "/hook" },
        };

        write_file(path, "");
        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                const char *items[] = { c->setting, "submit.callback_url=HTTPS://example.com/callback/" };
                const SettingsOverrides overrides = { items, ELEMENTSOF(items) };
                Settings s;
                char *error;

                assert_int_equal(settings_load(path, &overrides, &s, &error), 0);
                assert_string_equal(s.api.url, c->url);
                assert_string_equal(s.callback.path, c->path);
                assert_string_equal(s.submit.callback_url, "https://example.com/callback");
                settings_done(&s);
        }
}

static void test_mistakes(_unused_ void **state)
{
        static const struct {
                const char *text, *says;
        } cases[] = {
                { "[callback]\nmax_bdy = 1M\n",
                                "line 2: there is no setting max_bdy in [callback]; is max_body meant?" },
                { "[callback]\n\nfoo = 1\n", "line 3: there is no setting foo in [callback]" },
                { "[calback]\nstrict = 1\n", "line 2: there is no section [calback]: expected one of "
                                             "[callback], [query], [control], [store], [submit], [api], "
                                             "[reconcile]" },
                { "strict = 1\n", "line 1: strict stands in no section: expected one like [callback] above "
                                  "it" },
                { "[callback]\nstrict = perhaps\n",
                                "line 2: [callback] strict = perhaps can't be read: expected yes or no" },
                { "[callback]\nmax_body = 8MB\n",
                                "line 2: [callback] max_body = 8MB can't be read: expected "
                                "a size like 512K, 8M or 1G" },
                { "[callback]\nmax_body = 1\n", "line 2: [callback] max_body = 1 is out of range: expected "
                                                "at least 1K and at most 1G" },
                { "[callback]\nheader_timeout = 10\n",
                                "line 2: [callback] header_timeout = 10 can't be read: expected a duration "
                                "like 500ms, 30s, 5m, 2h or 90d" },
                { "[callback]\nmax_connections = 0\n", "line 2: [callback] max_connections = 0 is out of "
                                                       "range: expected at least 1 and at most 100000" },
                { "[callback]\ninvalid_status = 500\n", "line 2: [callback] invalid_status = 500 can't be "
                                                        "read: expected 422 or 200" },
                { "[callback]\nlisten = localhost:80\n",
                                "line 2: [callback] listen = localhost:80 can't be read: expected one to "
                                "eight of ADDRESS:PORT, [ADDRESS]:PORT and unix:/PATH, with spaces between "
                                "them" },
                { "[callback]\npath = callback\n",
                                "line 2: [callback] path = callback can't be read: "
                                "expected a path like /callback, of up to 2048 letters, digits and "
                                "/._~-, and not /healthz" },
                { "[callback]\ntrusted_proxies = 10.1.0.0/8\n",
                                "line 2: [callback] trusted_proxies = 10.1.0.0/8 can't be read: expected "
                                "up to 32 of NETWORK/BITS without bits behind the prefix, ADDRESS and unix, "
                                "with spaces between them" },
                { "[store]\npath = scale.db\n", "line 2: [store] path = ... can't be read: expected "
                                                "an absolute path of at most 2048 bytes" },
                { "[callback]\nstrict = no\nstrict = no\n",
                                "line 3: [callback] strict stands in this file already" },
                { "[query]\nsocket = q.sock\n", "line 2: [query] socket = q.sock can't be read: expected "
                                                "an absolute path of at most 107 bytes" },
                { "[store]\nkeep_deliveries = never\n",
                                "line 2: [store] keep_deliveries = never can't be read: expected forever, "
                                "or an age like 2h or 90d" },
                { "[store]\nkeep_deliveries = 10ms\n", "line 2: [store] keep_deliveries = 10ms is out of "
                                                       "range: expected at least 1s" },
                { "[callback]\nmax_bodies = 99999999999999999999\n",
                                "line 2: [callback] max_bodies = 99999999999999999999 is out of range: "
                                "expected "
                                "at least 1K and at most 64G" },
                { "[submit]\ncallback_url = example.com\n",
                                "line 2: [submit] callback_url = ... can't be read: expected a URL "
                                "like https://example.com/path, without user, query and fragment" },
                { "[api]\nurl = https://user:key@example.com\n",
                                "line 2: [api] url = ... can't be read: expected "
                                "a "
                                "URL like https://example.com/path, without user, query and fragment" },
                { "[submit]\nlive_per_day = many\n", "line 2: [submit] live_per_day = many can't be read: "
                                                     "expected unlimited, or a whole number" },
                { "[callback\nstrict = yes\n",
                                "line 1: neither a [section] nor a setting: expected key = value" },
                { "[callback]\n  strict = yes\n   and more\n",
                                "line 3: neither a [section] nor a setting: expected key = value" },
                { "[callback]\nstrict\n",
                                "line 2: neither a [section] nor a setting: expected key = value" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_free_ char *error = NULL, *expected = NULL;
                Settings s;

                write_file(path, c->text);
                assert_int_equal(settings_load(path, NULL, &s, &error), -EINVAL);
                assert_true(asprintf(&expected, "%s, %s", path, c->says) > 0);
                assert_string_equal(error, expected);
        }
}

static void test_a_line_too_long_is_refused_not_split(_unused_ void **state)
{
        char text[6000] = "[store]\npath = /";
        _cleanup_free_ char *error = NULL;
        Settings s;

        memset(text + strlen(text), 'x', 5900);
        write_file(path, text);
        assert_int_equal(settings_load(path, NULL, &s, &error), -EINVAL);
        assert_non_null(strstr(error, "line 2: longer than the 4094 bytes that a line may have"));
}

/* As many networks as there can be, each as long as it can be, fit into a line. */
static void test_a_long_list_fits_into_a_line(_unused_ void **state)
{
        char text[4000] = "[callback]\ntrusted_proxies =";
        Settings s;
        char *error;

        for (unsigned i = 0; i < SETTINGS_NETWORKS_MAX; i++)
                snprintf(text + strlen(text), sizeof(text) - strlen(text),
                                " 2001:0db8:ffff:ffff:ffff:ffff:ffff:%04x/128", 0xff00 + i);
        write_file(path, text);
        assert_int_equal(settings_load(path, NULL, &s, &error), 0);
        assert_int_equal(s.callback.n_trusted_proxies, SETTINGS_NETWORKS_MAX);
        assert_int_equal(s.callback.trusted_proxies[SETTINGS_NETWORKS_MAX - 1].address[15], 0x1f);
        settings_done(&s);
}

static void test_too_many(_unused_ void **state)
{
        static const struct {
                const char *key, *word;
                unsigned max;
        } cases[] = {
                { "trusted_proxies", "unix", SETTINGS_NETWORKS_MAX },
                { "listen", "[::1]:0", SETTINGS_LISTEN_MAX },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases))
                for (unsigned more = 0; more < 2; more++) {
                        _cleanup_free_ char *error = NULL;
                        char text[1000];
                        Settings s;
                        int r;

                        snprintf(text, sizeof(text), "[callback]\n%s =", c->key);
                        for (unsigned i = 0; i < c->max + more; i++)
                                snprintf(text + strlen(text), sizeof(text) - strlen(text), " %s", c->word);
                        write_file(path, text);
                        r = settings_load(path, NULL, &s, &error);
                        assert_int_equal(r, more ? -EINVAL : 0);
                        if (r == 0)
                                settings_done(&s);
                }
}

/* The longest path of a socket is one that can be bound. */
static void test_paths_of_sockets(_unused_ void **state)
{
        for (size_t n = 107; n <= 108; n++) {
                char socket[200] = "query.socket=/", listen[200] = "callback.listen=unix:/";
                const char *items[] = { socket, listen };

                memset(socket + strlen(socket), 'x', n - 1);
                memset(listen + strlen(listen), 'x', n - 1);
                FOREACH_ARRAY(item, items, ELEMENTSOF(items)) {
                        const SettingsOverrides overrides = { item, 1 };
                        _cleanup_free_ char *error = NULL;
                        Settings s;
                        int r;

                        write_file(path, "");
                        r = settings_load(path, &overrides, &s, &error);
                        assert_int_equal(r, n > 107 ? -EINVAL : 0);
                        if (r == 0)
                                settings_done(&s);
                }
        }
}

/* A mistake in a drop-in is named with the drop-in, and a later file wins over an earlier. */
static void test_drop_ins(_unused_ void **state)
{
        static const char *const names[] = { "20-a.conf", "10-b.conf", "B.conf", "a.conf", ".hidden.conf",
                "x.conf.bak" };
        static const char *const values[] = { "1M", "2M", "3M", "4M", "5M", "6M" };
        _cleanup_free_ char *error = NULL, *bad = NULL, *expected = NULL;
        Settings s;

        write_file(path, "[callback]\nmax_body = 7M\n");
        assert_int_equal(mkdir(drop_in_dir, 0700), 0);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                char name[200], text[100];

                snprintf(name, sizeof(name), "%s/%s", drop_in_dir, names[i]);
                snprintf(text, sizeof(text), "[callback]\nmax_body = %s\n", values[i]);
                write_file(name, text);
        }
        assert_int_equal(settings_load(path, NULL, &s, &error), 0);
        assert_int_equal(s.callback.max_body, 4 * 1024 * 1024);
        settings_done(&s);

        assert_true(asprintf(&bad, "%s/B.conf", drop_in_dir) > 0);
        write_file(bad, "[store]\n\nmin_fre = 1M\n");
        assert_int_equal(settings_load(path, NULL, &s, &error), -EINVAL);
        assert_true(asprintf(&expected,
                                    "%s, line 3: there is no setting min_fre in [store]; is min_free meant?",
                                    bad) > 0);
        assert_string_equal(error, expected);

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                char name[200];

                snprintf(name, sizeof(name), "%s/%s", drop_in_dir, names[i]);
                assert_int_equal(unlink(name), 0);
        }
        assert_int_equal(rmdir(drop_in_dir), 0);
}

static void test_a_nul_byte_is_refused(_unused_ void **state)
{
        _cleanup_free_ char *error = NULL, *expected = NULL;
        FILE *f = fopen(path, "we");
        Settings s;

        assert_non_null(f);
        assert_int_equal(fwrite("[callback]\n\0strict = yes\n", 1, 25, f), 25);
        fclose(f);
        assert_int_equal(settings_load(path, NULL, &s, &error), -EINVAL);
        assert_true(asprintf(&expected, "%s, line 2: expected text, got a NUL byte", path) > 0);
        assert_string_equal(error, expected);
}

/* In the middle of a line it would else hide what is behind it. */
static void test_a_nul_byte_in_the_last_line_is_refused(_unused_ void **state)
{
        static const struct {
                const char *text;
                size_t size;
        } cases[] = {
                { "[callback]\nstrict = yes\0no", 26 },
                { "[callback]\nstrict = yes\0no\n", 27 },
                { "[callback]\nstrict = yes\0", 24 },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_free_ char *error = NULL, *expected = NULL;
                FILE *f = fopen(path, "we");
                Settings s;

                assert_non_null(f);
                assert_int_equal(fwrite(c->text, 1, c->size, f), c->size);
                fclose(f);
                assert_int_equal(settings_load(path, NULL, &s, &error), -EINVAL);
                assert_true(asprintf(&expected, "%s, line 2: expected text, got a NUL byte", path) > 0);
                assert_string_equal(error, expected);
        }
}

/* Nobody has to mend one to hear of the next. */
static void test_all_mistakes_in_one_run(_unused_ void **state)
{
        static const char *const expected[] = {
                "FILE, line 1: strict stands in no section: expected one like [callback] above it",
                "FILE, line 4: [callback] max_body = much can't be read: expected ",
                "FILE, line 5: neither a [section] nor a setting: expected key = value",
                "FILE, line 6: there is no setting stric in [callback]; is strict meant?",
                "FILE, line 7: neither a [section] nor a setting: expected key = value",
                "FILE, line 10: there is no section [sotre]: expected one of ",
                "FILE, line 12: neither a [section] nor a setting: expected key = value", /* a section cut
                                                                                              off */
                "FILE, line 15: [store] min_free = 2048G is out of range: expected at least 0 and at most "
                "1024G",
                "FILE, line 17: longer than the 4094 bytes that a line may have",
                "FILE, line 19: [store] path stands in this file already",
                "FILE, line 20: neither a [section] nor a setting: expected key = value",
                "FILE.d/a.conf, line 2: [callback] invalid_status = 404 can't be read: expected ",
                "-o callback.max_body: expected -o section.key=value",
                "-o query.stric: there is no setting stric in [query]",
                "[query] socket = /a (-o query.socket) is the path of another socket too, [control] socket "
                "= /a "
                "(-o control.socket)",
        };
        const char *items[] = { "callback.max_body", "query.stric=yes", "query.socket=/a",
                "control.socket=/a" };
        const SettingsOverrides overrides = { items, ELEMENTSOF(items) };
        _cleanup_free_ char *error = NULL, *long_line = NULL, *text = NULL, *bad = NULL;
        const char *p, *line;
        size_t size, n = 0;
        Settings s;

        assert_true(asprintf(&long_line, "path = /%05000d", 1) > 0);
        assert_true(asprintf(&text,
                                    "strict = yes\n# a comment\n[callback]\nmax_body = "
                                    "much\nnonsense\nstric = no\n"
                                    "more nonsense\n\n[sotre]\n path = /a\nmin_free = 1M\n[callback\n"
                                    "nothing = 1\n[store]\nmin_free = 2048G\npath = /a\n%s\n; a comment\n"
                                    "path = /b\nthe end",
                                    long_line) > 0);
        write_file(path, text);
        assert_int_equal(mkdir(drop_in_dir, 0700), 0);
        assert_true(asprintf(&bad, "%s/a.conf", drop_in_dir) > 0);
        write_file(bad, "[callback]\ninvalid_status = 404\n");

        assert_int_equal(settings_load(path, &overrides, &s, &error), -EINVAL);
        for (p = error; (line = mistakes_next(&p, &size)); n++) {
                const char *want = expected[MIN(n, ELEMENTSOF(expected) - 1)];
                size_t skip = strncmp(want, "FILE", 4) == 0 ? strlen(path) : 0;

                if (size < skip || strncmp(line + skip, want + (skip ? 4 : 0),
                                                   strlen(want) - (skip ? 4 : 0)) != 0)
                        fail_msg("line %zu is \"%.*s\", wanted was \"%s\"", n, (int)size, line, want);
        }
        assert_int_equal(n, ELEMENTSOF(expected));
        assert_int_equal(unlink(bad), 0);
        assert_int_equal(rmdir(drop_in_dir), 0);
}

/* And what is said is bounded. */
static void test_more_mistakes_than_anybody_reads(_unused_ void **state)
{
        _cleanup_free_ char *error = NULL, *text = calloc(1, 9000);
        const char *p, *line, *last = NULL;
        size_t size, n = 0;
        Settings s;

        assert_non_null(text);
        for (size_t i = 0; i < 1000; i++)
                memcpy(text + i * 9, "nonsense\n", 9 - (i == 999));
        write_file(path, text);
        assert_int_equal(settings_load(path, NULL, &s, &error), -EINVAL);
        for (p = error; (line = mistakes_next(&p, &size)); n++)
                last = line;
        assert_int_equal(n, MISTAKES_MAX);
        assert_string_equal(last, "and there are more");
}

/* Else a file that --dump-config wrote would say something else. */
static void test_overrides_say_what_a_file_can_say(_unused_ void **state)
{
        static const char *const bad[] = { "store.path=/a ;b", "store.path=/a\t;b", "store.path=/a\n[api]",
                "store.path=/a ", "store.path= /a", "store.path=/\x7f", "callback.auth_keys_file=;" };
        static const char *const good[] = { "store.path=/a;b", "store.path=/a b", "store.path=/#",
                "callback.listen=127.0.0.1:1\t127.0.0.1:2", "callback.auth_keys_file=" };
        char name[4096];
        Settings s;

        write_file(path, "");
        for (size_t i = 0; i < ELEMENTSOF(bad) + ELEMENTSOF(good); i++) {
                bool is_good = i >= ELEMENTSOF(bad);
                const char *items[] = { is_good ? good[i - ELEMENTSOF(bad)] : bad[i] };
                const SettingsOverrides overrides = { items, 1 };
                _cleanup_free_ char *error = NULL;

                if ((settings_load(path, &overrides, &s, &error) == 0) != is_good)
                        fail_msg("%s: %s", items[0], strna(error));
                if (is_good)
                        settings_done(&s);
                else
                        assert_non_null(strstr(error, "as a file can have it"));
        }

        /* A path that no line has room for. */
        for (int n = 2047; n <= 2049; n++) {
                const char *items[] = { name };
                const SettingsOverrides overrides = { items, 1 };
                _cleanup_free_ char *error = NULL;

                snprintf(name, sizeof(name), "store.path=/%0*d", n - 1, 0);
                assert_int_equal(settings_load(path, &overrides, &s, &error), n <= 2048 ? 0 : -EINVAL);
                if (n <= 2048)
                        settings_done(&s);
        }
}

static void test_overrides(_unused_ void **state)
{
        static const struct {
                const char *text, *says;
        } cases[] = {
                { "callback.strict", "-o callback.strict: expected -o section.key=value" },
                { "strict=1", "-o strict: expected -o section.key=value" },
                { "callback.nope=1", "-o callback.nope: there is no setting nope in [callback]" },
                { "callback.max_body=128M",
                                "[callback] max_body = 128M (-o callback.max_body) is larger than the "
                                "memory for all bodies together, [callback] max_bodies = 64M (the "
                                "default)" },
                { "query.socket=/run/scale-callbackd/control.sock",
                                "[query] socket = /run/scale-callbackd/control.sock (-o query.socket) is "
                                "the path of another socket too, [control] socket = "
                                "/run/scale-callbackd/control.sock (the default)" },
        };

        write_file(path, "");
        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                const char *items[] = { c->text };
                const SettingsOverrides overrides = { items, 1 };
                _cleanup_free_ char *error = NULL;
                Settings s;

                assert_int_equal(settings_load(path, &overrides, &s, &error), -EINVAL);
                assert_string_equal(error, c->says);
        }
}

/* Two that don't fit together are both named, with where each stands. */
static void test_what_does_not_fit_together_is_named_with_its_places(_unused_ void **state)
{
        _cleanup_free_ char *error = NULL, *expected = NULL;
        Settings s;

        write_file(path, "[callback]\nmax_body = 1K\nmax_bodies = 16M\n");
        assert_int_equal(mkdir(drop_in_dir, 0700), 0);
        write_file(drop_in, "\n[callback]\nmax_body = 20M\n");
        assert_int_equal(settings_load(path, NULL, &s, &error), -EINVAL);
        unlink(drop_in);
        rmdir(drop_in_dir);
        assert_true(asprintf(&expected,
                                    "[callback] max_body = 20M (%s, line 3) is larger than the memory for "
                                    "all bodies together, [callback] max_bodies = 16M (%s, line 3)",
                                    drop_in, path) > 0);
        assert_string_equal(error, expected);
}

/* Whatever is said may be kept in a log for years. */
static void test_a_secret_in_the_wrong_place_is_not_quoted(_unused_ void **state)
{
        static const char *const lines[] = {
                "[api]\nkey_file = canary0123",
                "[callback]\nauth_keys_file = live canary0123",
                "[callback]\nauth_keys_file = ./canary0123",
                "[api]\nkey = canary0123",
                "[api]\nurl = https://user:canary0123@example.com/v1",
                "[api]\nurl = https://canary0123:@example.com/v1",
                "[api]\nurl = canary0123",
                "[submit]\ncallback_url = https://example.com/?key=canary0123",
                "[api]\ncanary0123=",
                "[callback]\nlive canary0123==",
                "[callback]\nlive: canary0123",
                "[callback]\nlive canary0123",
                "[canary0123]\nkey = x",
                "canary0123=",
        };
        static const char *const overrides_texts[] = {
                "api.key=canary0123",
                "api.key_file=canary0123",
                "api.url=https://user:canary0123@x/v1",
                "callback.auth_keys_file=live canary0123",
                "callback.auth_keys_file=/canary0123 ",
                "api.canary0123=",
                "canary0123",
                "canary0123.key=1",
                "live.canary0123",
        };
        size_t n = ELEMENTSOF(lines);

        for (size_t i = 0; i < n + ELEMENTSOF(overrides_texts); i++) {
                const char *items[] = { i < n ? "callback.strict=no" : overrides_texts[i - n] };
                const SettingsOverrides overrides = { items, 1 };
                _cleanup_free_ char *error = NULL;
                Settings s;

                write_file(path, i < n ? lines[i] : "");
                assert_int_equal(settings_load(path, &overrides, &s, &error), -EINVAL);
                if (strstr(error, "canary0123"))
                        fail_msg("%s", error);
        }
}

static void test_missing_file(_unused_ void **state)
{
        _cleanup_free_ char *error = NULL;
        Settings s;

        assert_int_equal(settings_load("/nonexistent/scale.conf", NULL, &s, &error), -ENOENT);
        assert_string_equal(error, "/nonexistent/scale.conf can't be read: No such file or directory");
}

static const char *const all_sections[] = { "callback", "query", "control", "store", "submit", "api",
        "reconcile", NULL };

/* What is dumped can be read, and says the same. */
static void test_dump_there_and_back(_unused_ void **state)
{
        const char *items[] = { "callback.listen=127.0.0.1:0 unix:/run/y",
                "callback.trusted_proxies=2001:db8::/32 192.0.2.1", "store.keep_deliveries=36h",
                "callback.body_timeout=1500ms", "store.min_free=0",
                "submit.callback_url=https://example.com/callback", "api.rate=20" };
        const SettingsOverrides overrides = { items, ELEMENTSOF(items) };
        char *error, *restart = NULL;
        Settings a, b;
        FILE *f;

        write_file(path, "");
        assert_int_equal(settings_load(path, &overrides, &a, &error), 0);
        f = fopen(path, "we");
        assert_int_equal(settings_dump(&a, f), 0);
        fclose(f);
        assert_int_equal(settings_load(path, NULL, &b, &error), 0);
        assert_int_equal(settings_needs_restart(&a, &b, all_sections, &restart), 0);
        assert_null(restart);
        assert_int_equal(b.callback.n_trusted_proxies, 2);
        assert_true(b.store.keep_deliveries == UINT64_C(36) * 3600 * 1000000);
        assert_int_equal(b.callback.body_timeout, 1500000);
        assert_int_equal(b.store.min_free, 0);
        assert_string_equal(b.submit.callback_url, "https://example.com/callback");
        assert_int_equal(b.api.rate, 20);
        assert_true(b.submit.live_per_day == UINT64_MAX);
        settings_done(&a);
        settings_done(&b);
}

static void test_what_needs_a_restart(_unused_ void **state)
{
        const char *items[] = { "callback.listen=127.0.0.1:1", "store.path=/x", "callback.strict=yes" };
        const SettingsOverrides overrides = { items, ELEMENTSOF(items) };
        static const char *const submitter[] = { "submit", "api", NULL };
        _cleanup_free_ char *restart = NULL, *others = NULL;
        Settings a, b;
        char *error;

        write_file(path, "");
        assert_int_equal(settings_load(path, NULL, &a, &error), 0);
        assert_int_equal(settings_load(path, &overrides, &b, &error), 0);
        assert_int_equal(settings_needs_restart(&a, &b, all_sections, &restart), 0);
        assert_string_equal(restart, "[callback] listen, [store] path");
        assert_int_equal(settings_needs_restart(&a, &b, submitter, &others), 0);
        assert_null(others);

        assert_int_equal(settings_keep_until_restart(&a, &b), 0);
        assert_int_equal(settings_needs_restart(&a, &b, all_sections, &others), 0);
        assert_null(others);
        assert_string_equal(b.callback.listen[0], "127.0.0.1:8090");
        assert_true(b.callback.strict);
        settings_done(&a);
        settings_done(&b);
}

static void test_what_is_default(_unused_ void **state)
{
        const char *items[] = { "query.socket=/x", "store.min_free=1G", "submit.socket=" };
        const SettingsOverrides overrides = { items, ELEMENTSOF(items) };
        Settings a, b;
        char *error;

        write_file(path, "");
        assert_int_equal(settings_load(path, NULL, &a, &error), 0);
        assert_int_equal(settings_load(path, &overrides, &b, &error), 0);
        FOREACH_ARRAY(i, settings_table, settings_table_size) {
                bool is_set = streq(i->section, "query") || streq(i->key, "min_free");

                if (!settings_is_default(&a, i->section, i->key) ||
                                settings_is_default(&b, i->section, i->key) == is_set)
                        fail_msg("[%s] %s", i->section, i->key);
        }
        settings_done(&a);
        settings_done(&b);
}

static void append(char *text, size_t size, const char *format, ...) _printf_(3, 4);
static void append(char *text, size_t size, const char *format, ...)
{
        size_t n = strlen(text);
        va_list ap;

        va_start(ap, format);
        assert_in_range(vsnprintf(text + n, size - n, format, ap), 0, size - n - 1);
        va_end(ap);
}

/* Each of its lines that are no comment, and each default, which has a comment above it. */
static void test_the_installed_file_is_the_defaults(_unused_ void **state)
{
        char expected[8192] = "", got[8192] = "", line[256], above[256] = "";
        const char *section = "", *conf = getenv("CONF_FILE");
        FILE *f;

        FOREACH_ARRAY(i, settings_table, settings_table_size) {
                if (!streq(section, i->section))
                        append(expected, sizeof(expected), "[%s]\n", i->section);
                section = i->section;
                append(expected, sizeof(expected), "#%s =%s%s\n", i->key, *i->default_value ? " " : "",
                                i->default_value);
        }

        assert_non_null(conf);
        f = fopen(conf, "re");
        assert_non_null(f);
        while (fgets(line, sizeof(line), f)) {
                if (line[0] == '#' && line[1] != ' ' && strncmp(above, "# ", 2) != 0)
                        fail_msg("%s has nothing to say what it is", line);
                if (line[0] != '\n' && strncmp(line, "# ", 2) != 0)
                        append(got, sizeof(got), "%s", line);
                strcpy(above, line);
        }
        fclose(f);
        assert_string_equal(got, expected);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_file_drop_in_and_override),
                cmocka_unit_test(test_urls_and_paths_in_other_words),
                cmocka_unit_test(test_mistakes),
                cmocka_unit_test(test_a_line_too_long_is_refused_not_split),
                cmocka_unit_test(test_a_long_list_fits_into_a_line),
                cmocka_unit_test(test_too_many),
                cmocka_unit_test(test_paths_of_sockets),
                cmocka_unit_test(test_drop_ins),
                cmocka_unit_test(test_a_nul_byte_is_refused),
                cmocka_unit_test(test_all_mistakes_in_one_run),
                cmocka_unit_test(test_more_mistakes_than_anybody_reads),
                cmocka_unit_test(test_a_nul_byte_in_the_last_line_is_refused),
                cmocka_unit_test(test_overrides_say_what_a_file_can_say),
                cmocka_unit_test(test_overrides),
                cmocka_unit_test(test_what_does_not_fit_together_is_named_with_its_places),
                cmocka_unit_test(test_a_secret_in_the_wrong_place_is_not_quoted),
                cmocka_unit_test(test_missing_file),
                cmocka_unit_test(test_dump_there_and_back),
                cmocka_unit_test(test_what_needs_a_restart),
                cmocka_unit_test(test_what_is_default),
                cmocka_unit_test(test_the_installed_file_is_the_defaults),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
