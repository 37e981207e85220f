#pragma once

/* Groups: jobs that share a transaction. */

#include "daemon/commit.h"

/* Runs the jobs and commits. Those that fail on their own account are moved from *jobs to *ret_failed with
 * their results. 0: the rest is on disk. Negative errno: nothing is. */
int commit_group_write(Store *store, CommitJob **jobs, CommitJob **ret_failed);

/* Gives all of them the result; how many there are. */
uint64_t commit_group_finish(CommitJob *jobs, int result);
uint64_t commit_group_count(const CommitJob *jobs);
