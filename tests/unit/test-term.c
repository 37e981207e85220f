/* What is said on a terminal, and what a terminal is. */

#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "scalectl/text/term.h"

#define BAD "\xef\xbf\xbd"

/* Filters `in` in pieces of `step` bytes. */
static void expect_filtered(const char *in, size_t size, size_t step, const char *out)
{
        char buf[512] = "";
        FILE *f = fmemopen(buf, sizeof(buf), "w");
        TermFilter filter = {};

        assert_non_null(f);
        for (size_t i = 0; i < size; i += step)
                assert_int_equal(term_filter(&filter, in + i, MIN(step, size - i), f), 0);
        assert_int_equal(term_filter_end(&filter, f), 0);
        fclose(f);
        assert_string_equal(buf, out);
}

/* The same however the bytes are cut into pieces. */
static void test_filter(_unused_ void **state)
{
        static const struct {
                const char *in;
                size_t size; /* 0: up to the NUL */
                const char *out;
        } cases[] = {
                { "plain\ttext\n", 0, "plain\ttext\n" },
                { "\x1b[2J\x07\x7f\r\n", 0, BAD "[2J" BAD BAD BAD "\n" },
                { "caf\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x98\x80", 0,
                                "caf\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x98\x80" },
                { "\xc2\x9b"
                  "31m",
                                0, BAD "31m" },        /* an escape sequence in one character */
                { "\xe2\x80\xae", 0, BAD },            /* would turn the line around */
                { "\x9b\xff", 0, BAD BAD },            /* bytes that are no UTF-8 */
                { "a\0b", 3, "a" BAD "b" },            /* a NUL */
                { "\xe6\x97x", 0, BAD "x" },           /* cut short by a character */
                { "\xe6\x97\x1b", 0, BAD BAD },        /* by a control character */
                { "\xe6\xc3\xa9", 0, BAD "\xc3\xa9" }, /* by the front of another */
                { "\xe6\x97", 0, BAD },                /* by the end */
                { "", 0, "" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases))
                for (size_t step = 1; step < 8; step++)
                        expect_filtered(c->in, c->size > 0 ? c->size : strlen(c->in), step, c->out);
}

static void test_filter_tells_of_a_full_disk(_unused_ void **state)
{
        FILE *f = fopen("/dev/full", "we");
        TermFilter filter = {};

        assert_non_null(f);
        (void)term_filter(&filter, "text", 4, f);
        assert_int_equal(term_filter_end(&filter, f), -EIO);
        fclose(f);
}

/* What is no terminal has no width and no colour, whatever the environment wishes for. */
static void test_no_terminal(_unused_ void **state)
{
        int fds[2];
        Term term;

        assert_int_equal(pipe(fds), 0);
        setenv("COLUMNS", "100", 1);
        unsetenv("NO_COLOR");
        term = term_of(fds[1]);
        assert_int_equal(term.width, 0);
        assert_false(term.colour);
        close(fds[0]);
        close(fds[1]);
}

static Term on_terminal(int fd, const char *columns, const char *no_color, const char *term)
{
        setenv("COLUMNS", columns, 1);
        setenv("NO_COLOR", no_color, 1);
        setenv("TERM", term, 1);
        return term_of(fd);
}

static void test_terminal(_unused_ void **state)
{
        int fd = posix_openpt(O_RDWR | O_NOCTTY);

        assert_true(fd >= 0);
        if (!isatty(fd))
                skip();
        assert_int_equal(on_terminal(fd, "100", "", "xterm").width, 100);
        assert_true(on_terminal(fd, "100", "", "xterm").colour);
        assert_false(on_terminal(fd, "100", "1", "xterm").colour);
        assert_false(on_terminal(fd, "100", "", "dumb").colour);
        assert_int_equal(on_terminal(fd, "nonsense", "", "xterm").width, 80);
        assert_int_equal(on_terminal(fd, "0", "", "xterm").width, 80);
        close(fd);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_filter),
                cmocka_unit_test(test_filter_tells_of_a_full_disk),
                cmocka_unit_test(test_no_terminal),
                cmocka_unit_test(test_terminal),
        };

        term_set_locale();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
