/* Sizes of images: what they say, damaged ones, and lines of a list. */

#include "test.h"

#include "export/image-size.h"

static const uint8_t png[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0, 13, 'I', 'H', 'D', 'R',
        0, 0, 0x02, 0x80, 0, 0, 0x01, 0xe0, 8, 2, 0, 0, 0 };

/* A comment, a fill byte, a marker that stands alone, a table, then the frame: 640 by 480. */
static const uint8_t jpeg[] = { 0xff, 0xd8, 0xff, 0xfe, 0, 4, 0xff, 0xc0, 0xff, 0xff, 0xd0, 0xff, 0xc4, 0, 3,
        0, 0xff, 0xc2, 0, 17, 8, 0x01, 0xe0, 0x02, 0x80, 3 };

static void expect(const void *data, size_t size, uint32_t width, uint32_t height)
{
        ImageSize s;

        assert_int_equal(image_size_read(data, size, &s), 0);
        assert_int_equal(s.width, width);
        assert_int_equal(s.height, height);
}

static void test_sizes(_unused_ void **state)
{
        expect(png, sizeof(png), 640, 480);
        expect(jpeg, sizeof(jpeg), 640, 480);
}

/* Each part of a file says that more is needed, up to where the size stands; nothing is read behind it. */
static void test_parts(_unused_ void **state)
{
        ImageSize s;

        for (size_t n = 0; n < 24; n++) {
                _cleanup_free_ uint8_t *part = memcpy(malloc(n + 1), png, n);

                assert_int_equal(image_size_read(part, n, &s), -ENODATA);
        }
        for (size_t n = 0; n < sizeof(jpeg) - 1; n++) {
                _cleanup_free_ uint8_t *part = memcpy(malloc(n + 1), jpeg, n);

                assert_int_equal(image_size_read(part, n, &s), -ENODATA);
        }
}

static void expect_none(const uint8_t *data, size_t size, size_t at, uint8_t value)
{
        uint8_t copy[64];
        ImageSize s;

        memcpy(copy, data, size);
        copy[at] = value;
        assert_int_equal(image_size_read(copy, size, &s), -EBADMSG);
}

static void test_damaged(_unused_ void **state)
{
        ImageSize s;

        assert_int_equal(image_size_read("GIF89a", 6, &s), -EBADMSG);
        expect_none(png, sizeof(png), 12, 'i');    /* another chunk first */
        expect_none(png, sizeof(png), 16, 0x7f);   /* too wide to be true */
        expect_none(jpeg, sizeof(jpeg), 2, 0);     /* no marker */
        expect_none(jpeg, sizeof(jpeg), 5, 1);     /* a segment that is shorter than its length */
        expect_none(jpeg, sizeof(jpeg), 12, 0xda); /* the picture, without a frame */
        expect_none(jpeg, sizeof(jpeg), 19, 7);    /* a frame without room for a size */
}

static void expect_line(const char *text, const char *key, uint32_t width, uint32_t height)
{
        char line[64];
        const char *k;
        ImageSize s;

        strcpy(line, text);
        assert_int_equal(image_size_parse_line(line, &k, &s), 0);
        assert_string_equal(k, key);
        assert_int_equal(s.width, width);
        assert_int_equal(s.height, height);
}

static void test_lines(_unused_ void **state)
{
        static const char *const bad[] = { "", ",1,1", "a", "a,1", "a,1,", "a,0,1", "a,1,x", "a,-1,1",
                "\"a,1,1", "\"a\"b,1,1", "a,1000001,1", "\"\",1,1", "name,width,height" };

        expect_line("a.jpg,640,480\n", "a.jpg", 640, 480);
        expect_line("http://www.example.com/a.jpg,640,480,more\r\n", "http://www.example.com/a.jpg", 640,
                        480);
        expect_line("\"a,\"\"b\"\".jpg\",1,1000000", "a,\"b\".jpg", 1, 1000000);
        FOREACH_ARRAY(b, bad, ELEMENTSOF(bad)) {
                char line[64];
                const char *k;
                ImageSize s;

                strcpy(line, *b);
                assert_int_equal(image_size_parse_line(line, &k, &s), -EINVAL);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_parts),
                cmocka_unit_test(test_damaged),
                cmocka_unit_test(test_lines),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
