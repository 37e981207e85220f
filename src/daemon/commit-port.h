#pragma once

/* The queue's ends: what the writer and the ports share. */

#include "daemon/commit.h"

typedef struct CommitQueue {
        CommitJob *head, **tail;
} CommitQueue;

void commit_queue_init(CommitQueue *q);
void commit_queue_push(CommitQueue *q, CommitJob *job);
CommitJob *commit_queue_take_all(CommitQueue *q);

/* Gives jobs that are finished back to their ports' loops, each of which is woken once. On the writer's
 * thread. */
void commit_hand_back(CommitJob *jobs);

/* Puts a job into the writer's queue: see commit_submit(). */
int commit_enqueue(Commit *c, CommitJob *job);
