/* scale-callbackd: the command line, then the service. */

#include "callbackd/metrics.h"
#include "callbackd/service.h"
#include "daemon/program.h"

int main(int argc, char **argv)
{
        static const Program program = {
                .name = "scale-callbackd",
                .about = "Receives callbacks of the Scale API, keeps them, and answers local queries.",
                .credential = &service_credential,
                .check = receiver_service_check,
                .run = receiver_service_run,
                .describe_metrics = receiver_metrics_describe,
        };

        return program_main(&program, argc, argv);
}
