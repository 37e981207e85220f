/* annotation: somebody draws boxes around the objects in an image. */

#include "task/check.h"
#include "task/problem.h"
#include "task/rules.h"

static const char *const attachment_types[] = { "image", NULL };

static const Field examples[] = {
        { "correct", FIELD_BOOLEAN, FIELD_REQUIRED | FIELD_AS_TEXT,
                        .describe = "whether it shows how to do it" },
        { "image", FIELD_URL, FIELD_REQUIRED, .describe = "the image" },
        { "explanation", FIELD_STRING, .describe = "why" },
        {},
};

static const Field params[] = {
        { "instruction", FIELD_STRING, .describe = "what to do, in markdown" },
        { "attachment_type", FIELD_STRING, FIELD_IN_PARAMS, .values = attachment_types,
                        .default_value = "\"image\"", .describe = "what the attachment is" },
        { "attachment", FIELD_URL, FIELD_REQUIRED | FIELD_IN_PARAMS, .describe = "the URL of the image" },
        { "objects_to_annotate", FIELD_TEXTS, FIELD_REQUIRED | FIELD_NOT_EMPTY | FIELD_IN_PARAMS,
                        .has_max = true, .max = 6, .describe = "what to draw boxes around" },
        { "with_labels", FIELD_BOOLEAN, FIELD_IN_PARAMS | FIELD_AS_TEXT, .default_value = "false",
                        .describe = "whether each box says what it shows" },
        { "examples", FIELD_OBJECTS, FIELD_IN_PARAMS, .members = examples,
                        .describe = "how to do it and how not" },
        { "min_width", FIELD_INTEGER, FIELD_IN_PARAMS | FIELD_AS_TEXT, .has_min = true,
                        .describe = "the least width of a box in pixels" },
        { "min_height", FIELD_INTEGER, FIELD_IN_PARAMS | FIELD_AS_TEXT, .has_min = true,
                        .describe = "the least height of a box in pixels" },
        {},
};

static const Field box[] = {
        { "left", FIELD_NUMBER, FIELD_REQUIRED, .has_min = true,
                        .describe = "pixels from the image's left border" },
        { "top", FIELD_NUMBER, FIELD_REQUIRED, .has_min = true,
                        .describe = "pixels from the image's top border" },
        { "width", FIELD_NUMBER, FIELD_REQUIRED, .above_min = true,
                        .describe = "the box's width in pixels" },
        { "height", FIELD_NUMBER, FIELD_REQUIRED, .above_min = true,
                        .describe = "the box's height in pixels" },
        { "label", FIELD_STRING, .one_of_param = "objects_to_annotate", .describe = "what the box shows" },
        {},
};

static const Field response[] = {
        { "error", FIELD_STRING, FIELD_NOT_EMPTY, .describe = "why there are no annotations" },
        { "annotations", FIELD_OBJECTS, .members = box, .describe = "the boxes" },
        {},
};

static const Path root = { .name = "response" };
static const Path list = { .up = &root, .name = "annotations" };

static void check_label(const json_t *b, bool with_labels, const Path *at, Problems *problems)
{
        bool has_label = member_get(b, "label");

        if (with_labels && !has_label)
                path_problem(problems, SEVERITY_ERROR, at, "label", "is missing: the task asked for labels");
        if (!with_labels && has_label)
                path_problem(problems, SEVERITY_ERROR, at, "label", "the task asked for no labels");
}

static void check_size(
                const json_t *b, double min_width, double min_height, const Path *at, Problems *problems)
{
        double width = json_number_value(json_object_get(b, "width"));
        double height = json_number_value(json_object_get(b, "height"));

        if (width > 0 && height > 0 && (width < min_width || height < min_height))
                path_problem(problems, SEVERITY_WARNING, at, NULL,
                                "the box is %g x %g, the task asked for at least %g x %g", width, height,
                                min_width, min_height);
}

static void check_response(const json_t *task, const json_t *r, Problems *problems)
{
        json_t *annotations = member_get(r, "annotations"), *error = member_get(r, "error"), *b;
        double min_width = task_param_number(task, "min_width", 0);
        double min_height = task_param_number(task, "min_height", 0);
        bool with_labels = task_param_is_true(task, "with_labels");
        size_t i;

        if (!annotations == !error)
                path_problem(problems, SEVERITY_ERROR, &root, NULL,
                                "expected either error or annotations, got %s", error ? "both" : "neither");

        json_array_foreach(annotations, i, b) {
                const Path at = { .up = &list, .index = i };

                if (!json_is_object(b))
                        continue;
                check_label(b, with_labels, &at, problems);
                check_size(b, min_width, min_height, &at, problems);
        }
}

#define BOX_SIZE 100.0

/* As an integer where it is one that people would write. */
static json_t *make_length(double d)
{
        return d < 1e15 ? json_integer((json_int_t)d) : json_real(d);
}

static int make_response(const json_t *p, uint64_t n, json_t **ret)
{
        const json_t *objects = member_get(p, "objects_to_annotate");
        const size_t n_objects = json_array_size(objects);
        double width = MAX(BOX_SIZE, task_param_number(p, "min_width", 0));
        double height = MAX(BOX_SIZE, task_param_number(p, "min_height", 0));
        json_auto_t *b = NULL;
        json_t *made;

        if (n_objects == 0)
                return -EINVAL;
        b = json_pack("{s:i, s:i, s:o, s:o}", "left", 0, "top", 0, "width", make_length(width), "height",
                        make_length(height));
        if (!b || (task_param_is_true(p, "with_labels") &&
                                  json_object_set(b, "label", json_array_get(objects, n % n_objects)) < 0))
                return -ENOMEM;
        made = json_pack("{s:[O]}", "annotations", b);
        if (!made)
                return -ENOMEM;

        *ret = made;
        return 0;
}

const TaskType task_type_annotation = {
        .name = "annotation",
        .params = params,
        .response = response,
        .check_response = check_response,
        .make_response = make_response,
        .example_instruction = "Draw a box around each **baby cow** and **big cow**.",
        .example_params =
                        "{\"attachment_type\":\"image\",\"attachment\":\"http://www.example.com/cows.jpg\","
                        "\"objects_to_annotate\":[\"baby cow\",\"big cow\"],\"with_labels\":true,"
                        "\"min_width\":30,\"min_height\":30}",
        .example_response = "{\"annotations\":[{\"left\":123,\"top\":10,\"width\":121,\"height\":39,"
                            "\"label\":\"big cow\"},{\"left\":82,\"top\":56,\"width\":64,\"height\":30,"
                            "\"label\":\"baby cow\"}]}",
};
