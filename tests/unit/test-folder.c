/* Output folders: whole or not there, and nothing that was there is lost. */

#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "scalectl/export/folder.h"

static char dir[] = "/tmp/test-folder-XXXXXX", path[64];

static int set_up(_unused_ void **state)
{
        strcpy(dir + strlen(dir) - 6, "XXXXXX");
        if (!mkdtemp(dir))
                return -1;
        snprintf(path, sizeof(path), "%s/out", dir);
        return 0;
}

static void drop(const char *name)
{
        char full[128];

        snprintf(full, sizeof(full), "%s/%s", dir, name);
        (void)remove(full);
}

static int tear_down(_unused_ void **state)
{
        static const char *const names[] = { "out/labels/a.txt", "out/labels", "out/index.csv", "out/mine",
                "link", "out" };

        FOREACH_ARRAY(n, names, ELEMENTSOF(names))
                drop(*n);
        return rmdir(dir); /* fails when something was left behind */
}

static void expect_content(const char *name, const char *text)
{
        char full[128], got[64] = "";
        FILE *f;

        snprintf(full, sizeof(full), "%s/%s", dir, name);
        f = fopen(full, "re");
        assert_non_null(f);
        assert_true(fread(got, 1, sizeof(got) - 1, f) < sizeof(got) - 1);
        fclose(f);
        assert_string_equal(got, text);
}

static unsigned count(const char *folder)
{
        DIR *d = opendir(folder);
        unsigned n = 0;

        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d));)
                n += e->d_name[0] != '.';
        closedir(d);
        return n;
}

static void fill(Folder *f, const char *name)
{
        assert_int_equal(folder_open(name, "index.csv", f), 0);
        assert_int_equal(folder_write(f, "one\n", 4), 0);
        assert_int_equal(folder_put(f, "labels/a.txt", "a", 1), 0);
        assert_int_equal(folder_put(f, "labels/a.txt", "b", 1), 1);
}

static void test_takes_its_name_at_the_end(_unused_ void **state)
{
        struct stat st;
        char name[80];
        Folder f;

        snprintf(name, sizeof(name), "%s/", path);
        fill(&f, name);
        assert_int_equal(stat(path, &st), -1);
        assert_int_equal(folder_finish(&f), 0);
        folder_done(&f);
        expect_content("out/index.csv", "one\n");
        expect_content("out/labels/a.txt", "a");
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
        assert_int_equal(count(dir), 1);
}

static void test_unfinished_is_thrown_away(_unused_ void **state)
{
        Folder f;

        fill(&f, path);
        folder_done(&f);
        assert_int_equal(count(dir), 0);
}

static void test_an_empty_folder_is_replaced(_unused_ void **state)
{
        char link[80];
        Folder f;

        snprintf(link, sizeof(link), "%s/link", dir);
        assert_int_equal(mkdir(path, 0755), 0);
        assert_int_equal(symlink("out", link), 0);
        fill(&f, link);
        assert_int_equal(folder_finish(&f), 0);
        folder_done(&f);
        expect_content("out/labels/a.txt", "a");
        assert_int_equal(count(dir), 2);
}

static void test_what_is_there_is_left_alone(_unused_ void **state)
{
        char mine[80];
        Folder f;
        int fd;

        assert_int_equal(mkdir(path, 0755), 0);
        snprintf(mine, sizeof(mine), "%s/mine", path);
        fd = open(mine, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(folder_open(path, "index.csv", &f), EX_CANTCREAT);
        assert_int_equal(folder_open(mine, "index.csv", &f), EX_CANTCREAT);
        assert_int_equal(count(path), 1);
        assert_int_equal(folder_open("/none/of/this", "index.csv", &f), EX_CANTCREAT);
}

/* What came meanwhile is not replaced either. */
static void test_filled_meanwhile(_unused_ void **state)
{
        char mine[80];
        Folder f;

        fill(&f, path);
        assert_int_equal(mkdir(path, 0755), 0);
        snprintf(mine, sizeof(mine), "%s/mine", path);
        assert_int_equal(mkdir(mine, 0755), 0);
        assert_int_equal(folder_finish(&f), EX_IOERR);
        folder_done(&f);
        assert_int_equal(count(path), 1);
        assert_int_equal(count(dir), 1);
}

static void test_a_signal_leaves_nothing_behind(_unused_ void **state)
{
        static const int signals[] = { SIGHUP, SIGINT, SIGTERM };

        FOREACH_ARRAY(s, signals, ELEMENTSOF(signals)) {
                pid_t pid = fork();
                int status;

                assert_true(pid >= 0);
                if (pid == 0) {
                        Folder f;

                        (void)signal(*s, SIG_DFL); /* whoever runs this may ignore it */
                        if (folder_open(path, "index.csv", &f) != 0 ||
                                        folder_put(&f, "labels/a.txt", "a", 1) != 0 || folder_interrupted())
                                _exit(1);
                        raise(*s);
                        if (!folder_interrupted())
                                _exit(2);
                        folder_done(&f);
                        _exit(3);
                }
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status));
                assert_int_equal(WTERMSIG(status), *s);
                assert_int_equal(count(dir), 0);
        }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_takes_its_name_at_the_end),
                TEST(test_unfinished_is_thrown_away),
                TEST(test_an_empty_folder_is_replaced),
                TEST(test_what_is_there_is_left_alone),
                TEST(test_filled_meanwhile),
                TEST(test_a_signal_leaves_nothing_behind),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
