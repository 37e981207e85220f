/*
 * Threads are contexts of one process's thread, and only change where they call in here: before a lock, in a
 * wait, before a descriptor is used. Between two such calls nothing that threads share is touched outside of
 * a lock, which is what the thread sanitizer watches over, so no other order could make a difference.
 *
 * Whenever more than one thread could go on, it is a choice; so is what a scenario asks model_choose(). A
 * schedule is the list of its choices. The next one has the last choice that has an alternative changed and
 * all before it the same: that way each is seen once and none is left out. What is bounded is how often a
 * thread that could have gone on is interrupted; that a waiting one gives way costs nothing.
 */

#include "model.h"

#include <stdio.h>
#include <ucontext.h>

#define THREADS_MAX 6U
#define OBJECTS_MAX 16U
#define CHOICES_MAX 4096U
#define STACK_SIZE  ((size_t)64 * 1024)
#define ROUND_USEC  1000000U
#define ROUNDS_MAX  8U

typedef enum State {
        UNUSED,
        READY,
        LOCKING, /* until `object` is free */
        WAITING, /* for a signal of `object` */
        TIMED,   /* the same, or for time */
        POLLING, /* until the descriptor can be read */
        JOINING, /* until thread `number` has ended */
        FINISHED,
} State;

typedef struct Thread {
        State state;
        const void *object;
        const void *mutex; /* to be taken again */
        unsigned number;
        bool timed_out;
        void *(*start)(void *);
        void *userdata;
        ucontext_t context;
        char stack[STACK_SIZE];
} Thread;

typedef struct Object {
        const void *address;
        bool is_mutex, dead;
        unsigned owner; /* + 1; 0: free */
} Object;

static Thread threads[THREADS_MAX];
static Object objects[OBJECTS_MAX];
static struct {
        bool open;
        uint64_t value;
} descriptors[OBJECTS_MAX];
static unsigned n_objects, n_descriptors, current, preemptions_left, rounds;
static ucontext_t explorer;
static char failure[512];
static bool failed;

static struct {
        unsigned short chosen, of;
} choices[CHOICES_MAX];
static unsigned n_choices, at_choice;

static void (*the_scenario)(void);
void (*model_before_time_passes)(void);
unsigned model_lost_signal, model_lost_write;
static unsigned n_signals, n_writes;

unsigned model_thread(void)
{
        return current;
}

uint64_t model_now(void)
{
        return ROUND_USEC * (uint64_t)(1 + rounds);
}

void model_fail(const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        vsnprintf(failure, sizeof(failure), format, ap);
        va_end(ap);
        failed = true;
        setcontext(&explorer);
        abort();
}

unsigned model_choose(unsigned n)
{
        unsigned i = at_choice;

        if (n <= 1)
                return 0;
        at_choice++;
        if (i == CHOICES_MAX)
                model_fail("a schedule without end");
        if (i == n_choices) {
                choices[i].chosen = 0;
                choices[i].of = (unsigned short)n;
                n_choices++;
        }
        if (choices[i].of != n)
                model_fail("choice %u is not the same when it is made again", i);
        return choices[i].chosen;
}

/* The next schedule. False: there is none. */
static bool advance(void)
{
        while (n_choices > 0 && choices[n_choices - 1].chosen + 1 == choices[n_choices - 1].of)
                n_choices--;
        if (n_choices == 0)
                return false;
        choices[n_choices - 1].chosen++;
        return true;
}

static Object *find(const void *address)
{
        for (unsigned i = 0; i < n_objects; i++)
                if (objects[i].address == address)
                        return &objects[i];
        return NULL;
}

static Object *get(const void *address, bool is_mutex)
{
        Object *o = find(address);

        if (!o || o->dead || o->is_mutex != is_mutex)
                model_fail("a %s is used that was destroyed, by thread %u", is_mutex ? "mutex" : "condition",
                                current);
        return o;
}

static bool can_go_on(const Thread *t)
{
        switch (t->state) {
        case READY:
                return true;
        case LOCKING:
                return get(t->object, true)->owner == 0;
        case POLLING:
                return descriptors[t->number].value > 0;
        case JOINING:
                return threads[t->number].state == FINISHED;
        case UNUSED:
        case WAITING:
        case TIMED:
        case FINISHED:
        default:
                return false;
        }
}

