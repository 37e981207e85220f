/* Sizes of images: from a list, and from a folder. */

#include "test.h"

#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "scalectl/export/sizes.h"

static char dir[] = "/tmp/test-sizes-XXXXXX", list[64], image[64];

static int set_up(_unused_ void **state)
{
        strcpy(dir + strlen(dir) - 6, "XXXXXX");
        if (!mkdtemp(dir))
                return -1;
        snprintf(list, sizeof(list), "%s/list.csv", dir);
        snprintf(image, sizeof(image), "%s/cows.png", dir);
        return 0;
}

static int tear_down(_unused_ void **state)
{
        (void)remove(list);
        (void)remove(image);
        return rmdir(dir);
}

static void put_file(const char *name, const void *data, size_t size)
{
        FILE *f = fopen(name, "we");

        assert_non_null(f);
        assert_int_equal(fwrite(data, 1, size, f), size);
        assert_int_equal(fclose(f), 0);
}

static void put_list(const char *text)
{
        put_file(list, text, strlen(text));
}

static void expect(Sizes *s, const char *url, const char *name, uint32_t width, uint32_t height)
{
        ImageSize size;

        assert_int_equal(sizes_find(s, url, name, &size), 1);
        assert_int_equal(size.width, width);
        assert_int_equal(size.height, height);
}

static void test_list(_unused_ void **state)
{
        _cleanup_(sizes_done) Sizes s = SIZES_INIT;
        ImageSize size;

        put_list("image,width,height\nhttp://x/"
                 "a.jpg,1,2\na.jpg,3,4\n\n\"b,c.jpg\",5,6\r\na.jpg,7,8\nlast.png,9,10");
        assert_int_equal(sizes_open(list, NULL, &s), 0);
        expect(&s, "http://x/a.jpg", "a.jpg", 1, 2);
        expect(&s, "http://y/a.jpg", "a.jpg", 3, 4); /* the first of the two */
        expect(&s, "http://x/b%2cc.jpg", "b,c.jpg", 5, 6);
        expect(&s, "", "last.png", 9, 10);
        assert_int_equal(sizes_find(&s, "http://x/d.jpg", "d.jpg", &size), 0);
        assert_int_equal(sizes_find(&s, "image", "image", &size), 0);
}

static void test_many(_unused_ void **state)
{
        _cleanup_(sizes_done) Sizes s = SIZES_INIT;
        FILE *f = fopen(list, "we");
        char name[32];

        assert_non_null(f);
        for (unsigned i = 1; i <= 5000; i++)
                fprintf(f, "%u.jpg,%u,%u\n", i, i, 2 * i);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(sizes_open(list, NULL, &s), 0);
        for (unsigned i = 1; i <= 5000; i += 7) {
                snprintf(name, sizeof(name), "%u.jpg", i);
                expect(&s, "http://x/", name, i, 2 * i);
        }
}

static void test_bad_lists(_unused_ void **state)
{
        Sizes s;

        assert_int_equal(sizes_open(list, NULL, &s), EX_NOINPUT);
        assert_int_equal(sizes_open(NULL, "/none/of/this", &s), EX_NOINPUT);
        put_list("a.jpg,1,2\nb.jpg,1\n");
        assert_int_equal(sizes_open(list, NULL, &s), EX_DATAERR);
        put_list("\xef\xbb\xbfimage,width,height\r\n");
        assert_int_equal(sizes_open(list, NULL, &s), 0);
        sizes_done(&s);
        put_list("");
        assert_int_equal(sizes_open(list, NULL, &s), 0);
        sizes_done(&s);
}

/* Of a set of one image it would be all there is. */
static void test_a_mistake_in_the_first_line_is_no_header(_unused_ void **state)
{
        static const char *const lists[] = { "a.png,100\n", "a.png,100\nb.png,1,2\n", "a.png;100;200\n",
                "a.png,100,2x\n", "a.png\n" };
        Sizes s;

        FOREACH_ARRAY(text, lists, ELEMENTSOF(lists)) {
                put_list(*text);
                assert_int_equal(sizes_open(list, NULL, &s), EX_DATAERR);
        }
}

static void test_a_list_that_changes(_unused_ void **state)
{
        _cleanup_(sizes_done) Sizes s = SIZES_INIT;
        ImageSize size;

        put_list("a.jpg,1,2\n");
        assert_int_equal(sizes_open(list, NULL, &s), 0);
        put_list("a.jpg\n");
        assert_int_equal(sizes_find(&s, "", "a.jpg", &size), -ESTALE);
}

static void test_images(_unused_ void **state)
{
        static const uint8_t png[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0, 13, 'I', 'H',
                'D', 'R', 0, 0, 0x02, 0x80, 0, 0, 0x01, 0xe0 };
        _cleanup_(sizes_done) Sizes s = SIZES_INIT;
        ImageSize size;

        assert_int_equal(sizes_open(NULL, dir, &s), 0);
        assert_int_equal(sizes_find(&s, "", "cows.png", &size), 0);
        put_file(image, png, sizeof(png));
        expect(&s, "http://x/cows.png", "cows.png", 640, 480);
        put_file(image, png, sizeof(png) - 1);
        assert_int_equal(sizes_find(&s, "", "cows.png", &size), 0);
        put_file(image, "", 0);
        assert_int_equal(sizes_find(&s, "", "cows.png", &size), 0);
}

/* The frame of a camera's JPEG lies behind a preview and a profile; what never ends is given up. */
static void test_far_into_the_file(_unused_ void **state)
{
        static uint8_t jpeg[4 * 1024 * 1024] = { 0xff, 0xd8 };
        static const uint8_t frame[] = { 0xff, 0xc0, 0, 17, 8, 0x01, 0xe0, 0x02, 0x80 };
        _cleanup_(sizes_done) Sizes s = SIZES_INIT;
        ImageSize size;
        size_t at = 2;

        for (unsigned i = 0; i < 10; i++, at += 0x10001)
                memcpy(jpeg + at, "\xff\xe2\xff\xff", 4);
        memcpy(jpeg + at, frame, sizeof(frame));
        assert_int_equal(sizes_open(NULL, dir, &s), 0);
        put_file(image, jpeg, at + sizeof(frame));
        expect(&s, "", "cows.png", 640, 480);

        for (unsigned i = 0; i < 40; i++, at += 0x10001)
                memcpy(jpeg + at, "\xff\xe2\xff\xff", 4);
        put_file(image, jpeg, at);
        assert_int_equal(sizes_find(&s, "", "cows.png", &size), 0);
}

/* A pipe would keep it waiting for ever. */
static void test_what_is_no_file(_unused_ void **state)
{
        _cleanup_(sizes_done) Sizes s = SIZES_INIT;
        ImageSize size;

        assert_int_equal(sizes_open(NULL, dir, &s), 0);
        assert_int_equal(mkfifo(image, 0600), 0);
        assert_int_equal(sizes_find(&s, "", "cows.png", &size), 0);
        assert_int_equal(unlink(image), 0);
        assert_int_equal(mkdir(image, 0700), 0);
        assert_int_equal(sizes_find(&s, "", "cows.png", &size), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_list),
                TEST(test_many),
                TEST(test_bad_lists),
                TEST(test_a_mistake_in_the_first_line_is_no_header),
                TEST(test_a_list_that_changes),
                TEST(test_images),
                TEST(test_far_into_the_file),
                TEST(test_what_is_no_file),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
