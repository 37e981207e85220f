/* Restoring: the one verb that works on the database itself, because nobody else may have it meanwhile. */

#include <inttypes.h>

#include "basic/time-util.h"
#include "scalectl/ctl.h"
#include "scalectl/text/format.h"
#include "scalectl/text/output.h"
#include "store/store.h"

static void on_progress(uint64_t bytes, void *userdata)
{
        progress_add(userdata, bytes);
}

static int status_of(int error)
{
        static const struct {
                int error, status;
        } statuses[] = {
                { -EMEDIUMTYPE, EX_DATAERR },
                { -ENOENT, EX_NOINPUT },
                { -EACCES, EX_NOPERM },
                { -EPERM, EX_NOPERM },
                { -EROFS, EX_NOPERM },
                { -EUSERS, EX_TEMPFAIL },
                { -EBUSY, EX_TEMPFAIL },
                { -ENOSPC, EX_TEMPFAIL },
                { -ENOMEM, EX_OSERR },
        };

        FOREACH_ARRAY(s, statuses, ELEMENTSOF(statuses))
                if (s->error == error)
                        return s->status;
        return EX_IOERR;
}

static int tell_json(const StoreRestored *restored, const char *path)
{
        char time[TIME_STAMP_SIZE];
        json_auto_t *object = json_pack("{s:s, s:s?, s:s?, s:I, s:I}", "database", path, "kept",
                        restored->kept, "copied_at",
                        restored->copied_at > 0 ? time_format(restored->copied_at, time) : NULL,
                        "last_delivery", (json_int_t)restored->deliveries, "queued",
                        (json_int_t)restored->waiting);

        if (!object || json_dumpf(object, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) < 0)
                return EX_IOERR;
        return putchar('\n') == EOF ? EX_IOERR : 0;
}

static void tell(const Ctl *ctl, const StoreRestored *restored, const char *backup, const char *path)
{
        char time[FORMAT_TIME_SIZE];

        printf("%s is what %s holds", path, backup);
        if (restored->copied_at > 0)
                printf(", of %s", format_time(restored->copied_at, ctl->utc, time));
        printf(", up to delivery %" PRIu64 ".\n", restored->deliveries);
        if (restored->kept)
                printf("What was there before is %s.\n", restored->kept);
        if (restored->waiting > 0)
                printf("%" PRIu64
                       " submissions that are queued in it may have been sent since: the submitter looks "
                       "for them at the API first.\n",
                                restored->waiting);
        printf("Now start the daemons; `scalectl backfill` brings in what the API has had since.\n");
}

int verb_restore(Ctl *ctl, int argc, char **argv)
{
        const char *path = ctl->settings.store.path, *backup;
        _cleanup_(store_restored_done) StoreRestored restored = {};
        _cleanup_free_ char *error = NULL;
        Progress progress;
        unsigned n;
        int r;

        r = options_read(ctl, NULL, 0, NULL, argc, argv, 1, 1, &n);
        if (r != 0)
                return r;
        backup = streq(argv[1], "-") ? "/dev/stdin" : argv[1];

        progress = progress_start("copied");
        r = store_restore(backup, path, on_progress, &progress, &restored, &error);
        progress_done(&progress);
        if (r < 0) {
                complain("nothing was restored: %s", error ?: strerror(-r));
                return status_of(r);
        }
        if (ctl->json)
                return tell_json(&restored, path);
        tell(ctl, &restored, argv[1], path);
        return 0;
}