/* Nothing can happen any more but that time passes. */
static void pass_time(void)
{
        if (model_before_time_passes)
                model_before_time_passes();
        if (rounds++ == ROUNDS_MAX)
                model_fail("it goes on by time alone");
        for (unsigned i = 0; i < THREADS_MAX; i++)
                if (threads[i].state == TIMED) {
                        threads[i].state = LOCKING;
                        threads[i].object = threads[i].mutex;
                        threads[i].timed_out = true;
                        return;
                }
        model_fail("all threads wait for each other");
}

/* Who goes on: the current one first of all. */
static unsigned pick(void)
{
        unsigned able[THREADS_MAX], n = 0, chosen;
        bool current_can = can_go_on(&threads[current]);

        if (current_can)
                able[n++] = current;
        for (unsigned i = 0; i < THREADS_MAX; i++)
                if (i != current && can_go_on(&threads[i]))
                        able[n++] = i;
        if (n == 0) {
                pass_time();
                return pick();
        }
        if (current_can && preemptions_left == 0)
                return current;

        chosen = able[model_choose(n)];
        preemptions_left -= current_can && chosen != current;
        return chosen;
}

/* The current thread is in a new state; comes back when it is its turn. */
static void yield(void)
{
        unsigned from = current, to = pick();

        if (to == from)
                return;
        current = to;
        swapcontext(&threads[from].context, &threads[to].context);
}

static void wait_in(State state, const void *object, unsigned number)
{
        threads[current].state = state;
        threads[current].object = object;
        threads[current].number = number;
        yield();
        threads[current].state = READY;
}

static void run_thread(void)
{
        Thread *t = &threads[current];

        t->start(t->userdata);
        t->state = FINISHED;
        yield();
        abort();
}

static void *run_scenario(_unused_ void *userdata)
{
        the_scenario();
        for (unsigned i = 1; i < THREADS_MAX; i++)
                if (threads[i].state != UNUSED && threads[i].state != FINISHED)
                        model_fail("thread %u is still there at the end", i);
        setcontext(&explorer);
        abort();
}

static void prepare(Thread *t, void *(*start)(void *), void *userdata)
{
        t->state = READY;
        t->start = start;
        t->userdata = userdata;
        getcontext(&t->context);
        t->context.uc_stack.ss_sp = t->stack;
        t->context.uc_stack.ss_size = STACK_SIZE;
        t->context.uc_link = NULL;
        makecontext(&t->context, run_thread, 0);
}

/* One schedule. */
static void run(unsigned preemptions)
{
        volatile bool started = false;

        FOREACH_ARRAY(t, threads, THREADS_MAX)
                t->state = UNUSED;
        memset(descriptors, 0, sizeof(descriptors));
        n_objects = n_descriptors = current = rounds = n_signals = n_writes = at_choice = 0;
        preemptions_left = preemptions;
        failed = false;
        prepare(&threads[0], run_scenario, NULL);
        getcontext(&explorer);
        if (!started) {
                started = true;
                setcontext(&threads[0].context);
        }
}

static unsigned long explore(void (*scenario)(void), unsigned preemptions)
{
        unsigned long n = 0;

        the_scenario = scenario;
        n_choices = 0;
        do {
                run(preemptions);
                n++;
        } while (!failed && advance());
        return n;
}

unsigned long model_explore(void (*scenario)(void), unsigned preemptions)
{
        unsigned long n = explore(scenario, preemptions);

        if (failed) {
                print_error("Schedule %lu: %s\nIts choices:", n, failure);
                for (unsigned i = 0; i < at_choice && i < n_choices; i++)
                        print_error(" %u/%u", choices[i].chosen, choices[i].of);
                print_error("\n");
                fail();
        }
        return n;
}

const char *model_find(void (*scenario)(void), unsigned preemptions)
{
        explore(scenario, preemptions);
        return failed ? failure : NULL;
}

/* Threads. */

int model_create(pthread_t *t, _unused_ const pthread_attr_t *a, void *(*start)(void *), void *userdata)
{
        unsigned i = 1;

        while (i < THREADS_MAX && threads[i].state != UNUSED)
                i++;
        if (i == THREADS_MAX)
                model_fail("too many threads");
        prepare(&threads[i], start, userdata);
        *t = i;
        return 0;
}

int model_join(pthread_t t, _unused_ void **ret)
{
        wait_in(JOINING, NULL, (unsigned)t);
        return 0;
}

