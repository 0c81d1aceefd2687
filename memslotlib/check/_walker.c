/* The native engine: breadth-first search over packed states, walking the decision trees that
 * trees.py describes. It knows no model. Everything that depends on the number of words of a state
 * is in _walker_core.h, compiled once for each number, and twice over: a fast way for processors
 * that gather bits in one instruction.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#endif

#include "_walker.h"

typedef uint64_t u64;
typedef uint32_t u32;

enum { UNKNOWN, READ, CHOOSE, LEAF, BLOCKED, END, TRUE, FALSE };

#define STOP (1ull << 63)
#define LENGTH(array) (sizeof(array) / sizeof *(array))
/* A table is never fuller than this share. */
#define LOAD_NUMERATOR 7
#define LOAD_DENOMINATOR 10
#define TABLE_SLOTS_FIRST (1u << 14)
/* Places behind the table's last one, for entries that its end pushes along. */
#define TABLE_TAIL 1024
/* Of these the last ones stay empty; searches look at eight places at once. */
#define TABLE_STOP 16
/* Entries that a bigger table might put before where they were. */
#define TABLE_HEAD 4096
/* Outcomes for which there is room when a batch begins, and how many each waits to be seen to. */
#define BATCH_OUTCOMES 2048
#define TOGETHER 32
#define RECENT_MASK 0xfffu
/* Choices within one step: Python refuses more. */
#define NESTED_MAX 64
/* What a tree came to is remembered where it reads so few bits, and has so few outcomes. */
#define MEMO_BITS_MAX 12
#define LIST_MAX 64
#define LEAF_MAX 0x1fffffffu
#define MEMO_SLOTS_FIRST (1u << 14)
#define MEMO_SLOTS_MAX (1u << 22)
#define HUGE_BYTES (2u << 20)

/* Address space for up to so many bytes, or for as many as can be had: memory comes with the first
 * touch of each page. In big pages but for the beginning, which small searches do not leave. */
