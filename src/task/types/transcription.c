/* transcription: somebody reads an attachment and writes down what is asked for. */

#include "task/check.h"
#include "task/rules.h"

static const char *const attachment_types[] = { "image", "pdf", "website", "text", NULL };

static const Field params[] = {
        { "instruction", FIELD_STRING, FIELD_REQUIRED | FIELD_NOT_EMPTY,
                        .describe = "what to do, in markdown" },
        { "attachment_type", FIELD_STRING, FIELD_REQUIRED | FIELD_IN_PARAMS, .values = attachment_types,
                        .describe = "what the attachment is" },
        { "attachment", FIELD_ATTACHMENT, FIELD_REQUIRED | FIELD_IN_PARAMS,
                        .describe = "a URL, or the text itself" },
        { "fields", FIELD_DICTIONARY, FIELD_REQUIRED | FIELD_NOT_EMPTY | FIELD_IN_PARAMS,
                        .describe = "what to write down: keys, and what each means" },
        {},
};

static const Field response[] = {
        { "fields", FIELD_OBJECT, FIELD_REQUIRED, .describe = "what was written down" },
        {},
};

const TaskType task_type_transcription = {
        .name = "transcription",
        .params = params,
        .response = response,
        .check_response = rules_check_fields,
        .make_response = rules_make_fields_response,
        .example_instruction = "Transcribe the given fields.",
        .example_params = "{\"attachment_type\":\"website\",\"attachment\":\"http://www.example.com/"
                          "\",\"fields\":{\"title\":\"Title of the page\"}}",
        .example_response = "{\"fields\":{\"title\":\"Example Domain\"}}",
};
