#include "base/rand.h"

#include <stdlib.h>
#include <sys/random.h>

/* One call to the kernel for many small wishes: a request id and a message id each take 16 bytes.
 */
static _Thread_local struct {
    unsigned char bytes[512];
    size_t left;
} pool;

static void from_kernel(unsigned char *at, size_t n)
{
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0) continue; /* interrupted: the only failure with no flags and a valid buffer */
        at += got;
        n -= (size_t)got;
    }
}

void rand_bytes(void *out, size_t n)
{
    unsigned char *to = out;

    if (n > sizeof pool.bytes / 4) {
        from_kernel(to, n);
        return;
    }
    if (pool.left < n) {
        from_kernel(pool.bytes, sizeof pool.bytes);
        pool.left = sizeof pool.bytes;
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = pool.bytes[--pool.left];
        pool.bytes[pool.left] = 0;
    }
}

uint64_t rand_u64(void)
{
    uint64_t n;
    rand_bytes(&n, sizeof n);
    return n;
}

double rand_unit(void)
{
    return (double)(rand_u64() >> 11) * 0x1p-53;
}

void rand_uuid(char out[RAND_UUID_BYTES])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char b[16];
    char *p = out;

    rand_bytes(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *p++ = '-';
        *p++ = hex[b[i] >> 4];
        *p++ = hex[b[i] & 15];
    }
    *p = '\0';
}
