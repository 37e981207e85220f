/* Output files: whole or not there, and nothing replaced that is no file. */

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "test.h"

#include "scalectl/text/output.h"

static char dir[] = "/tmp/test-output-XXXXXX", path[64], other[64];

static int set_up(_unused_ void **state)
{
        strcpy(dir + strlen(dir) - 6, "XXXXXX");
        if (!mkdtemp(dir))
                return -1;
        snprintf(path, sizeof(path), "%s/file", dir);
        snprintf(other, sizeof(other), "%s/other", dir);
        return 0;
}

static int tear_down(_unused_ void **state)
{
        (void)unlink(path);
        (void)unlink(other);
        return rmdir(dir); /* fails when something was left behind */
}

static void expect_content(const char *name, const char *text)
{
        char got[64] = "";
        FILE *f = fopen(name, "re");

        assert_non_null(f);
        assert_true(fread(got, 1, sizeof(got) - 1, f) < sizeof(got) - 1 && !ferror(f));
        fclose(f);
        assert_string_equal(got, text);
}

static void put_file(const char *name, const char *text)
{
        FILE *f = fopen(name, "we");

        assert_non_null(f);
        fputs(text, f);
        assert_int_equal(fclose(f), 0);
}

static void expect_files(unsigned n)
{
        DIR *d = opendir(dir);
        unsigned found = 0;

        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d));)
                found += e->d_name[0] != '.';
        closedir(d);
        assert_int_equal(found, n);
}

static void write_all(const char *name, const char *text)
{
        Output o;

        assert_int_equal(output_open(name, &o), 0);
        assert_int_equal(output_write(&o, text, strlen(text)), 0);
        assert_int_equal(o.size, strlen(text));
        assert_int_equal(output_finish(&o), 0);
        output_done(&o);
}

static void test_takes_its_name_at_the_end(_unused_ void **state)
{
        struct stat st;
        Output o;

        put_file(path, "old");
        assert_int_equal(output_open(path, &o), 0);
        assert_int_equal(output_write(&o, "new\x1b", 4), 0);
        expect_content(path, "old");
        assert_int_equal(output_finish(&o), 0);
        output_done(&o);
        expect_content(path, "new\x1b");
        expect_files(1);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_unfinished_is_thrown_away(_unused_ void **state)
{
        Output o;

        put_file(path, "old");
        assert_int_equal(output_open(path, &o), 0);
        assert_int_equal(output_write(&o, "new", 3), 0);
        output_done(&o);
        expect_content(path, "old");
        expect_files(1);
}

static void test_a_signal_leaves_nothing_behind(_unused_ void **state)
{
        static const int signals[] = { SIGHUP, SIGINT, SIGTERM };

        FOREACH_ARRAY(s, signals, ELEMENTSOF(signals)) {
                pid_t pid = fork();
                int status;

                assert_true(pid >= 0);
                if (pid == 0) {
                        Output o;

                        (void)signal(*s, SIG_DFL); /* whoever runs this may ignore it */
                        if (output_open(path, &o) == 0 && output_write(&o, "new", 3) == 0)
                                raise(*s);
                        _exit(0);
                }
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status));
                assert_int_equal(WTERMSIG(status), *s);
                expect_files(0);
        }
}

static void test_a_link_stays_one(_unused_ void **state)
{
        struct stat st;

        put_file(other, "old");
        assert_int_equal(symlink("other", path), 0);
        write_all(path, "new");
        assert_int_equal(lstat(path, &st), 0);
        assert_true(S_ISLNK(st.st_mode));
        expect_content(other, "new");
        expect_files(2);
}

/* /dev/null was once a file after an export to it; a pipe does for it here, because anybody can make one. */
static void test_what_is_no_file_is_not_replaced(_unused_ void **state)
{
        char got[8] = "";
        struct stat st;
        int fd;

        assert_int_equal(mkfifo(path, 0600), 0);
        fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        assert_true(fd >= 0);
        write_all(path, "new");
        assert_int_equal(read(fd, got, sizeof(got)), 3);
        close(fd);
        assert_string_equal(got, "new");
        assert_int_equal(lstat(path, &st), 0);
        assert_true(S_ISFIFO(st.st_mode));
        expect_files(1);
}

static void test_refuses(_unused_ void **state)
{
        char name[128];
        Output o;

        snprintf(name, sizeof(name), "%s/none/file", dir);
        assert_int_equal(output_open(name, &o), EX_CANTCREAT);
        assert_int_equal(output_open(dir, &o), EX_CANTCREAT);
        assert_int_equal(output_open("/dev/full", &o), 0);
        (void)output_write(&o, "text", 4);
        assert_int_equal(output_finish(&o), EX_IOERR);
        output_done(&o);
        expect_files(0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_takes_its_name_at_the_end),
                TEST(test_unfinished_is_thrown_away),
                TEST(test_a_signal_leaves_nothing_behind),
                TEST(test_a_link_stays_one),
                TEST(test_what_is_no_file_is_not_replaced),
                TEST(test_refuses),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
