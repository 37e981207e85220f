/* Capped buffers. */

#include "test.h"

#include "basic/buffer.h"

static void test_grows_up_to_its_maximum(_unused_ void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(1000);

        assert_string_equal(buffer_text(&b), "");
        for (unsigned i = 0; i < 100; i++)
                assert_int_equal(buffer_append(&b, "0123456789", 10), 0);
        assert_int_equal(b.size, 1000);
        assert_int_equal(buffer_append(&b, "x", 1), -ENOBUFS);
        assert_int_equal(buffer_append_str(&b, "x"), -ENOBUFS);
        assert_int_equal(buffer_append_f(&b, "%d", 1), -ENOBUFS);
        assert_int_equal(buffer_append(&b, "", 0), 0);
        assert_int_equal(b.size, 1000);
        assert_int_equal(strlen(buffer_text(&b)), 1000);
}

static void test_huge_sizes_do_not_wrap(_unused_ void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(100);

        assert_int_equal(buffer_append_str(&b, "abc"), 0);
        assert_int_equal(buffer_reserve(&b, SIZE_MAX), -ENOBUFS);
        assert_int_equal(buffer_reserve(&b, SIZE_MAX - 2), -ENOBUFS);
        assert_int_equal(buffer_reserve(&b, 97), 0);
        assert_int_equal(buffer_reserve(&b, 98), -ENOBUFS);
        assert_string_equal(buffer_text(&b), "abc");
}

static void test_formats(_unused_ void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(600);
        char longer[500];

        memset(longer, 'y', sizeof(longer) - 1);
        longer[sizeof(longer) - 1] = 0;
        assert_int_equal(buffer_append_f(&b, "%s-%d", "a", 7), 0);
        assert_int_equal(buffer_append_f(&b, "%s", longer), 0);
        assert_int_equal(b.size, 3 + 499);
        assert_int_equal(buffer_append_f(&b, "%s", longer), -ENOBUFS);
        assert_int_equal(b.size, 3 + 499);
        assert_memory_equal(buffer_text(&b), "a-7yyy", 6);
}

static void test_consume_and_take(_unused_ void **state)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT(100);
        _cleanup_free_ char *text = NULL;
        size_t size;

        assert_null(buffer_take(&b, &size));
        assert_int_equal(buffer_append_str(&b, "hello world"), 0);
        buffer_consume(&b, 6);
        assert_string_equal(buffer_text(&b), "world");
        text = buffer_take(&b, &size);
        assert_int_equal(size, 5);
        assert_string_equal(text, "world");
        assert_int_equal(b.size, 0);
        assert_int_equal(buffer_append_str(&b, "again"), 0);
        assert_string_equal(buffer_text(&b), "again");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_grows_up_to_its_maximum),
                cmocka_unit_test(test_huge_sizes_do_not_wrap),
                cmocka_unit_test(test_formats),
                cmocka_unit_test(test_consume_and_take),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
