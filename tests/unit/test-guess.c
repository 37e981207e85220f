/* What was meant, and what is a name of its own. */

#include "test.h"

#include <stdio.h>

#include "basic/guess.h"
#include "task/params.h"
#include "task/type.h"

static const char *guess(const char *written, const char *known)
{
        Guess g = GUESS(written);

        guess_try(&g, known);
        return g.meant;
}

static void test_near(_unused_ void **state)
{
        static const struct {
                const char *written, *known;
        } near[] = { { "with_label", "with_labels" }, { "urgncy", "urgency" }, { "urgenyc", "urgency" },
                { "catgories", "categories" }, { "minWidth", "min_width" }, { "MIN-WIDTH", "min_width" },
                { "tpye", "type" }, { "transcripton", "transcription" }, { "urgent", "urgency" },
                { "atachement", "attachment" } },
          far[] = { { "tags", "type" }, { "currency", "urgency" }, { "", "type" }, { "_", "type" },
                  { "tp", "type" }, { "tpy", "n" }, { "unique_id", "metadata" }, { "next_token", "limit" },
                  { "yields", "shield" },
                  { "instructioninstructioninstructioninstructioninstruction", "instruction" } };

        FOREACH_ARRAY(n, near, ELEMENTSOF(near))
                if (!guess(n->written, n->known))
                        fail_msg("%s is not taken for %s", n->written, n->known);
        FOREACH_ARRAY(f, far, ELEMENTSOF(far))
                if (guess(f->written, f->known))
                        fail_msg("%s is taken for %s", f->written, f->known);
}

static void test_the_nearest(_unused_ void **state)
{
        Guess g = GUESS("min_widht");

        guess_try(&g, "min_height");
        guess_try(&g, "min_width");
        guess_try(&g, "max_width");
        assert_string_equal(g.meant, "min_width");
        assert_int_equal(g.differences, 1);
}

/* Whether this name in a task of that type is refused. */
static size_t n_errors(const TaskType *type, const char *name)
{
        json_auto_t *params = json_pack("{s:i}", name, 1);
        Problems problems = {};
        size_t n;

        task_params_check_names(type, params, &problems);
        n = problems.n_errors;
        problems_done(&problems);
        return n;
}

static bool is_known(const char *name)
{
        for (const TaskType *const *t = task_types; *t; t++) {
                const Rows rows = rows_of_type(*t);

                if (rows_find(&rows, name))
                        return true;
        }
        return false;
}

/* Each name with one letter less and with two letters exchanged, unless that is a name of its own. */
static void test_every_parameter_of_every_type(_unused_ void **state)
{
        for (const TaskType *const *t = task_types; *t; t++) {
                const Rows rows = rows_of_type(*t);

                ROWS_FOREACH(f, &rows)
                        for (size_t i = 0; f->name[i]; i++) {
                                char less[64], exchanged[64];

                                snprintf(less, sizeof(less), "%.*s%s", (int)i, f->name, f->name + i + 1);
                                snprintf(exchanged, sizeof(exchanged), "%s", f->name);
                                if (exchanged[i + 1]) {
                                        exchanged[i] = f->name[i + 1];
                                        exchanged[i + 1] = f->name[i];
                                }
                                if (n_errors(*t, less) != !is_known(less))
                                        fail_msg("%s: %s is taken", (*t)->name, less);
                                if (n_errors(*t, exchanged) != !is_known(exchanged))
                                        fail_msg("%s: %s", (*t)->name, exchanged);
                        }
        }
}

/* The parameters of one type are no mistakes in another, nor is what the API takes these days. */
static void test_names_of_their_own(_unused_ void **state)
{
        static const char *const later[] = { "unique_id", "clear_unique_id_on_error", "tags", "project",
                "batch", "priority", "title", "description", "layers", "geometries", "annotation_attributes",
                "padding", "paddingX", "base_annotations", "events_to_annotate", "hypothesis", "taxonomies",
                "is_test", "type", "status", "task_id", "created_at", "params", "response", "sandbox",
                "language", "callback_auth_key", "repeatable_fields", "row_fields", "frames", "videos",
                "currency", "name", "id", "key", "user", "email", "comment", "source", "notes" };

        for (const TaskType *const *t = task_types; *t; t++) {
                for (const TaskType *const *other = task_types; *other; other++)
                        for (const Field *f = (*other)->params; f->name; f++)
                                if (n_errors(*t, f->name) > 0)
                                        fail_msg("%s in %s", f->name, (*t)->name);
                FOREACH_ARRAY(name, later, ELEMENTSOF(later))
                        if (n_errors(*t, *name) > 0)
                                fail_msg("%s in %s", *name, (*t)->name);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_near),
                cmocka_unit_test(test_the_nearest),
                cmocka_unit_test(test_every_parameter_of_every_type),
                cmocka_unit_test(test_names_of_their_own),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
