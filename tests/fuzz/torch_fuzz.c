/* The same for pytorch_model.bin: zip directory, stream and pickles. */
#include "weights_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_weights("pytorch_model.bin", data, size);
    return 0;
}