static void add(const void *address, bool is_mutex)
{
        Object *o = find(address);

        if (!o) {
                if (n_objects == OBJECTS_MAX)
                        model_fail("too many locks");
                o = &objects[n_objects++];
        }
        *o = (Object){ .address = address, .is_mutex = is_mutex };
}

int model_mutex_init(pthread_mutex_t *m, _unused_ const pthread_mutexattr_t *a)
{
        add(m, true);
        return 0;
}

int model_mutex_destroy(pthread_mutex_t *m)
{
        Object *o = get(m, true);

        if (o->owner != 0)
                model_fail("thread %u destroys a mutex that thread %u holds", current, o->owner - 1);
        o->dead = true;
        return 0;
}

static void take(const void *m)
{
        Object *o = get(m, true);

        if (o->owner != 0)
                model_fail("a mutex is taken twice");
        o->owner = current + 1;
}

int model_lock(pthread_mutex_t *m)
{
        (void)get(m, true);
        wait_in(LOCKING, m, 0);
        take(m);
        return 0;
}

int model_unlock(pthread_mutex_t *m)
{
        Object *o = get(m, true);

        if (o->owner != current + 1)
                model_fail("thread %u lets go of a mutex that it doesn't hold", current);
        o->owner = 0;
        return 0;
}

int model_cond_init(pthread_cond_t *c, _unused_ const pthread_condattr_t *a)
{
        add(c, false);
        return 0;
}

int model_cond_destroy(pthread_cond_t *c)
{
        get(c, false)->dead = true;
        for (unsigned i = 0; i < THREADS_MAX; i++)
                if ((threads[i].state == WAITING || threads[i].state == TIMED) && threads[i].object == c)
                        model_fail("a condition is destroyed that thread %u waits for", i);
        return 0;
}

static bool wait_for_signal(State state, pthread_cond_t *c, pthread_mutex_t *m)
{
        Thread *t = &threads[current];

        (void)get(c, false);
        model_unlock(m);
        t->mutex = m;
        t->timed_out = false;
        wait_in(state, c, 0); /* comes back as one that got the mutex */
        take(m);
        return t->timed_out;
}

int model_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
        (void)wait_for_signal(WAITING, c, m);
        return 0;
}

int model_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, _unused_ const struct timespec *until)
{
        return wait_for_signal(TIMED, c, m) ? ETIMEDOUT : 0;
}

static int wake(pthread_cond_t *c, unsigned most)
{
        (void)get(c, false);
        if (++n_signals == model_lost_signal)
                return 0;
        for (unsigned i = 0; i < THREADS_MAX && most > 0; i++) {
                Thread *t = &threads[i];

                if ((t->state != WAITING && t->state != TIMED) || t->object != c)
                        continue;
                t->state = LOCKING;
                t->object = t->mutex;
                most--;
        }
        return 0;
}

/* Never more than one waits, so nobody has to choose. */
int model_cond_signal(pthread_cond_t *c)
{
        return wake(c, 1);
}

int model_cond_broadcast(pthread_cond_t *c)
{
        return wake(c, THREADS_MAX);
}

/* Descriptors. */

int model_eventfd(unsigned value, _unused_ int flags)
{
        if (n_descriptors == OBJECTS_MAX)
                model_fail("too many descriptors");
        descriptors[n_descriptors].open = true;
        descriptors[n_descriptors].value = value;
        return (int)n_descriptors++;
}

static void check_open(int fd)
{
        if (fd < 0 || (unsigned)fd >= n_descriptors || !descriptors[fd].open)
                model_fail("a descriptor is used that is closed, by thread %u", current);
}

int model_eventfd_write(int fd, uint64_t value)
{
        yield();
        check_open(fd);
        if (++n_writes != model_lost_write)
                descriptors[fd].value += value;
        return 0;
}

int model_eventfd_read(int fd, uint64_t *ret)
{
        yield();
        check_open(fd);
        if (descriptors[fd].value == 0) {
                errno = EAGAIN;
                return -1;
        }
        *ret = descriptors[fd].value;
        descriptors[fd].value = 0;
        return 0;
}

void model_poll(int fd)
{
        check_open(fd);
        wait_in(POLLING, NULL, (unsigned)fd);
}

void model_close(int fd)
{
        check_open(fd);
        descriptors[fd].open = false;
}
