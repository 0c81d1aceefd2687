/* The walker for each number of words, in one variant. */
#define W 1
#include "_walker_core.h"
#undef W
#define W 2
#include "_walker_core.h"
#undef W
#define W 3
#include "_walker_core.h"
#undef W
#define W 4
#include "_walker_core.h"
#undef W
#define W 6
#include "_walker_core.h"
#undef W
#define W 8
#include "_walker_core.h"
#undef W

#define FOR(n)                                                                                     \
    {                                                                                              \
        JOIN(JOIN(begin, VARIANT), n), JOIN(JOIN(run, VARIANT), n), JOIN(JOIN(mark, VARIANT), n),  \
            JOIN(JOIN(target, VARIANT), n), JOIN(JOIN(reach, VARIANT), n),                         \
            JOIN(JOIN(sample, VARIANT), n)                                                         \
    }

static const operations *JOIN(operations, VARIANT)(u32 words)
{
    static const operations all[] = {FOR(1), FOR(2), FOR(3), FOR(4), FOR(6), FOR(8)};

    return all + (words <= 4 ? words - 1 : words / 2 + 1);
}
#undef FOR