static void *reserve(u64 *bytes)
{
    for (; *bytes >= HUGE_BYTES; *bytes /= 2) {
        void *memory = mmap(NULL, *bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (memory != MAP_FAILED) {
            madvise((char *)memory + HUGE_BYTES, *bytes - HUGE_BYTES, MADV_HUGEPAGE);
            return memory;
        }
    }
    return NULL;
}

/* An entry of the memo: kind in bits 0-1, a leaf or a list above, 0 where nothing is known. */
enum { MEMO_ONE = 1, MEMO_NONE = 2, MEMO_LIST = 3 };
#define MEMO_WAITS (1u << 31)

/* So many more empty entries; their beginning, or 0 where there is no room for them. */
static u32 memo_room(walker *w, u32 count)
{
    u32 begin = w->memo_used;

    if (begin + count > MEMO_SLOTS_MAX)
        return 0;
    while (begin + count > w->memo_slots) {
        u32 *memo = realloc(w->memo, 8ull * w->memo_slots);

        if (!memo)
            return 0;
        memset(memo + w->memo_slots, 0, 4ull * w->memo_slots);
        w->memo = memo;
        w->memo_slots *= 2;
    }
    w->memo_used += count;
    return begin;
}

/* Keep a list of outcomes; an entry for it, or 0 where there is no room. */
static u32 memo_list(walker *w, u64 count, int waits, const u32 *leaves)
{
    u32 begin = w->lists_used;

    while (begin + count + 2 > w->lists_slots) {
        u32 *lists = realloc(w->lists, 8ull * w->lists_slots);

        if (!lists || w->lists_slots > MEMO_SLOTS_MAX)
            return 0;
        w->lists = lists;
        w->lists_slots *= 2;
    }
    w->lists[begin] = (u32)count;
    w->lists[begin + 1] = (u32)waits;
    memcpy(w->lists + begin + 2, leaves, 4 * count);
    w->lists_used += (u32)count + 2;
    return begin << 2 | MEMO_LIST;
}

static void hit(walker_hits *hits, int level, u64 count)
{
    if (count && hits->level < 0)
        hits->level = level;
    hits->count += count;
}

static void no_hits(walker *w)
{
    for (u32 n = 0; n < LENGTH(w->steps); n++)
        w->steps[n] = (walker_hits){0, -1};
    for (u32 n = 0; n < LENGTH(w->predicates); n++)
        w->predicates[n] = (walker_hits){0, -1};
    w->deadlocks = (walker_hits){0, -1};
}

/* The next number of a sequence that `seed` begins: Vigna's splitmix64. */
static u64 random_number(u64 *seed)
{
    u64 x = *seed += 0x9e3779b97f4a7c15ull;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

/* How big a table becomes: small ones grow fast, big ones so that they stay 0.4 full. */
static u64 grown(u64 slots)
{
    if (slots < 1u << 18)
        return slots < 1u << 17 ? 8 * slots : 4 * slots;
    return slots < 1u << 22 ? 2 * slots : slots / 4 * 7;
}

static inline u64 place_of(u64 hash, u64 slots)
{
    return ((hash >> 32) * slots) >> 32;
}

static inline u64 last_mix(u64 h)
{
    h ^= h >> 32;
    h *= 0x94d049bb133111ebull;
    return h ^ (h >> 29);
}

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(name) JOIN(JOIN(name, VARIANT), W)

/* What the functions do that depend on the number of words. */
typedef struct {
    void (*begin)(walker *, const u64 *);
    int (*run)(walker *, u64);
    int (*mark)(walker *, const u64 *, u32, uint8_t *);
    void (*target)(walker *, int, u32, u64, u64, uint8_t *);
    int (*reach)(walker *, u32, uint8_t *);
    int (*sample)(walker *, const u64 *, u64 *, u32, u32 *, u32 *);
} operations;

#define FAST 0
#define VARIANT _plain_
#include "_walker_words.h"
#undef FAST
#undef VARIANT

#ifdef __x86_64__
#pragma GCC push_options
#pragma GCC target("bmi,bmi2,popcnt,avx2")
#define FAST 1
#define VARIANT _fast_
#include "_walker_words.h"
#undef FAST
#undef VARIANT
#pragma GCC pop_options

/* Whether gathering bits is one instruction; on AMD before family 19h it is hundreds. */
static int is_fast(void)
{
    unsigned a, b, c, d, family;

    if (!__builtin_cpu_supports("bmi2") || !__builtin_cpu_supports("avx2") ||
        !__get_cpuid(1, &a, &b, &c, &d))
        return 0;
    family = (a >> 8 & 15) + (a >> 20 & 255);
    return !__builtin_cpu_is("amd") || family >= 0x19;
}
#endif

static const operations *of(const walker *w)
{
#ifdef __x86_64__
    if (w->is_fast)
        return operations_fast_(w->words);
#endif
    return operations_plain_(w->words);
}

int walker_can_be_fast(void)
{
#ifdef __x86_64__
    return is_fast();
#else
    return 0;
#endif
}

int walker_begin(walker *w, const u64 *initial)
{
    if (!w->queue) {
        w->queue_bytes = w->table_bytes = w->memory_max_bytes + 2 * HUGE_BYTES;
        w->queue = reserve(&w->queue_bytes);
        w->table = reserve(&w->table_bytes);
    }
    w->table_slots = TABLE_SLOTS_FIRST;
    w->out_slots = 1u << 12;
    w->out = malloc(8 * (w->words + 1) * w->out_slots);
    w->recent = malloc(8 * w->words * (RECENT_MASK + 1ull));
    w->memo_slots = MEMO_SLOTS_FIRST;
    w->memo = calloc(w->memo_slots, 4);
    w->memo_used = 1; /* Entry 0 is nobody's, and stays empty. */
    w->lists_slots = 1u << 10;
    w->lists = malloc(4 * w->lists_slots);
    w->lists_used = 0;
    if (!w->queue || !w->table || !w->out || !w->memo || !w->lists)
        return WALKER_NO_MEMORY;
    w->states = w->expanded = w->stopped = 0;
    w->generated = 1;
    w->level = 0;
    no_hits(w);
    of(w)->begin(w, initial);
    w->level_end = w->states;
    return WALKER_LEVEL;
}

int walker_run(walker *w, u64 slice_states)
{
    return of(w)->run(w, slice_states);
}

int walker_mark(walker *w, const u64 *ends, u32 level, uint8_t *marked)
{
    return of(w)->mark(w, ends, level, marked);
}

void walker_target(walker *w, int kind, u32 number, u64 begin, u64 end, uint8_t *marked)
{
    of(w)->target(w, kind, number, begin, end, marked);
}

int walker_reach(walker *w, u32 predicate, uint8_t *marked)
{
    return of(w)->reach(w, predicate, marked);
}

int walker_sample(walker *w, const u64 *initial, u64 *seed, u32 steps_max, u32 *picks, u32 *steps)
{
    return of(w)->sample(w, initial, seed, steps_max, picks, steps);
}

void walker_hand_on(walker *w, walker *next)
{
    memset(w->table, 0, 8 * (w->table_slots + TABLE_TAIL));
    next->queue = w->queue;
    next->queue_bytes = w->queue_bytes;
    next->table = w->table;
    next->table_bytes = w->table_bytes;
    w->queue = w->table = NULL;
    walker_end(w);
}

void walker_end(walker *w)
{
    if (w->queue)
        munmap(w->queue, w->queue_bytes);
    if (w->table)
        munmap(w->table, w->table_bytes);
    free(w->out);
    free(w->recent);
    free(w->memo);
    free(w->lists);
    w->queue = w->table = w->out = NULL;
    w->memo = w->lists = NULL;
    w->states = 0;
}
