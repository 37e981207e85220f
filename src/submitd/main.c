/* scale-submitd: the command line, then the service. */

#include "daemon/program.h"
#include "submitd/api/key.h"
#include "submitd/service.h"
#include "submitd/socket/metrics.h"

int main(int argc, char **argv)
{
        static const Program program = {
                .name = "scale-submitd",
                .about = "Takes tasks for the Scale API, keeps them, and sends each exactly once.",
                .credential = &api_key_credential,
                .check = submit_service_check,
                .run = submit_service_run,
                .describe_metrics = submit_metrics_describe,
        };

        return program_main(&program, argc, argv);
}
