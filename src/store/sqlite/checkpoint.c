/*
 * Checkpoints in two phases. By itself one would come in the middle of a group and let everybody wait. Here
 * a helper's connection copies the WAL back beside the writer, waiting for nobody; then the writer, between
 * two groups, brings over the small rest and lets the WAL start over. It starts over in place: the file
 * keeps its size (up to a limit), because writing over what is allocated syncs faster than growing does.
 */

#include "store/sqlite/writer.h"

#include <pthread.h>

#include "basic/log.h"

#define CHECKPOINT_MARK  (UINT64_C(16) * 1024 * 1024) /* bytes of WAL */
#define READER_WAIT_MSEC 50U
#define READER_WAIT_USEC USEC_PER_SEC /* how long readers may be in the way before they are waited for */

static int checkpoint(SqliteStore *s, int mode, unsigned wait_msec)
{
        Connection *c = &s->connection;
        int frames = 0, done = 0, rc, r;
        bool was_held;

        assert(!s->base.in_group);
        if (c->lost)
                return s->files.moved ? -EIDRM : -ENOTRECOVERABLE;

        /* Another process's groups are waited for like before a group of our own: a writer that is always
         * busy would never let the WAL start over. */
        was_held = s->write_lock.held;
        r = write_lock_take(&s->write_lock, c, STORE_BUSY_MSEC);
        if (r < 0)
                return r;

        /* At the start they are not known yet. */
        r = s->files.wal_path ? files_check(s) : 0;
        if (r < 0) {
                if (!was_held)
                        write_lock_release(&s->write_lock);
                return r;
        }

        (void)sqlite3_busy_timeout(c->db, (int)wait_msec);
        errno = 0;
        rc = sqlite3_wal_checkpoint_v2(c->db, NULL, mode, &frames, &done);
        if (rc != SQLITE_OK)
                r = connection_fail(c, "Could not checkpoint");
        (void)sqlite3_busy_timeout(c->db, STORE_BUSY_MSEC);
        if (!was_held)
                write_lock_release(&s->write_lock);

        if (rc == SQLITE_OK)
                frames = done = 0; /* the next frame is the first one again */
        if (frames >= 0 && done >= 0) {
                s->frames = (uint64_t)frames;
                s->frames_done = (uint64_t)done;
        }
        return r;
}

int checkpoint_finish(SqliteStore *s, unsigned wait_msec)
{
        return checkpoint(s, SQLITE_CHECKPOINT_RESTART, wait_msec);
}

int checkpoint_empty_log(SqliteStore *s)
{
        return checkpoint(s, SQLITE_CHECKPOINT_TRUNCATE, 0);
}

struct Checkpointer {
        Connection connection;
};

