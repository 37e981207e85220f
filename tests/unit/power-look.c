/*
 * Moments: the disks that a cut may leave right now are laid out, and each has to hold. On the writing
 * thread a moment stops that thread until the loop has come to rest, so that everybody has heard of all that
 * was promised; then the loop looks.
 */

#include "power.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "basic/fd.h"

/* What came out has to be the state before the group, or the one after it, which is not known yet; the
 * first opening makes the first state. */
static bool judge(Power *p, uint64_t digest)
{
        bool as_before = p->known && digest == p->digest;

        if (p->n_group == 0 && p->known && !as_before)
                return power_broken(p, "it is not what was last committed");
        p->met->before += p->n_group > 0 && as_before;
        if (as_before)
                return true;
        assert_true(p->n_pending < PENDING_MAX);
        p->pending[p->n_pending++] = digest;
        return true;
}

static bool look_at(Power *p, DiskCut cut, uint64_t *ret_digest)
{
        unsigned promises = 0;

        disk_empty(p->cut);
        disk_cut(cut, &p->chance, p->cut);
        p->met->states++;
        p->met->by_cut[cut]++;
        p->met->opening += p->moment == MOMENT_OPENING;
        p->met->closing += p->moment == MOMENT_CLOSING;
        p->met->threads += p->commit != NULL;
        FOREACH_ARRAY(a, p->acts, p->n_acts)
                promises += (*a)->acknowledged;
        if (power_check(p, ret_digest) && judge(p, *ret_digest))
                return true;

        fprintf(stderr, "after a cut with %s, %u acts acknowledged by the %s, state %u: %s\n",
                        disk_cut_to_string(cut), promises, p->commit ? "commit queue" : "store",
                        p->met->states, p->why);
        return false;
}

/* The power is gone for good: the next life begins with what is left now. */
static void die(Power *p)
{
        DiskCut cut = (DiskCut)pick(p, _DISK_CUT_MAX);
        uint64_t again = p->chance;

        if (!look_at(p, cut, &p->next_digest))
                return;
        disk_empty(p->next);
        disk_cut(cut, &again, p->next);
        p->dead = true;
        p->met->lives++;
}

void power_look_around(Power *p, unsigned extremes, unsigned randoms)
{
        static const DiskCut systematic[] = { CUT_NONE, CUT_ALL, CUT_LAST };
        uint64_t digest;

        if (disk_pending() == 0) { /* they are all the same */
                if (pick(p, 4) == 0)
                        (void)look_at(p, CUT_NONE, &digest);
                return;
        }
        FOREACH_ARRAY(cut, systematic, ELEMENTSOF(systematic))
                if (pick(p, 100) < extremes && !look_at(p, *cut, &digest))
                        return;
        for (unsigned i = 0; i < randoms; i++)
                if (!look_at(p, CUT_PREFIX + pick(p, _DISK_CUT_MAX - CUT_PREFIX), &digest))
                        return;
}

static void at_change(Power *p, DiskOp op)
{
        if (p->dead || p->why[0] || p->moment == MOMENT_NONE)
                return;
        if (op == DISK_SYNC) {
                p->met->at_sync++;
                /* An opening is the same every time. */
                power_look_around(p, p->moment == MOMENT_OPENING ? 15 : 100, pick(p, 3));
        } else if (pick(p, 30) == 0) {
                p->met->at_change++;
                power_look_around(p, 10, 1);
        }
        if (!p->why[0] && p->known && pick(p, 150) == 0)
                die(p);
}

/* Threads. */

static pthread_t main_thread;
static int asks = -EBADF;
static DiskOp asked;
static sem_t answer;

void power_on_change(DiskOp op, void *userdata)
{
        if (pthread_equal(pthread_self(), main_thread)) {
                at_change(userdata, op);
                return;
        }
        asked = op;
        assert_int_equal(eventfd_write(asks, 1), 0);
        while (sem_wait(&answer) < 0)
                continue;
}

static int on_asked(_unused_ sd_event_source *s, int fd, _unused_ uint32_t revents, void *userdata)
{
        eventfd_t n;

        assert_int_equal(eventfd_read(fd, &n), 0);
        at_change(userdata, asked);
        assert_int_equal(sem_post(&answer), 0);
        return 0;
}

void power_look_from(sd_event *loop, Power *p)
{
        sd_event_source *source;

        assert_true(sd_event_add_io(loop, &source, asks, EPOLLIN, on_asked, p) >= 0);
        /* When there is nothing else to do. */
        assert_true(sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IDLE) >= 0);
        assert_true(sd_event_source_set_floating(source, 1) >= 0);
        sd_event_source_unref(source);
}

void power_init(void)
{
        disk_install();
        main_thread = pthread_self();
        asks = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        assert_true(asks >= 0);
        assert_int_equal(sem_init(&answer, 0, 0), 0);
}

void power_done(void)
{
        asks = fd_close(asks);
        (void)sem_destroy(&answer);
}
