/* Tables: columns under each other, cut on a terminal, whole elsewhere. */

#include "test.h"

#include <stdio.h>
#include <unistd.h>

#include "scalectl/table.h"

static const Column columns[] = { { "N", true }, { "NAME", false }, { "TEXT", false } };

/* What table_print() writes to standard output. */
static void expect(const Table *t, Term term, const char *text)
{
        char path[] = "/tmp/test-table-XXXXXX", got[1024];
        int saved, fd = mkstemp(path);
        ssize_t n;

        assert_true(fd >= 0);
        fflush(stdout);
        saved = dup(STDOUT_FILENO);
        dup2(fd, STDOUT_FILENO);
        assert_int_equal(table_print(t, &term), 0);
        fflush(stdout);
        dup2(saved, STDOUT_FILENO);
        close(saved);
        n = pread(fd, got, sizeof(got) - 1, 0);
        close(fd);
        unlink(path);
        assert_true(n >= 0);
        got[n] = 0;
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
        expect(&t, (Term){ .width = 24 },
                        "  N  NAME         TEXT\n"
                        "  1  a            short\n"
                        "100  longer name  caf\xc3\xa9 \xe2\x80\xa6\n");
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
                cmocka_unit_test(test_colour),
                cmocka_unit_test(test_lack_of_memory_is_remembered),
        };

        term_set_locale();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
