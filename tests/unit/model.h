#pragma once

/* Every interleaving of a few threads, one after the other: pthread's calls on threads of our own. */

#include "test.h"

#include <pthread.h>
#include <sys/types.h>
#include <time.h>

#define MODEL_LOOPS_MAX 2U

/* Runs `scenario` again and again until every schedule has been seen that interrupts a thread which could
 * have gone on at most `preemptions` times; how many there were. Fails, and says which, when one ends badly:
 * a promise broken, threads that wait for each other, a wait that only time ended. */
unsigned long model_explore(void (*scenario)(void), unsigned preemptions);

/* The same, but a bad end is what is wanted: what went wrong; NULL: nothing ever did. */
const char *model_find(void (*scenario)(void), unsigned preemptions);

/* For scenarios: one of 0..n-1, and each in its turn. */
unsigned model_choose(unsigned n);

/* Ends the schedule badly. */
_Noreturn void model_fail(const char *format, ...) _printf_(1, 2);
#define model_check(condition) ((condition) ? (void)0 : model_fail("line %d: %s", __LINE__, #condition))

unsigned model_thread(void); /* 0: the scenario's own */
uint64_t model_now(void);    /* microseconds; passes only when nothing else can happen */

/* What is asked before time passes: whether somebody waits in vain. */
extern void (*model_before_time_passes)(void);

/* Waits until the descriptor, one of model_eventfd()'s, can be read. */
void model_poll(int fd);

/* Which signal of a condition, which write to a descriptor gets lost, to see that it is missed; 0: none. */
extern unsigned model_lost_signal, model_lost_write;

int model_create(pthread_t *t, const pthread_attr_t *a, void *(*start)(void *), void *userdata);
int model_join(pthread_t t, void **ret);
int model_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *a);
int model_mutex_destroy(pthread_mutex_t *m);
int model_lock(pthread_mutex_t *m);
int model_unlock(pthread_mutex_t *m);
int model_cond_init(pthread_cond_t *c, const pthread_condattr_t *a);
int model_cond_destroy(pthread_cond_t *c);
int model_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int model_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *until);
int model_cond_signal(pthread_cond_t *c);
int model_cond_broadcast(pthread_cond_t *c);
int model_eventfd(unsigned value, int flags);
int model_eventfd_write(int fd, uint64_t value);
int model_eventfd_read(int fd, uint64_t *ret);
void model_close(int fd);
