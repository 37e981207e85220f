/*
 * Types of task that clients ask for and the reference does not describe ("any other task type"): they came
 * later, all of them about an image. What they share is checked, everything else is kept as it is, and who
 * gets their callbacks has no rules for them either.
 */

#include "sandbox/world-internal.h"

static const Field params[] = {
        { "instruction", FIELD_STRING, .describe = "what to do, in markdown" },
        { "attachment_type", FIELD_STRING, FIELD_IN_PARAMS, .values = (const char *const[]){ "image", NULL },
                        .describe = "what the attachment is" },
        { "attachment", FIELD_ATTACHMENT, FIELD_REQUIRED | FIELD_IN_PARAMS,
                        .describe = "the URL of an image" },
        {},
};

static const Field response[] = {
        {},
};

static void check_response(_unused_ const json_t *p, _unused_ const json_t *r, _unused_ Problems *problems)
{
}

static int make_response(_unused_ const json_t *p, _unused_ uint64_t n, json_t **ret)
{
        *ret = json_pack("{s:[]}", "annotations");
        return *ret ? 0 : -ENOMEM;
}

#define LATER(n)                                                                                       \
        {                                                                                              \
                .name = (n), .params = params, .response = response, .check_response = check_response, \
                .make_response = make_response,                                                        \
        }

static const TaskType later[] = {
        LATER("polygonannotation"),
        LATER("lineannotation"),
        LATER("pointannotation"),
        LATER("cuboidannotation"),
        LATER("segmentannotation"),
};

const TaskType *type_find(const char *name)
{
        FOREACH_ARRAY(t, later, ELEMENTSOF(later))
                if (streq(t->name, name))
                        return t;
        return task_type_find(name);
}
