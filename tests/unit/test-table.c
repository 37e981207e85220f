/* Tables: columns under each other, within a terminal, whole elsewhere, safe everywhere. */

#include "test.h"

#include <stdio.h>
#include <unistd.h>

#include "scalectl/text/format.h"
#include "scalectl/text/table.h"

static const Column columns[] = { { "N", true, false }, { "NAME", false, true }, { "TEXT", false, false } };

/* What table_print() writes to standard output, to be freed. */
static char *print(const Table *t, Term term)
{
        char path[] = "/tmp/test-table-XXXXXX";
        _cleanup_free_ char *got = calloc(1, 4096);
        int saved, fd = mkstemp(path);

        assert_true(got && fd >= 0);
        assert_int_equal(unlink(path), 0);
        fflush(stdout);
        saved = dup(STDOUT_FILENO);
        dup2(fd, STDOUT_FILENO);
        assert_int_equal(table_print(t, &term), 0);
        fflush(stdout);
        dup2(saved, STDOUT_FILENO);
        close(saved);
        assert_true(pread(fd, got, 4095, 0) >= 0);
        close(fd);
        return TAKE_PTR(got);
}

static void expect(const Table *t, Term term, const char *text)
{
        _cleanup_free_ char *got = print(t, term);

        assert_string_equal(got, text);
}

static void fill(Table *t)
{
        static const char *const cells[] = { "1", "a", "short", "100", "longer name",
                "caf\xc3\xa9 and more text" };

        *t = TABLE_INIT(columns);
        FOREACH_ARRAY(c, cells, ELEMENTSOF(cells))
                table_add_text(t, *c);
        assert_int_equal(t->n_rows, 2);
}

static void test_whole(_unused_ void **state)
{
        Table t;

        fill(&t);
        expect(&t, (Term){},
                        "  N  NAME         TEXT\n"
                        "  1  a            short\n"
                        "100  longer name  caf\xc3\xa9 and more text\n");
        table_done(&t);
}

static void test_cut(_unused_ void **state)
{
        Table t;

        fill(&t);
        expect(&t, (Term){ .width = 15 },
                        "  N  TEXT\n"
                        "  1  short\n"
                        "100  caf\xc3\xa9 and \xe2\x80\xa6\n");
        table_done(&t);
}

/* A column that can be done without makes room for the last one, which is what the others are about. */
static void test_leaves_out(_unused_ void **state)
{
        Table t;

        fill(&t);
        expect(&t, (Term){ .width = 24 },
                        "  N  TEXT\n"
                        "  1  short\n"
                        "100  caf\xc3\xa9 and more text\n");
        table_done(&t);
}

/* However narrow, and whatever is in it: no line is wider than the terminal. */
static void test_never_wider(_unused_ void **state)
{
        static const char wide[] =
                        "\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac";

        for (unsigned width = 1; width < 60; width++) {
                _cleanup_free_ char *printed = NULL;
                Table t;

                fill(&t);
                table_add_text(&t, "123456789012345678901234567890");
                table_add_text(&t, wide);
                table_add_text(&t, wide);
                printed = print(&t, (Term){ .width = width });
                for (char *rest = printed, *line; (line = strsep(&rest, "\n"));)
                        if (format_width(line) > width)
                                fail_msg("%u: %s", width, line);
                table_done(&t);
        }
}

/* The one door: also what was given as the table's own text is made safe. */
static void test_is_safe(_unused_ void **state)
{
        static const char evil[] = "a\x1b[2J\x7f\nb\tc\xc2\x9b\xff";
        Table t = TABLE_INIT(columns);

        table_add(&t, strdup(evil));
        table_add_text(&t, evil);
        table_add_text(&t, NULL);
        assert_int_equal(t.n_rows, 1);
        for (size_t i = 0; i < 2; i++)
                assert_string_equal(t.cells[i], "a\xef\xbf\xbd[2J\xef\xbf\xbd b c\xef\xbf\xbd\xef\xbf\xbd");
        assert_string_equal(t.cells[2], "");
        table_done(&t);
}

static void test_colour(_unused_ void **state)
{
        Table t = TABLE_INIT(columns);

        expect(&t, (Term){ .width = 80, .colour = true }, "\x1b[1mN  NAME  TEXT\n\x1b[0m");
        table_done(&t);
}

static void test_lack_of_memory_is_remembered(_unused_ void **state)
{
        Table t = TABLE_INIT(columns);
        Term term = {};

        table_add(&t, NULL);
        assert_int_equal(table_print(&t, &term), -ENOMEM);
        table_done(&t);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_whole),
                cmocka_unit_test(test_cut),
                cmocka_unit_test(test_leaves_out),
                cmocka_unit_test(test_never_wider),
                cmocka_unit_test(test_is_safe),
                cmocka_unit_test(test_colour),
                cmocka_unit_test(test_lack_of_memory_is_remembered),
        };

        term_set_locale();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
