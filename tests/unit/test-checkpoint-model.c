/*
 * Checkpoints under every interleaving of the writer and its helper: the source itself, on the model's
 * threads, over an SQLite that only counts. Each schedule has to keep what the two phases promise: one
 * copies at a time, the writer lets the WAL start over only when a copy has come to its end, a failure is
 * told once, and whoever stops waits for nobody who has nothing to do.
 */

#include "model.h"

#include "basic/log.h"
#include "basic/time-util.h"
#include "store/sqlite/writer.h"

#define pthread_create(t, a, f, u)                      model_create(t, a, f, u)
#define pthread_join(t, r)                              model_join(t, r)
#define pthread_setname_np(t, n)                        ((void)(t))
#define pthread_mutex_init(m, a)                        model_mutex_init(m, a)
#define pthread_mutex_destroy(m)                        model_mutex_destroy(m)
#define pthread_mutex_lock(m)                           model_lock(m)
#define pthread_mutex_unlock(m)                         model_unlock(m)
#define pthread_cond_init(c, a)                         model_cond_init(c, a)
#define pthread_cond_destroy(c)                         model_cond_destroy(c)
#define pthread_cond_wait(c, m)                         model_cond_wait(c, m)
#define pthread_cond_signal(c)                          model_cond_signal(c)
#define now_monotonic()                                 model_now()
#define sqlite3_busy_timeout(db, msec)                  ((void)(db), (void)(msec))
#define sqlite3_wal_checkpoint_v2(db, n, mode, f, done) run_checkpoint(mode)

static int run_checkpoint(int mode);

#include "store/sqlite/checkpoint.c"

static struct Setup {
        unsigned rounds; /* of the writer */
        int failure;     /* of one of the copies */
} setup;

static unsigned n_copying, n_copied, n_finished, n_told;

static int run_checkpoint(int mode)
{
        pthread_mutex_t pause; /* somewhere for the others to come in */

        if (mode == SQLITE_CHECKPOINT_RESTART) {
                model_check(n_copying == 0 && n_finished < n_copied);
                n_finished++;
                return SQLITE_OK;
        }
        model_check(n_copying++ == 0);
        model_mutex_init(&pause, NULL);
        model_lock(&pause);
        model_unlock(&pause);
        model_mutex_destroy(&pause);
        n_copying--;
        n_copied++;
        return n_copied == 1 && setup.failure < 0 ? SQLITE_ERROR : SQLITE_OK;
}

/* The rest of the driver. */

int connection_open(_unused_ Connection *c, _unused_ const char *path, _unused_ int flags)
{
        return 0;
}

void connection_done(_unused_ Connection *c)
{
}

int connection_run(_unused_ Connection *c, _unused_ const char *sql, _unused_ const char *what)
{
        return 0;
}

int connection_identify(_unused_ Connection *c, _unused_ int *ret_version)
{
        return 0;
}

int connection_fail(_unused_ Connection *c, _unused_ const char *what)
{
        return setup.failure;
}

int connection_refuse(_unused_ Connection *c, int error, _unused_ const char *format, ...)
{
        return error;
}

int write_lock_take(_unused_ WriteLock *l, _unused_ Connection *c, _unused_ unsigned wait_msec)
{
        return 0;
}

void write_lock_release(_unused_ WriteLock *l)
{
}

int files_check(_unused_ SqliteStore *s)
{
        return 0;
}

uint64_t writer_wal_size(_unused_ const SqliteStore *s)
{
        return 2 * CHECKPOINT_MARK; /* always too long: the helper is always asked */
}

static void scenario(void)
{
        static SqliteStore s;

        s = (SqliteStore){};
        n_copying = n_copied = n_finished = n_told = 0;
        model_check(checkpoint_helper_start("scale.db", &s.helper) == 0);
        for (unsigned i = 0; i < setup.rounds; i++) {
                int r = checkpoint_tend(&s);

                model_check(r == 0 || r == setup.failure);
                n_told += r < 0;
        }
        s.helper = checkpoint_helper_stop(s.helper);
        model_check(n_copying == 0 && s.checkpoints == n_finished && n_finished <= n_copied);
        model_check(n_told <= 1 && (n_told == 0 || setup.failure == -ENOTRECOVERABLE));
}

static void explore(unsigned rounds, int error, unsigned preemptions)
{
        unsigned long n;

        setup = (struct Setup){ rounds, error };
        n = model_explore(scenario, preemptions);
        print_message("%u rounds, %d: %lu schedules\n", rounds, error, n);
        assert_true(n > 300);
}

static void test_copies(_unused_ void **state)
{
        explore(4, 0, 4);
        explore(8, 0, 3);
}

static void test_a_copy_fails(_unused_ void **state)
{
        explore(8, -EIO, 4);
        explore(8, -ENOTRECOVERABLE, 4);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_copies),
                cmocka_unit_test(test_a_copy_fails),
        };

        log_set_max_level(-1); /* failures are made up here */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
