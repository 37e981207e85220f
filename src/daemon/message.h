#pragma once

/* Message ids: one for each kind of event, explained in systemd/scale.catalog (a test holds the two against
 * each other). Never reuse one for something else. */

#define MESSAGE_REFUSED \
        "807e816264204deda22c84bff67c16e6" /* it does not start until somebody mends something */
#define MESSAGE_READY    "3cb18b6e64ab4598a0a079056a51e6e9" /* the daemon takes requests */
#define MESSAGE_STOPPING "3ac5e031ecb6424ebf9e13f90d37932d" /* it was told to end */
#define MESSAGE_RELOADED "eaae6325296f4e40a185f801555870f0" /* new settings and keys are in force */
#define MESSAGE_NOT_RELOADED \
        "467e6fac30fe4a90b70416c8e000cc95" /* a reload found a mistake; the old ones stay */
#define MESSAGE_KEYS_MISSING "f0b81c4b73ca4ed2b1c2a701d4cdb1be" /* no key, or none that can be read */
#define MESSAGE_DATABASE     "d27ca5c342d140cf81cf62defe54e584" /* the database can't be opened */
#define MESSAGE_NOT_WRITABLE \
        "4acb04e80b87479b93e8ea24d9f42e91" /* nothing can be stored; requests are answered 503 */
#define MESSAGE_WRITABLE    "c7b9e282c300473ea7cf17ded70ffc45" /* it can again */
#define MESSAGE_DISK_FAILED "0b8134d0b6c34a32b9f1bfdfbe99a514" /* a sync failed; the daemon ends */
#define MESSAGE_DATABASE_MOVED \
        "74a5fc8e346040ee9194867016aeba9e" /* the database was removed or replaced; the daemon ends */
#define MESSAGE_CONNECTIONS_CUT                                                                         \
        "4f06f7bcaf9846ccbbfec90e745ec828"                      /* requests that did not finish in time \
                                                                 */
#define MESSAGE_CLOCK_JUMPED "d0c3d6ada44342fca59e0a26fe30219d" /* the clock was set */
#define MESSAGE_UNAUTHORIZED \
        "98a80920fbfe46c7809e8d2de5ef5021" /* callbacks without a valid key, aggregated */
#define MESSAGE_MISDIRECTED "088c550fa6fc40389d34f6383064a61d" /* callbacks with a key, to other paths */
#define MESSAGE_DELIVERY    "4bd1f65a0af845d09960c12b20c568e9" /* a callback as it should be */
#define MESSAGE_DELIVERY_REVISED \
        "c20855d373d247ff8d18d4586e60c057" /* another response for a task that has one */
#define MESSAGE_DELIVERY_INVALID "e375338e8ba0427fab44e141877f066f" /* what went to the quarantine */
#define MESSAGE_ATTACHMENT_FAILED \
        "4a594eb760de471f91ce0c851fd26aeb" /* Scale could not fetch an attachment */
#define MESSAGE_QUEUE_HELD \
        "e0a03377619d4f988df69f8012f40e52" /* an answer about the account holds the queue */
#define MESSAGE_SUBMISSION_REJECTED "6aad0be685f2487ca8fd815363f5e5bf" /* the API refused a task */
#define MESSAGE_SUBMISSION_EXPIRED  "e72c90371f5848349ab701e4ce657fec" /* given up after days of failures */
#define MESSAGE_SUBMISSION_UNKNOWN \
        "473e9c1efcbf4a729c4be374a04a8a8f"                     /* an answer never came; it is looked for */
#define MESSAGE_SECOND_TASK "42aa1e40d49c4cc2a17ea1b16d36db59" /* a submission has two tasks */
#define MESSAGE_RECOVERED \
        "465549865a5e4e15aa82ffabb85a25ef" /* reconciliation found what no callback brought */
#define MESSAGE_RECONCILE_FAILED "6ec0fbe41ae242fba8e6091042c86093" /* a round ended early */
#define MESSAGE_CALLBACK_URL_MISSING \
        "e8c4474254a94a69ae2c7b44c6e600bc" /* [submit] callback_url is not set */
