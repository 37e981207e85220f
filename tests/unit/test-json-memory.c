/* Memory that comes and goes with a value. */

#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "json/memory.h"

/* Pieces of every size, more than one block of them, and values of before and after. */
static void test_arena(_unused_ void **state)
{
        json_t *before = json_pack("{s:s}", "a", "before");
        JsonArena arena = {};
        json_t *root, *after;

        json_arena_enter(&arena, 10);
        root = json_object();
        for (unsigned i = 0; i < 2000; i++) {
                char name[16], text[4096];

                snprintf(name, sizeof(name), "%u", i);
                memset(text, 'x', sizeof(text));
                assert_int_equal(json_object_set_new(root, name, json_stringn(text, i * 2)), 0);
        }
        json_arena_leave();

        after = json_pack("{s:O}", "inside", json_object_get(root, "1999"));
        assert_int_equal(json_object_size(root), 2000);
        for (unsigned i = 0; i < 2000; i++) {
                char name[16];

                snprintf(name, sizeof(name), "%u", i);
                assert_int_equal(json_string_length(json_object_get(root, name)), i * 2);
        }
        assert_int_equal(strspn(json_string_value(json_object_get(after, "inside")), "x"), 3998);
        json_decref(after);
        json_decref(before);
        json_arena_done(&arena, root);

        json_arena_done(&arena, NULL);          /* an empty one */
        json_arena_done(&arena, json_object()); /* a value that was made without */
}

static void test_a_piece_larger_than_a_block(_unused_ void **state)
{
        size_t size = 3 * 1024 * 1024;
        JsonArena arena = {};
        char *text = malloc(size);
        json_t *root;

        assert_non_null(text);
        memset(text, 'y', size);
        json_arena_enter(&arena, size);
        root = json_stringn(text, size);
        json_arena_leave();
        assert_int_equal(json_string_length(root), size);
        assert_memory_equal(json_string_value(root), text, size);
        json_arena_done(&arena, root);
        free(text);
}

/* In an arena and without one; among others, and given back with them. */
static void test_a_number_with_its_text(_unused_ void **state)
{
        static const char text[] = "18446744073709551617 and what is behind it";

        for (unsigned i = 0; i < 2; i++) {
                JsonArena arena = {};
                json_t *root;

                if (i == 1)
                        json_arena_enter(&arena, 10);
                root = json_pack("[f, o, f, o, s]", 1.5, json_number_new(1.8e19, text, 20), 2.5,
                                json_number_new(-0.5, "-0.50", 5), "text");
                if (i == 1)
                        json_arena_leave();
                assert_non_null(root);
                assert_string_equal(json_number_text(json_array_get(root, 1)), "18446744073709551617");
                assert_true(json_real_value(json_array_get(root, 1)) > 1.7e19);
                assert_string_equal(json_number_text(json_array_get(root, 3)), "-0.50");
                for (size_t k = 0; k < 5; k += 2)
                        assert_null(json_number_text(json_array_get(root, k)));
                json_arena_done(&arena, root);
        }
        assert_null(json_number_text(NULL));
}

/* Where a sanitizer watches there are no arenas, and a reference that would dangle is refused instead. */
static void test_a_reference_that_outlives_an_arena(_unused_ void **state)
{
        JsonArena arena = {};
        json_t *root;
        int status;
        pid_t pid;

        json_arena_enter(&arena, 100);
        root = json_pack("{s:[i,s]}", "list", 1, "text");
        json_arena_leave();
        if (arena.blocks) {
                json_arena_done(&arena, root);
                skip();
        }

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                json_incref(json_array_get(json_object_get(root, "list"), 1));
                json_arena_done(&arena, root);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        json_arena_done(&arena, root); /* nobody else has it here */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_arena),
                cmocka_unit_test(test_a_piece_larger_than_a_block),
                cmocka_unit_test(test_a_number_with_its_text),
                cmocka_unit_test(test_a_reference_that_outlives_an_arena),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
