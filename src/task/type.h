#pragma once

/* Task types: for each, a table of what may be asked and a table of what may be answered. */

#include <jansson.h>

#include "basic/macros.h"
#include "task/problem.h"
#include "task/type-list.h" /* made by meson.build */

typedef enum TaskStatus {
        TASK_PENDING,
        TASK_COMPLETED,
        TASK_CANCELED,
        TASK_ERROR, /* later API: the attachment could not be fetched */
        _TASK_STATUS_MAX,
        _TASK_STATUS_INVALID = -EINVAL,
} TaskStatus;

const char *task_status_to_string(TaskStatus v);
TaskStatus task_status_from_string(const char *s);

/* The member of a task's metadata that holds the id of the submission that it was made by. */
#define TASK_SUBMISSION_KEY "scale_submission_id"

/* What a JSON value must be. */
typedef enum FieldKind {
        FIELD_STRING,
        FIELD_NAME,  /* string, not empty, without control characters */
        FIELD_TIME,  /* string, ISO 8601 */
        FIELD_TEXTS, /* array of strings */
        FIELD_BOOLEAN,
        FIELD_INTEGER,
        FIELD_NUMBER, /* finite */
        FIELD_OBJECT,
        FIELD_DICTIONARY,  /* object whose values are strings */
        FIELD_OBJECTS,     /* array of objects, each as `members` say */
        FIELD_ATTACHMENT,  /* string; a URL unless attachment_type is text */
        FIELD_ATTACHMENTS, /* array of those */
        FIELD_URL,         /* string, http:// or https:// */
        FIELD_ANY,
        _FIELD_KIND_MAX,
} FieldKind;

typedef enum FieldFlags {
        FIELD_REQUIRED = 1 << 0,
        FIELD_NOT_EMPTY = 1 << 1, /* strings and containers */
        FIELD_LENIENT = 1 << 2,   /* what is wrong with it is a warning */
        FIELD_IN_PARAMS = 1 << 3, /* a parameter that the API echoes in `params`; others are members of the
                                     task */
        FIELD_AS_TEXT = 1 << 4,   /* a number or a boolean that may also come as a string: "30", "true" */
} FieldFlags;

/* One row: one parameter of a request, or one field of a response. */
typedef struct Field Field;
struct Field {
        const char *name;
        FieldKind kind;
        unsigned flags;
        const char *const *values; /* NULL-terminated: the only values; NULL: any */
        const char *one_of_param;  /* the value is (or, for arrays, each is) an element of this parameter */
        double min;                /* numbers: >= min when has_min, > min when above_min */
        double max; /* when has_max: numbers <= max; containers at most so many elements; strings bytes */
        bool has_min, above_min, has_max;
        const Field *members;      /* FIELD_OBJECTS: up to a row without name */
        const char *default_value; /* what the API fills in, as JSON; NULL: nothing */
        const char *describe;      /* half a sentence, for messages and help */
};

typedef struct TaskType {
        const char *name;
        const char *const *aliases; /* older paths that mean the same, NULL-terminated; NULL: none */
        const Field *params;   /* up to a row without name; the parameters that all types share are not in it
                                */
        const Field *response; /* up to a row without name */
        /* What the rows can't say: how fields of one response hang together, and with the parameters.
         * `params` is an object or NULL. Adds to `problems`. */
        void (*check_response)(const json_t *params, const json_t *response, Problems *problems);
        /* Likewise for parameters ("one of choices or fields"); NULL: nothing more to say. */
        void (*check_params)(const json_t *params, Problems *problems);
        /* A made-up response, see task_make_response(). */
        int (*make_response)(const json_t *params, uint64_t n, json_t **ret);
        bool wants_attachment_type; /* the API looks at it before all else, and misses it where it is missing
                                     */
        /* A task and a response that fits it, as JSON: for trying an installation. */
        const char *example_instruction, *example_params, *example_response;
} TaskType;

/* The parameters that every type takes (callback_url, instruction where not listed, urgency, metadata). */
extern const Field task_common_params[];

/* All types, in the order of the reference; ends with a NULL. Each is task_type_NAME in types/NAME.c, and
 * the list is that of meson.build. */
extern const TaskType *const task_types[];

#define TASK_TYPES_ONE(name) +1U
#define TASK_TYPES_N         (TASK_TYPES(TASK_TYPES_ONE))

/* By name or alias; NULL for a type that is not known. */
const TaskType *task_type_find(const char *name);

/* The name that was probably meant by one that is not known; NULL: none is near. */
const char *task_type_guess(const char *name);

/* Rows: the tables of parameters, as what works on parameters walks them. */

#define ROWS_TABLES 2U

/* One or two tables, looked at one after the other; NULL: none. */
typedef struct Rows {
        const Field *tables[ROWS_TABLES];
} Rows;

/* The type's own rows, then those that all types share. */
Rows rows_of_type(const TaskType *type);

/* The row of this name, or NULL. */
const Field *rows_find(const Rows *rows, const char *name);

#define ROWS_FOREACH(f, rows)                                   \
        for (size_t _i_##f = 0; _i_##f < ROWS_TABLES; _i_##f++) \
                for (const Field *f = (rows)->tables[_i_##f]; f && f->name; f++)

/* What the row wants is a JSON array, an object. */
bool field_is_list(const Field *field);
bool field_is_object(const Field *field);

/* Clients send {} and [] for a container that they leave out. */
bool field_is_left_out(const Field *field, const json_t *value);
