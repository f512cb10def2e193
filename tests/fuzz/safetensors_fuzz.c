/* A safetensors file of any bytes is refused with a reason, or every number in it can be read. */
#include "weights_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_weights("model.safetensors", data, size);
    return 0;
}
