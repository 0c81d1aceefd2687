/* The native engine: breadth-first search over packed states, walking the decision trees that
 * trees.py describes. It knows no model. Everything that depends on the number of words of a state
 * is in _walker_core.h, compiled once for each number.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "_walker.h"

typedef uint64_t u64;
typedef uint32_t u32;

enum { UNKNOWN, READ, CHOOSE, LEAF, BLOCKED, END, TRUE, FALSE };

#define STOP (1ull << 63)
/* A table is never fuller than this share, and grows by half: 8 bytes in 0.47 to 0.7 of a state. */
#define LOAD_NUMERATOR 7
#define LOAD_DENOMINATOR 10
#define GROWTH_NUMERATOR 3
#define GROWTH_DENOMINATOR 2
#define TABLE_SLOTS_FIRST (1u << 14)
#define QUEUE_SLOTS_FIRST (1u << 14)
/* Places behind the table's last one, for entries that its end pushes along. */
#define TABLE_TAIL 1024
/* States whose successors are gathered before any is looked up, so that memory answers meanwhile. */
#define BATCH_STATES 48
/* Choices within one step. */
#define NESTED_MAX 64
#define HUGE_BYTES (2u << 20)

static void *map_bytes(u64 bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    if (bytes >= HUGE_BYTES)
        madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

static void *grow_map(void *old, u64 bytes_before, u64 bytes)
{
    void *memory = mremap(old, bytes_before, bytes, MREMAP_MAYMOVE);

    if (memory == MAP_FAILED)
        return NULL;
    if (bytes >= HUGE_BYTES)
        madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

static void hit(walker_hits *hits, int level, u64 count)
{
    if (count && hits->level < 0)
        hits->level = level;
    hits->count += count;
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
#define NAME(name) JOIN(JOIN(name, _), W)

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


int walker_begin(walker *w, const u64 *initial)
{
    int level;

    w->queue_slots = QUEUE_SLOTS_FIRST;
    w->queue = map_bytes(8 * w->words * w->queue_slots);
    w->table_slots = TABLE_SLOTS_FIRST;
    w->table = map_bytes(8 * (w->table_slots + TABLE_TAIL));
    w->out_slots = 1u << 12;
    w->out = malloc(8 * (w->words + 1) * w->out_slots);
    if (!w->queue || !w->table || !w->out)
        return WALKER_NO_MEMORY;
    w->states = w->expanded = w->stopped = 0;
    w->generated = 1;
    w->level = 0;
    for (level = 0; level < 48; level++)
        w->steps[level] = (walker_hits){0, -1};
    for (level = 0; level < 72; level++)
        w->predicates[level] = (walker_hits){0, -1};
    w->deadlocks = (walker_hits){0, -1};
    switch (w->words) {
    case 1: begin_1(w, initial); break;
    case 2: begin_2(w, initial); break;
    case 3: begin_3(w, initial); break;
    case 4: begin_4(w, initial); break;
    case 6: begin_6(w, initial); break;
    default: begin_8(w, initial); break;
    }
    w->level_end = w->states;
    return WALKER_LEVEL;
}

int walker_run(walker *w, u64 slice_states)
{
    switch (w->words) {
    case 1: return run_1(w, slice_states);
    case 2: return run_2(w, slice_states);
    case 3: return run_3(w, slice_states);
    case 4: return run_4(w, slice_states);
    case 6: return run_6(w, slice_states);
    default: return run_8(w, slice_states);
    }
}

int walker_mark(walker *w, const u64 *ends, u32 level, uint8_t *marked)
{
    switch (w->words) {
    case 1: return mark_1(w, ends, level, marked);
    case 2: return mark_2(w, ends, level, marked);
    case 3: return mark_3(w, ends, level, marked);
    case 4: return mark_4(w, ends, level, marked);
    case 6: return mark_6(w, ends, level, marked);
    default: return mark_8(w, ends, level, marked);
    }
}

void walker_target(walker *w, int kind, u32 number, u64 begin, u64 end, uint8_t *marked)
{
    switch (w->words) {
    case 1: target_1(w, kind, number, begin, end, marked); break;
    case 2: target_2(w, kind, number, begin, end, marked); break;
    case 3: target_3(w, kind, number, begin, end, marked); break;
    case 4: target_4(w, kind, number, begin, end, marked); break;
    case 6: target_6(w, kind, number, begin, end, marked); break;
    default: target_8(w, kind, number, begin, end, marked); break;
    }
}

int walker_reach(walker *w, u32 predicate, uint8_t *marked)
{
    switch (w->words) {
    case 1: return reach_1(w, predicate, marked);
    case 2: return reach_2(w, predicate, marked);
    case 3: return reach_3(w, predicate, marked);
    case 4: return reach_4(w, predicate, marked);
    case 6: return reach_6(w, predicate, marked);
    default: return reach_8(w, predicate, marked);
    }
}

void walker_end(walker *w)
{
    if (w->queue)
        munmap(w->queue, 8 * w->words * w->queue_slots);
    if (w->table)
        munmap(w->table, 8 * (w->table_slots + TABLE_TAIL));
    free(w->out);
    w->queue = w->table = w->out = NULL;
    w->states = 0;
}
