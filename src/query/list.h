#pragma once

/* Lists of small rows: one page, by cursor. */

#include <jansson.h>

#include "basic/buffer.h"
#include "http/server.h"

typedef struct LocalList {
        Buffer text;
        uint64_t limit; /* set by the caller, who asks the store for one more: it says whether there are more
                         */
        uint64_t n, last;
        bool has_more;
} LocalList;

#define LOCAL_LIST_INIT                                       \
        {                                                     \
                .text = BUFFER_INIT((size_t)64 * 1024 * 1024) \
        } /* a hundred rows are far below */
void local_list_done(LocalList *list);
#define _cleanup_local_list_ _cleanup_(local_list_done)

/* Makes room for the row with this number. 1: it is to be appended to `text`; 0: not, the page is full; or
 * -ENOMEM, -EFBIG. */
int local_list_next(LocalList *list, uint64_t number);

/* {"docs":[...],"has_more":...,"next":...}: where there are more, `next` is what `after` wants. */
int local_list_reply(LocalList *list, HttpRequest *request);

/* Sets a member of a row; a NULL text and TIME_NONE are left out. 0, or -1 without memory. */
int member_set_text(json_t *object, const char *name, const char *value);
int member_set_time(json_t *object, const char *name, int64_t t);
