/*
 * URLs of attachments. The API says which URLs it could not fetch, but not for which task; so the open
 * submissions are asked for the oldest that has all of them. Only while a submission is open are its rows in
 * the index that is looked at, so what was done long ago is never walked past. The walk has a limit all the
 * same: many may share one URL and differ in another.
 */

#include "store/sqlite/internal.h"

#define CANDIDATES_MAX 1000U

int store_add_attachments(Store *s, int64_t submission, const char *const *urls, size_t n)
{
        int r;

        FOREACH_ARRAY(url, urls, MIN(n, SUBMISSION_ATTACHMENTS_MAX)) {
                Query q = outbox_query(s, OW_ADD_ATTACHMENT);

                query_int(&q, submission);
                query_int(&q, store_fingerprint(*url, strlen(*url)));
                query_text(&q, *url);
                r = query_run(&q, "Could not keep the URL of an attachment in");
                if (r < 0)
                        return r;
        }
        return 0;
}

int store_open_attachments(Store *s, int64_t submission, bool open)
{
        Query q = outbox_query(s, OW_OPEN_ATTACHMENTS);

        query_int(&q, submission);
        query_int(&q, open);
        return query_run(&q, "Could not change the URLs of attachments in");
}

int store_drop_attachments(Store *s, int64_t submission)
{
        Query q = outbox_query(s, OW_DROP_ATTACHMENTS);

        query_int(&q, submission);
        return query_run(&q, "Could not forget the URLs of attachments in");
}

/* 1: the submission has them all. */
static int has_all(Store *s, int64_t submission, const char *const *urls, size_t n)
{
        FOREACH_ARRAY(url, urls, n) {
                _cleanup_query_ Query q = outbox_query(s, OW_HAS_ATTACHMENT);
                int r;

                query_int(&q, submission);
                query_int(&q, store_fingerprint(*url, strlen(*url)));
                query_text(&q, *url);
                r = query_step(&q, "Could not look for an attachment in");
                if (r <= 0)
                        return r;
        }
        return 1;
}

int store_find_attachments(Store *s, const char *const *urls, size_t n, SubmissionRow *ret)
{
        _cleanup_query_ Query q = outbox_query(s, OW_FIND_ATTACHMENT);
        int r;

        if (n == 0 || n > SUBMISSION_ATTACHMENTS_MAX)
                return 0;

        query_int(&q, store_fingerprint(urls[0], strlen(urls[0])));
        query_text(&q, urls[0]);
        query_int(&q, CANDIDATES_MAX);
        while ((r = query_step(&q, "Could not look for an attachment in")) > 0) {
                int64_t submission = query_column(&q, 0);

                r = has_all(s, submission, urls + 1, n - 1);
                if (r < 0)
                        return r;
                if (r > 0)
                        return store_find_submission_of_number(s, submission, ret);
        }
        return r;
}
