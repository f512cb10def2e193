/* Any bytes from a client: the requests read off them, and the refusal that ends them, are the same
 * wherever the network cuts.  The first byte says where. */
#include <stdlib.h>

#include "unit/http/request_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    str in = str_span(data + 1, size - 1);
    size_t cut = size > 1 ? data[0] * (size - 1) / 255 : 0;
    struct trace whole, halves, bytes;

    trace_init(&whole);
    trace_init(&halves);
    trace_init(&bytes);
    trace_feed(&whole, in);
    trace_feed(&halves, str_head(in, cut));
    trace_feed(&halves, str_tail(in, cut));
    if (in.len < 300) /* what is kept is moved for each byte */
        for (size_t i = 0; i < in.len; i++) trace_feed(&bytes, str_head(str_tail(in, i), 1));
    else
        trace_feed(&bytes, in);
    if (!str_eq(buf_str(&whole.seen), buf_str(&halves.seen))) abort();
    if (!str_eq(buf_str(&whole.seen), buf_str(&bytes.seen))) abort();
    trace_fini(&whole);
    trace_fini(&halves);
    trace_fini(&bytes);
    return 0;
}
