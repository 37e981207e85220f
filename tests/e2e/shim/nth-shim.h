#pragma once

/* The nth failure: what the shim and who drives it share. */

#include <stdatomic.h>

/* tests/e2e/nth.py reads these names. */
typedef enum NthKind {
        NTH_OFF,
        NTH_MEMORY,
        NTH_MAP,
        NTH_ACCEPT,
        NTH_SOCKET,
        NTH_BIND,
        NTH_CONNECT,
        NTH_SOCKOPT,
        NTH_RECEIVE, /* from a socket */
        NTH_SEND,    /* to a socket */
        NTH_READ,    /* from a file */
        NTH_WRITE,   /* to a file */
        NTH_OPEN,
        NTH_DESCRIPTOR, /* an epoll, an eventfd, a timerfd, a signalfd, a pipe */
        NTH_EPOLL_ADD,
        NTH_EPOLL_WAIT,
        NTH_THREAD,
} NthKind;

typedef struct NthControl {
        _Atomic int kind;
        int error;              /* errno; 0: a transfer of half of it */
        long n;                 /* the first call that fails, from 1 */
        long times;             /* how many do */
        _Atomic long count;     /* calls of this kind so far */
        _Atomic long fired;     /* that failed */
        _Atomic long allocated; /* and not freed, ever */
} NthControl;

NthControl *nth_control(void);
