/* Log lines: which are written, and that each is one line whatever is in it. */

#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "basic/log.h"

#define LINE_SIZE        2048U
#define THREADS          4U
#define LINES_PER_THREAD 500U
#define CAPTURE_SIZE     (512U * 1024)

static char captured[CAPTURE_SIZE];
static int file = -1, saved_stderr = -1;

/* From here to capture_end() standard error is a file, which is no terminal. */
static void capture_begin(void)
{
        fflush(stderr);
        saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        file = memfd_create("log", MFD_CLOEXEC);
        /* Appending: memory files don't lock their position for the writers that share it. */
        if (saved_stderr < 0 || file < 0 || fcntl(file, F_SETFL, O_APPEND) < 0 ||
                        dup2(file, STDERR_FILENO) < 0)
                abort();
}

/* What was written, as a text; only asserts once standard error is back. */
static const char *capture_end(void)
{
        ssize_t n;

        if (dup2(saved_stderr, STDERR_FILENO) < 0)
                abort();
        close(saved_stderr);
        n = pread(file, captured, sizeof(captured) - 1, 0);
        close(file);
        assert_true(n >= 0 && (size_t)n < sizeof(captured) - 1);
        captured[n] = 0;
        return captured;
}

static int reset_level(_unused_ void **state)
{
        log_set_max_level(LOG_INFO);
        return 0;
}

static void test_levels(_unused_ void **state)
{
        capture_begin();
        log_debug("one %d", 1);
        log_info("two %d", 2);
        log_set_max_level(LOG_ERR);
        log_warning("three");
        log_error("four");
        log_set_max_level(LOG_DEBUG);
        log_debug("five");
        assert_string_equal(capture_end(), "<6>two 2\n<3>four\n<7>five\n");
}

/* Either sign is taken, the negative one is given back, also when nothing is written. */
static void test_errors_have_their_text(_unused_ void **state)
{
        int r[3];

        capture_begin();
        r[0] = log_error_errno(-ENOENT, "reading %s", "/x");
        r[1] = log_warning_errno(ENOSPC, "writing");
        r[2] = log_debug_errno(EIO, "not written");
        assert_string_equal(capture_end(), "<3>reading /x: No such file or directory\n"
                                           "<4>writing: No space left on device\n");
        assert_int_equal(r[0], -ENOENT);
        assert_int_equal(r[1], -ENOSPC);
        assert_int_equal(r[2], -EIO);
}

static void test_out_of_memory(_unused_ void **state)
{
        int r;

        capture_begin();
        r = log_oom();
        assert_string_equal(capture_end(), "<3>Out of memory.\n");
        assert_int_equal(r, -ENOMEM);
}

static void test_errno_is_kept(_unused_ void **state)
{
        int after[2];

        capture_begin();
        errno = EAGAIN;
        log_info("x");
        after[0] = errno;
        log_error_errno(EIO, "y");
        after[1] = errno;
        capture_end();
        assert_int_equal(after[0], EAGAIN);
        assert_int_equal(after[1], EAGAIN);
}

/* A peer can't make up a line of its own. */
static void test_one_line_stays_one_line(_unused_ void **state)
{
        capture_begin();
        log_info("%s", "a\n<0>forged\r\t\x1b[2J\x7f \xc3\xa9");
        assert_string_equal(capture_end(), "<6>a?<0>forged???[2J? \xc3\xa9\n");
}

static void test_long_lines_are_cut(_unused_ void **state)
{
        static char text[3 * LINE_SIZE];
        const char *got;

        memset(text, 'x', sizeof(text) - 1);
        capture_begin();
        log_info("%s", text);
        log_error_errno(EIO, "%s", text);
        log_info("next");
        got = capture_end();

        assert_memory_equal(got, "<6>xxx", 6);
        for (unsigned i = 0; i < 2; i++) {
                const char *end = strchr(got, '\n');

                assert_non_null(end);
                assert_in_range((size_t)(end - got), LINE_SIZE - 2 * sizeof("<6>"), LINE_SIZE - 1);
                got = end + 1;
        }
        assert_string_equal(got, "<6>next\n");
}

static void *write_lines(void *letter)
{
        char text[200];

        memset(text, *(const char *)letter, sizeof(text) - 1);
        text[sizeof(text) - 1] = 0;
        for (unsigned i = 0; i < LINES_PER_THREAD; i++)
                log_info("%s", text);
        return NULL;
}

static void test_lines_of_threads_do_not_mix(_unused_ void **state)
{
        static const char letters[THREADS + 1] = "abcd";
        pthread_t threads[THREADS];
        char *rest = NULL;
        unsigned n = 0;

        capture_begin();
        for (unsigned i = 0; i < THREADS; i++)
                if (pthread_create(&threads[i], NULL, write_lines, (void *)&letters[i]) != 0)
                        abort();
        for (unsigned i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        capture_end();

        for (char *line = strtok_r(captured, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
                const char one[] = { line[3], 0 };

                assert_int_equal(strlen(line), 3 + 199);
                assert_int_equal(strspn(line + 3, one), 199);
                n++;
        }
        assert_int_equal(n, THREADS * LINES_PER_THREAD);
}

typedef struct Taken {
        int level;
        char id[40], text[200], field[40];
        size_t n;
        bool take;
} Taken;

static Taken taken;

static bool take(int level, const char *id, const LogField *fields, size_t n, const char *text)
{
        taken.level = level;
        taken.n = n;
        snprintf(taken.id, sizeof(taken.id), "%s", id ?: "none");
        snprintf(taken.text, sizeof(taken.text), "%s", text);
        snprintf(taken.field, sizeof(taken.field), "%s=%s", n > 0 ? strna(fields[0].name) : "",
                        n > 0 ? strna(fields[0].text) : "");
        return taken.take;
}

/* What the sink takes is not written; what it doesn't take is. */
static void test_sink(_unused_ void **state)
{
        taken = (Taken){ .take = true };
        log_set_sink(take);
        capture_begin();
        log_event(LOG_WARNING, "id", LOG_FIELDS(LOG_TEXT("TASK_ID", "a\nb"), LOG_NUMBER("N", 5)),
                        "five %d\n", 5);
        assert_string_equal(capture_end(), "");
        assert_int_equal(taken.level, LOG_WARNING);
        assert_int_equal(taken.n, 2);
        assert_string_equal(taken.id, "id");
        assert_string_equal(taken.text, "five 5?");
        assert_string_equal(taken.field, "TASK_ID=a\nb");

        capture_begin();
        log_debug("not wanted");
        assert_string_equal(capture_end(), "");
        assert_string_equal(taken.text, "five 5?");

        taken.take = false;
        capture_begin();
        log_error("written");
        assert_string_equal(capture_end(), "<3>written\n");
        assert_string_equal(taken.id, "none");
        log_set_sink(NULL);

        capture_begin();
        log_event(LOG_ERR, "id", LOG_FIELDS(LOG_TEXT("A", NULL)), "plain");
        assert_string_equal(capture_end(), "<3>plain\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(test_levels, reset_level),
                cmocka_unit_test(test_sink),
                cmocka_unit_test(test_errors_have_their_text),
                cmocka_unit_test(test_out_of_memory),
                cmocka_unit_test(test_errno_is_kept),
                cmocka_unit_test(test_one_line_stays_one_line),
                cmocka_unit_test(test_long_lines_are_cut),
                cmocka_unit_test(test_lines_of_threads_do_not_mix),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
