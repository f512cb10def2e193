/* The composition root: the only file that names concrete backends, stores and models.  A new one
 * is its file and a row here. */
#include "cli/cli.h"
#include "conf/conf.h"
#include "embedded.h"

#define AT(field) offsetof(struct conf, field)

/* clang-format off */
static const struct program_backend backends[] = {
    {.ops = &backend_anthropic, .base_url = AT(anthropic_base_url), .key = AT(anthropic_api_key), .bearer = AT(anthropic_auth_token), .version = AT(anthropic_version)},
    {.ops = &backend_google, .base_url = AT(google_gemini_base_url), .key = AT(google_api_key)},
    {.ops = &backend_hf, .base_url = AT(hf_inference_url), .key = AT(hf_api_token)},
    {.ops = &backend_local},
    {.ops = &backend_minimax, .base_url = AT(minimax_api_url), .key = AT(minimax_api_key), .version = AT(minimax_model_version)},
    {.ops = &backend_openai, .base_url = AT(openai_base_url), .key = AT(openai_api_key),
     .organization = AT(openai_org_id), .project = AT(openai_project_id)},
    {.ops = &backend_scripted},
};
/* clang-format on */

static const struct store_ops *const stores[] = {&store_sqlite, &store_memory, NULL};

int main(int argc, char **argv)
{
    const struct program program = {
        .version = SEMA_VERSION,
        .backends = backends,
        .backends_count = sizeof backends / sizeof *backends,
        .stores = stores,
        .embedded = embedded_models,
        .embedded_count = embedded_models_count,
    };

    return cli_run(&program, argc, argv);
}
