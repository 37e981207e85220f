/*
 * Checkpoints in two phases. By itself one would come in the middle of a group and let everybody wait. Here
 * a helper's connection copies the WAL back beside the writer, waiting for nobody; then the writer, between
 * two groups, brings over the small rest and lets the WAL start over. It starts over in place: the file
 * keeps its size (up to a limit), because writing over what is allocated syncs faster than growing does.
 */

#include "store/sqlite/writer.h"

static int checkpoint(Store *s, int mode, unsigned wait_msec)
{
        Connection *c = &s->connection;
        int frames = 0, done = 0, rc, r;
        bool was_held;

        assert(!s->in_group);
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

int store_checkpoint(Store *s, unsigned wait_msec)
{
        return checkpoint(s, SQLITE_CHECKPOINT_RESTART, wait_msec);
}

int store_empty_log(Store *s)
{
        return checkpoint(s, SQLITE_CHECKPOINT_TRUNCATE, 0);
}

struct StoreCheckpointer {
        Connection connection;
};

int store_checkpointer_open(const char *path, StoreCheckpointer **ret)
{
        _cleanup_(store_checkpointer_closep) StoreCheckpointer *c = NULL;
        int version, r;

        c = calloc(1, sizeof(StoreCheckpointer));
        if (!c)
                return -ENOMEM;

        r = connection_open(&c->connection, path, SQLITE_OPEN_READWRITE, NULL);
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

int store_checkpointer_run(StoreCheckpointer *c)
{
        if (c->connection.lost)
                return -ENOTRECOVERABLE;
        errno = 0;
        if (sqlite3_wal_checkpoint_v2(c->connection.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) !=
                        SQLITE_OK)
                return connection_fail(&c->connection, "Could not checkpoint");
        return 0;
}

StoreCheckpointer *store_checkpointer_close(StoreCheckpointer *c)
{
        if (!c)
                return NULL;

        connection_done(&c->connection);
        free(c);
        return NULL;
}
