#pragma once

/* The account from within: tasks, callbacks, and what the files of the world share. */

#include <sys/queue.h>

#include "basic/parse.h"
#include "sandbox/agenda.h"
#include "sandbox/index.h"
#include "sandbox/world.h"

#define ID_SIZE    25U
#define ANSWER_MAX ((size_t)256 * 1024 * 1024)
#define REORDER_MAX                                                                            \
        (60 * USEC_PER_SEC) /* how long a callback waits for a later one, divided by the scale \
                             */
#define SUBMISSION_SIZE 33U /* an id at the end of callback_url: 32 hex digits */

/* Streams of chance, each its own, so that one fault's strikes don't depend on the others. */
typedef enum Stream {
        STREAM_FAULTS = 0, /* as many as there are faults */
        STREAM_IDS = _FAULT_MAX,
        STREAM_RESPONSES,
        _STREAM_MAX,
} Stream;

typedef enum Called {
        CALLED_NOT_YET,
        CALLED_IN_VAIN,
        CALLED,
} Called;

typedef struct Task {
        char id[ID_SIZE];
        const TaskType *type;
        TaskStatus status;
        bool fails; /* an attachment is bad: told when it is due */
        Called called;
        int64_t created_at, visible_at;
        uint64_t due_after;   /* UINT64_MAX: on demand */
        int64_t completed_at; /* TIME_NONE: not yet */
        char *text;           /* owned: the object as it was when it was made */
        char *submission;     /* owned: the id that it carries; NULL: none */
        json_t *response;     /* NULL: none yet */
} Task;

/* One callback, from its plan to its last attempt. It is the agenda's while it waits for its time, else in
 * one of the lists. */
typedef struct Delivery {
        STAILQ_ENTRY(Delivery) entry;
        uint64_t number;
        Task *task;
        TaskStatus status; /* of the task, as it is told */
        json_t *response;
        int64_t completed_at;
        bool bare;    /* a bad attachment in the form that has no task */
        bool extra;   /* a duplicate: tried once, and nothing follows from it */
        bool doubled; /* an extra one is to follow */
        bool cut, invalid;
        unsigned attempts;
        int64_t held_until;
        char *url;
        Buffer body; /* while it is sent */
} Delivery;

typedef STAILQ_HEAD(DeliveryList, Delivery) DeliveryList;

typedef struct Attempt {
        int64_t time;
        const Task *task;
        char *url, *error; /* owned; error NULL: none */
        unsigned status, attempt;
} Attempt;

struct World {
        WorldOptions options;
        char *callback_url; /* owned */
        uint64_t streams[_STREAM_MAX];
        uint64_t strikes[_FAULT_MAX];
        int64_t now; /* the latest time that it was given */

        Task **tasks; /* owned: by created_at, of the same time the latest first */
        size_t n_tasks, allocated_tasks;
        Index ids, submissions;
        uint64_t n_ids, n_duplicates, n_of_status[_TASK_STATUS_MAX], n_requests;
        uint64_t n_slow; /* that are to come again */

        Agenda agenda; /* tasks to complete, callbacks to send */
        DeliveryList ready, held, sending;
        uint64_t n_deliveries; /* that are not through */
        uint64_t last_delivery;

        Attempt *attempts; /* a ring */
        uint64_t n_attempts, n_succeeded, n_in_vain, n_lost;
};

/* world.c */
uint64_t chance_next(World *world, Stream stream);
bool chance_strikes(World *w, Fault fault);                   /* counted */
uint64_t chance_until(World *w, Stream stream, uint64_t max); /* 1 to max; 0 for a max of 0 */

/* Answers. Both put what they say in the place of what was there. */
int answer_json(WorldAnswer *a, unsigned status, json_t *value); /* takes the reference; NULL: -ENOMEM */
int answer_error(WorldAnswer *a, unsigned status, json_t *problems, const char *format, ...)
                _printf_(4, 5); /* takes the reference */

/* tasks.c */
const TaskType *type_find(const char *name); /* by name or alias; NULL for one that nobody asks for */
Task *task_free(Task *task);
DEFINE_CLEANUP(Task *, task_free)
Task *task_find(const World *world, const char *id);
int task_create(World *w, const WorldRequest *q, const char *type, WorldAnswer *a); /* answers */
int task_render(const Task *task, TaskStatus status, json_t *response, int64_t completed_at, json_t **ret);
int task_show(const Task *t, json_t **ret); /* as it is now */
int task_answer(const Task *task, WorldAnswer *answer);
void task_set_status(World *world, Task *task, TaskStatus status);
int task_complete(World *w, Task *t, json_t *response, int64_t now); /* NULL: a made-up one */
/* urls: NULL: all that it has. 0, -ENOMEM, -ENOENT when there is none. */
int task_fail(World *world, Task *task, const json_t *urls, json_int_t status_code, bool bare, int64_t now);

/* deliveries.c */
void delivery_list_done(World *world, DeliveryList *list);
Delivery *delivery_free(World *world, Delivery *delivery);
int delivery_plan(World *world, Task *task, bool bare, int64_t now);
void delivery_is_due(World *world, Delivery *delivery);
void delivery_release_late(World *world);
bool delivery_has_room(const World *world);
void attempts_done(World *world);
int attempts_to_json(const World *world, json_t **ret);