int checkpointer_open(const char *path, Checkpointer **ret)
{
        _cleanup_(checkpointer_closep) Checkpointer *c = NULL;
        int version, r;

        c = calloc(1, sizeof(Checkpointer));
        if (!c)
                return -ENOMEM;

        r = connection_open(&c->connection, path, SQLITE_OPEN_READWRITE);
        /* Its syncs are those that count before the WAL is written over. */
        if (r >= 0)
                r = connection_run(&c->connection,
                                "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0",
                                "Could not set up");
        /* Reads, too, which tells SQLite that there is a WAL. */
        if (r >= 0)
                r = connection_identify(&c->connection, &version);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

int checkpointer_run(Checkpointer *c)
{
        if (c->connection.lost)
                return -ENOTRECOVERABLE;
        errno = 0;
        if (sqlite3_wal_checkpoint_v2(c->connection.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) !=
                        SQLITE_OK)
                return connection_fail(&c->connection, "Could not checkpoint");
        return 0;
}

Checkpointer *checkpointer_close(Checkpointer *c)
{
        if (!c)
                return NULL;

        connection_done(&c->connection);
        free(c);
        return NULL;
}

/* The helper. */

struct CheckpointHelper {
        Checkpointer *checkpointer; /* the thread's own */
        pthread_t thread;
        bool started;

        pthread_mutex_t lock; /* for what follows */
        pthread_cond_t cond;
        enum { HELPER_IDLE, HELPER_ASKED, HELPER_FINISHED } state;
        int result;
        bool stop;
};

static void *helper_thread(void *userdata)
{
        CheckpointHelper *helper = userdata;
        int r;

        pthread_setname_np(pthread_self(), "checkpoint");
        pthread_mutex_lock(&helper->lock);
        for (;;) {
                while (helper->state != HELPER_ASKED && !helper->stop)
                        pthread_cond_wait(&helper->cond, &helper->lock);
                if (helper->stop)
                        break;

                pthread_mutex_unlock(&helper->lock);
                r = checkpointer_run(helper->checkpointer);
                pthread_mutex_lock(&helper->lock);

                helper->result = r;
                helper->state = HELPER_FINISHED;
        }
        pthread_mutex_unlock(&helper->lock);
        return NULL;
}

int checkpoint_helper_start(const char *path, CheckpointHelper **ret)
{
        _cleanup_(checkpoint_helper_stopp) CheckpointHelper *helper = NULL;
        int r;

        helper = calloc(1, sizeof(CheckpointHelper));
        if (!helper)
                return -ENOMEM;
        pthread_mutex_init(&helper->lock, NULL);
        pthread_cond_init(&helper->cond, NULL);
        r = checkpointer_open(path, &helper->checkpointer);
        if (r < 0)
                return r;
        r = pthread_create(&helper->thread, NULL, helper_thread, helper);
        if (r != 0)
                return -r;
        helper->started = true;
        *ret = TAKE_PTR(helper);
        return 0;
}

CheckpointHelper *checkpoint_helper_stop(CheckpointHelper *helper)
{
        if (!helper)
                return NULL;

        pthread_mutex_lock(&helper->lock);
        helper->stop = true;
        pthread_cond_signal(&helper->cond);
        pthread_mutex_unlock(&helper->lock);
        if (helper->started)
                pthread_join(helper->thread, NULL);
        checkpointer_close(helper->checkpointer);
        pthread_cond_destroy(&helper->cond);
        pthread_mutex_destroy(&helper->lock);
        free(helper);
        return NULL;
}

/* 1: it is through, and this was said now. */
static int helper_take_result(CheckpointHelper *helper)
{
        int r;

        pthread_mutex_lock(&helper->lock);
        r = helper->state == HELPER_FINISHED;
        if (r > 0)
                helper->state = HELPER_IDLE;
        if (r > 0 && helper->result < 0)
                r = helper->result;
        pthread_mutex_unlock(&helper->lock);
        return r;
}

static void helper_ask(CheckpointHelper *helper)
{
        pthread_mutex_lock(&helper->lock);
        if (helper->state == HELPER_IDLE) {
                helper->state = HELPER_ASKED;
                pthread_cond_signal(&helper->cond);
        }
        pthread_mutex_unlock(&helper->lock);
}

/* The writer's part. A reader in the way is not waited for, unless one was for a while: then for a moment,
 * in which whoever reads comes to an end while new ones need the WAL no more. */
static int finish(SqliteStore *s)
{
        uint64_t now = now_monotonic();
        bool wait = s->busy_since > 0 && now - s->busy_since > READER_WAIT_USEC;
        int r;

        r = checkpoint_finish(s, wait ? READER_WAIT_MSEC : 0);
        if (r != -EBUSY)
                s->busy_since = 0;
        else if (wait || s->busy_since == 0)
                s->busy_since = now;
        if (r >= 0)
                s->checkpoints++;
        return r;
}

int checkpoint_tend(SqliteStore *s)
{
        int r;

        r = helper_take_result(s->helper);
        if (r > 0)
                r = finish(s);
        else if (r == 0 && (writer_wal_size(s) > CHECKPOINT_MARK || s->busy_since > 0))
                helper_ask(s->helper);
        if (r < 0)
                log_debug_errno(r, "Checkpoint put off");
        if (r == -ENOTRECOVERABLE)
                return connection_refuse(&s->connection, r, "a checkpoint could not be synced to the disk");
        return r == -EIDRM ? r : 0;
}
