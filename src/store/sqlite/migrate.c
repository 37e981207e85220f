/*
 * The schema grows by numbered steps (sql/), each run once and for ever as it is; the database remembers the
 * number of the last one. All that are missing run in one transaction, so a database is always at a step and
 * never between two, whatever happens meanwhile. Nothing goes backwards: a database from the future is
 * refused before this is asked.
 */

#include "store/sqlite/writer.h"

#include <stdio.h>

typedef struct Migration {
        int number;
        const char *name;
        const char *sql;
} Migration;

#include "store/migrations.h"

int store_schema_version(void)
{
        return migrations[ELEMENTSOF(migrations) - 1].number;
}

static int run_migration(Connection *c, const Migration *m)
{
        char what[128];

        snprintf(what, sizeof(what), "Could not bring the schema to step %d (%s) in", m->number, m->name);
        return connection_run(c, m->sql, what);
}

static int mark(Connection *c)
{
        char sql[128];

        snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d",
                        STORE_APPLICATION_ID, store_schema_version());
        return connection_run(c, sql, "Could not mark the schema of");
}

static int migrate(Connection *c)
{
        int version, r;

        /* Read again: another process may have been faster. */
        r = connection_identify(c, &version);
        if (r < 0 || version == store_schema_version())
                return r;

        FOREACH_ARRAY(m, migrations, ELEMENTSOF(migrations)) {
                if (m->number <= version)
                        continue;
                r = run_migration(c, m);
                if (r < 0)
                        return r;
        }
        r = mark(c);
        if (r >= 0)
                r = chain_go_on_alone(c);
        if (r < 0)
                return r;
        return connection_run(c, "COMMIT", "Could not commit the new schema of");
}

int connection_migrate(Connection *c)
{
        int version, r;

        r = connection_identify(c, &version);
        if (r < 0 || version == store_schema_version())
                return r;

        r = connection_run(c, "BEGIN IMMEDIATE", "Could not lock");
        if (r < 0)
                return r;
        r = migrate(c);
        /* Ends what is still open: after a failure, or when there was nothing left to do. The reason is
         * told. */
        if (!sqlite3_get_autocommit(c->db))
                (void)sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
        return r;
}
