#pragma once

/* All statements, and by what counters count. */

#include "basic/parse.h"
#include "store/outbox.h"

typedef enum WriterStatement {
        W_NUMBERS,
        W_GET_LINK,
        W_SET_LINK,
        W_GET_COPIED,
        W_SET_COPIED,
        W_NOTICE_COPY,
        W_DROP_COPIED,
        W_FIND_TYPE,
        W_ADD_TYPE,
        W_FIND_TASK,
        W_FIND_TASK_OF_REF,
        W_FIND_TASK_OF_NUMBER,
        W_ADD_TASK,
        W_CHANGE_TASK,
        W_GET_METADATA,
        W_SET_METADATA,
        W_ADD_METADATA,
        W_DROP_METADATA,
        W_ADD_DELIVERY,
        W_FIND_ASIDE,
        W_IS_BODY,
        W_COUNT_REPEAT,
        W_GET_VERDICT,
        W_GET_NAMES,
        W_FIND_REVISION,
        W_ADD_REVISION,
        W_SET_REVISION_TIME,
        W_ADD_EVENT,
        W_QUARANTINE,
        W_GET_QUARANTINE,
        W_DISCARD,
        W_TALLY,
        W_TALLY_BY_HOUR,
        W_TALLY_OF_VERDICTS,
        W_GET_RUNNING_TIME,
        W_SET_RUNNING_TIME,
        W_ADD_MARK,
        W_THIN_MARKS,
        W_FIND_MARK,
        W_FIND_OLD,
        W_DROP_DELIVERY,
        W_DROP_REPEAT,
        W_DROP_QUARANTINE,
        W_BEGIN,
        W_COMMIT,
        W_ROLLBACK,
        _W_MAX,
} WriterStatement;

typedef enum ReaderStatement {
        R_TASK,
        R_TASK_BY_KEY,
        R_BODY,
        R_RESPONSE,
        R_FIND_TYPE,
        R_KINDS,
        R_KIND_SLICE,
        R_KIND_TIES,
        R_KIND_COUNT,
        R_OTHERS_TIES,
        R_OTHERS_SLICE,
        R_OTHERS_COUNT,
        R_HAS_METADATA,
        R_COUNT_METADATA,
        R_HOURS,
        R_REVISIONS,
        R_DELIVERY,
        R_DELIVERIES,
        R_DELIVERIES_STORED,
        R_DELIVERIES_OF_VERDICT,
        R_DELIVERIES_OF_QUARANTINE,
        R_DELIVERIES_OF_TASK,
        R_DELIVERIES_BACK, /* each of the five the other way round, in their order */
        R_DELIVERIES_BACK_STORED,
        R_DELIVERIES_BACK_OF_VERDICT,
        R_DELIVERIES_BACK_OF_QUARANTINE,
        R_DELIVERIES_BACK_OF_TASK,
        R_EVENTS,
        R_EVENT_TIME,
        R_LAST_EVENT,
        R_LAST_DELIVERY,
        R_TALLY,
        R_VERDICTS,
        R_BEGIN,
        R_COMMIT,
        R_ROLLBACK,
        _R_MAX,
} ReaderStatement;

extern const char *const store_writer_sql[_W_MAX];
extern const char *const store_reader_sql[_R_MAX];

/* The outbox's. */

typedef enum OutboxWriterStatement {
        OW_FIND,
        OW_FIND_KEY,
        OW_GET,
        OW_GET_TASK,
        OW_ADD,
        OW_ADD_PARAMETERS,
        OW_MOVE,
        OW_ACCEPT,
        OW_SET_CANCEL,
        OW_END_CANCEL,
        OW_FLUSH,
        OW_RECOVER,
        OW_RECOVER_UNKNOWN,
        OW_DOUBT_ATTACHMENTS,
        OW_DOUBT_ENDED,
        OW_DOUBT_UNKNOWN,
        OW_DOUBT_QUEUED,
        OW_SET_FAILURE,
        OW_ADD_ATTACHMENT,
        OW_OPEN_ATTACHMENTS,
        OW_DROP_ATTACHMENTS,
        OW_FIND_ATTACHMENT,
        OW_HAS_ATTACHMENT,
        OW_ADD_ACCOUNT,
        OW_DROP_ACCOUNT,
        OW_TALLY,
        OW_GET_QUEUE,
        OW_SET_QUEUE,
        OW_COUNT_LIVE,
        OW_UNCOUNT_LIVE,
        _OW_MAX,
} OutboxWriterStatement;

typedef enum OutboxReaderStatement {
        OR_SUBMISSION,
        OR_PARAMETERS,
        OR_ACCOUNT,
        OR_LIST,
        OR_LIST_OF_STATE,
        OR_LIST_BACK, /* these two the other way round */
        OR_LIST_BACK_OF_STATE,
        OR_DUE,
        OR_NEXT_DUE,
        OR_CANCEL_WANTED,
        OR_TALLY,
        OR_OLDEST,
        OR_QUEUE,
        OR_LIVE,
        OR_FIND_TASK,
        OR_PENDING,
        OR_DATA_VERSION,
        _OR_MAX,
} OutboxReaderStatement;

extern const char *const outbox_writer_sql[_OW_MAX];
extern const char *const outbox_reader_sql[_OR_MAX];

#define STORE_HOUR ((int64_t)USEC_PER_HOUR)

/* The hour that a time is in; also right before 1970. */
static inline int64_t store_hour(int64_t t)
{
        return t / STORE_HOUR - (t % STORE_HOUR < 0 ? 1 : 0);
}

/* In counters: all types that are not among STORE_TYPES_OWN. */
#define TYPE_OTHERS (-1)

static inline int64_t type_in_counters(int64_t type)
{
        return type > STORE_TYPES_OWN ? TYPE_OTHERS : type;
}
