/* datacollection: somebody finds out what is asked for, beginning at an attachment. */

#include "task/check.h"
#include "task/rules.h"

static const char *const attachment_types[] = { "text", "image", "website", NULL };

static const Field params[] = {
        { "instruction", FIELD_STRING, FIELD_REQUIRED | FIELD_NOT_EMPTY,
                        .describe = "what to do, in markdown" },
        { "attachment_type", FIELD_STRING, FIELD_REQUIRED | FIELD_IN_PARAMS, .values = attachment_types,
                        .describe = "what the attachment is" },
        { "attachment", FIELD_ATTACHMENT, FIELD_REQUIRED | FIELD_IN_PARAMS,
                        .describe = "a URL, or the text itself" },
        { "fields", FIELD_DICTIONARY, FIELD_REQUIRED | FIELD_NOT_EMPTY | FIELD_IN_PARAMS,
                        .describe = "what to find: keys, and what each means" },
        {},
};

static const Field response[] = {
        { "fields", FIELD_OBJECT, FIELD_REQUIRED, .describe = "what was found" },
        {},
};

const TaskType task_type_datacollection = {
        .name = "datacollection",
        .params = params,
        .response = response,
        .check_response = rules_check_fields,
        .make_response = rules_make_fields_response,
        .wants_attachment_type = true,
        .example_instruction = "Find the URL of the hiring page of this company.",
        .example_params = "{\"attachment_type\":\"website\",\"attachment\":\"http://www.example.com/"
                          "\",\"fields\":{\"hiring_page\":\"Hiring page URL\"}}",
        .example_response = "{\"fields\":{\"hiring_page\":\"http://www.example.com/jobs\"}}",
};
