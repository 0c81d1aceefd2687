/* The search itself: breadth first, with symmetry and partial order; and random runs. */

/* A number that depends on a state's successors and marks, but on no order of them. */
static int64_t NAME(fingerprint)(walker *w, const u64 *s, u64 n, u64 *sum)
{
    int waits = 0;
    int64_t end = NAME(expand)(w, s, n, &waits);

    *sum = (u64)waits;
    for (u64 i = n; end >= 0 && i < (u64)end; i++) {
        u64 c[W];

        memcpy(c, w->out + i * OUT_WORDS, sizeof c);
        NAME(canonical)(w, c);
        *sum += NAME(hash)(c) * (2 * w->out[i * OUT_WORDS + W] + 1);
    }
    return end;
}

/* Whether a state and the ones with two neighbours exchanged behave alike, up to permutation. */
static int NAME(is_symmetric)(walker *w, const u64 *s, u64 n)
{
    u64 expected, found;
    int64_t got = NAME(fingerprint)(w, s, n, &expected);

    if (got < 0)
        return got == -1 ? WALKER_MISS : WALKER_NO_MEMORY;
    for (u32 i = 0; i < w->chunk_count; i++) {
        const walker_chunk *c = w->chunks + i;

        if (i && c[-1].set == c->set)
            continue;
        for (u32 j = 1; j < c->members; j++) {
            u64 other[W];

            memcpy(other, s, sizeof other);
            NAME(swap)(w, c->set, j - 1, j, other);
            got = NAME(fingerprint)(w, other, n, &found);
            if (got < 0)
                return got == -1 ? WALKER_MISS : WALKER_NO_MEMORY;
            w->asymmetric_set = c->set;
            w->asymmetric_member = j;
            if (found != expected)
                return WALKER_ASYMMETRIC;
            for (u32 p = 0; p < w->predicate_count; p++) {
                int truth = NAME(judge)(w, w->predicate_roots[p], other);

                if (truth < 0) {
                    w->miss_tree = w->actor_count + p;
                    memcpy(w->miss_state, other, sizeof other);
                    return WALKER_MISS;
                }
                if (truth != NAME(judge)(w, w->predicate_roots[p], s))
                    return WALKER_ASYMMETRIC;
            }
        }
    }
    return WALKER_LEVEL;
}

/* The truth of each predicate; 0 where one is not known. */
static inline int NAME(judge_all)(walker *w, const u64 *s, u64 *events)
{
    *events = 0;
    for (u32 p = 0; p < w->predicate_count; p++) {
        int truth = NAME(judge)(w, w->predicate_roots[p], s);

        if (truth < 0) {
            w->miss_tree = w->actor_count + p;
            memcpy(w->miss_state, s, 8 * W);
            return 0;
        }
        if (truth == w->predicate_events[p])
            *events |= 1ull << p;
    }
    return 1;
}

/* Count what the outcomes [n, end) of one state came to; return how many lead on, packed. */
static inline u64 NAME(count)(walker *w, u64 n, u64 end, u64 events, int waits)
{
    u64 kept = n, any = 0;

    w->generated += end - n;
    w->expanded++;
    if (n == end && waits)
        hit(&w->deadlocks, w->level, 1);
    for (u32 p = 0; events; p++, events >>= 1)
        hit(w->predicates + p, w->level, events & 1);
    for (u64 i = n; i < end; i++)
        any |= w->out[i * OUT_WORDS + W];
    if (__builtin_expect(!any, 1))
        return end;
    for (u64 i = n; i < end; i++) {
        u64 *o = w->out + i * OUT_WORDS, marks = o[W];

        if (marks) {
            for (u32 b = 0; b < LENGTH(w->steps); b++)
                hit(w->steps + b, w->level, marks >> b & 1);
            if (marks & STOP) {
                w->stopped++;
                continue;
            }
        }
        if (kept != i)
            memcpy(w->out + kept * OUT_WORDS, o, 8 * W);
        kept++;
    }
    return kept;
}

/* Make the outcomes [n, end) canonical, drop those that were met a short while ago, and ask memory
   for the places of the others in the table; return where these end. Half of all outcomes go here:
   who steps first and who second mostly does not matter. */
static inline u64 NAME(announce)(walker *w, u64 n, u64 end)
{
    const u64 slots = w->table_slots, *table = w->table;
    u64 *out = w->out, *recent = w->recent, kept = n;
    const int is_symmetric = w->chunk_count != 0;

    for (u64 i = n; i < end; i++) {
        u64 s[W], hash, is_new, *met, *o = out + kept * OUT_WORDS;

        memcpy(s, out + i * OUT_WORDS, sizeof s);
        if (is_symmetric)
            NAME(canonical)(w, s);
        hash = NAME(hash)(s);
        met = recent + (hash & RECENT_MASK) * W;
        is_new = !NAME(same)(met, s);
        memcpy(met, s, sizeof s);
        memcpy(o, s, sizeof s);
        o[W] = hash;
        /* Not a branch, which a processor would guess wrong half of the time. */
        __asm__("" : "+r"(is_new));
        __builtin_prefetch(table + (place_of(hash, slots) & -is_new), 1);
        kept += is_new;
    }
    return kept;
}

/* Whether a state is new, or waits in the queue to be expanded after the one that is now. */
static int NAME(is_ahead)(const walker *w, const u64 *s)
{
#if W == 1
    return !w->table[NAME(find)(w, s, NAME(hash)(s))];
#else
    u64 x = w->table[NAME(find)(w, s, NAME(hash)(s))];

    return !x || (x & 0xffffffff) - 1 > w->expanded;
#endif
}

/* Whether an actor's outcomes [n, end), which read `reads`, are enough: nobody else can ever do
   anything that depends on them, no predicate sees them, none ends its path, and one leads to a
   state that is still to be expanded, so that nobody is put off for ever. */
static int NAME(is_enough)(const walker *w, u32 actor, const u64 *s, const u64 *reads, u64 n,
                           u64 end, const u32 *list)
{
    u64 writes[W] = {0};
    int is_ahead = 0;

    for (u64 i = n; i < end; i++) {
        const u64 *o = w->out + i * OUT_WORDS, *leaf = w->leaves + (u64)list[i - n] * LEAF_WORDS;
        u64 c[W];

        if (o[W] & STOP)
            return 0;
        memcpy(c, o, sizeof c);
        NAME(canonical)(w, c);
        is_ahead |= NAME(is_ahead)(w, c);
        /* What keeps its value is written all the same: somebody could change it in between. */
        for (int j = 0; j < W; j++)
            writes[j] |= ~leaf[j];
    }
    if (!is_ahead)
        return 0;
    for (int j = 0; j < W; j++)
        if (writes[j] & w->visible[j])
            return 0;
    for (u32 b = 0; b < w->actor_count; b++) {
        const walker_actor *other = w->actors + b;
        u32 local = NAME(bits)(s, other->offset, other->mask);

        if (b == actor)
            continue;
        if (local >= other->future_count)
            return 0;
        for (int j = 0; j < W; j++) {
            u64 will_read = other->future_reads[local * W + j];
            u64 will_write = other->future_writes[local * W + j];

            if ((writes[j] & (will_read | will_write)) || (reads[j] & will_write))
                return 0;
        }
    }
    return 1;
}

/* Append the outcomes of one actor whose steps are enough; as expand(), and n where none is. */
static int64_t NAME(ample)(walker *w, const u64 *s, u64 n)
{
    for (u32 a = 0; a < w->actor_count; a++) {
        const walker_actor *actor = w->actors + a;
        u32 local = NAME(bits)(s, actor->offset, actor->mask), list[LIST_MAX];
        u64 reads[W] = {0};
        int waits = 0;
        int64_t got = NAME(walk)(w, s, actor->roots[local], n, &waits, reads, list);

        if (got < 0) {
            w->miss_tree = a;
            memcpy(w->miss_state, s, 8 * W);
            return got;
        }
        if ((u64)got > n && (u64)got - n <= LIST_MAX &&
            NAME(is_enough)(w, a, s, reads, n, (u64)got, list))
            return got;
    }
    return (int64_t)n;
}

/* Expand one state and append its outcomes at w->out[*n]. */
static inline int NAME(expand_one)(walker *w, u64 index, u64 *n)
{
    const u64 *s = STATE(index);
    u64 events;
    int waits = 0;
    int64_t got;

    if (!NAME(judge_all)(w, s, &events))
        return WALKER_MISS;
    if (w->chunk_count && (index < 64 || index % 251 == 0)) {
        int why = NAME(is_symmetric)(w, s, *n);

        if (why != WALKER_LEVEL)
            return why;
    }
    got = w->is_partial ? NAME(ample)(w, s, *n) : (int64_t)*n;
    if (got == (int64_t)*n)
        got = NAME(expand)(w, s, *n, &waits);
    if (got < 0)
        return got == -1 ? WALKER_MISS : WALKER_NO_MEMORY;
    *n = NAME(count)(w, *n, (u64)got, events, waits);
    return WALKER_LEVEL;
}

/* Expand up to a batch of states, some at a time. What these lead to is looked at only after the
   next few were expanded, and entered after the few that follow, so that memory has answered by
   then and always has something to do. */
static int NAME(run_batch)(walker *w, u64 end)
{
    u64 n = 0, announced = 0, looked = 0, entered = 0;
    int why = WALKER_LEVEL;

    while (entered < n || (why == WALKER_LEVEL && w->expanded < end && n < BATCH_OUTCOMES)) {
        u64 before = announced, looked_at = looked;

        if (n < BATCH_OUTCOMES)
            for (int i = 0; i < TOGETHER && why == WALKER_LEVEL && w->expanded < end; i++)
                why = NAME(expand_one)(w, w->expanded, &n);
        announced = n = NAME(announce)(w, announced, n);
        for (; looked < before; looked++)
            NAME(look)(w, looked);
        if (!NAME(make_room)(w, looked_at - entered))
            return WALKER_NO_MEMORY;
        for (; entered < looked_at; entered++)
            if (!NAME(enter)(w, entered))
                return WALKER_NO_MEMORY;
    }
    return why;
}

static int NAME(run)(walker *w, u64 slice_states)
{
    u64 until = w->expanded + slice_states;

    while (w->expanded < w->level_end) {
        int why;

        if (w->expanded >= until)
            return WALKER_SLICE;
        why = NAME(run_batch)(w, w->level_end);
        if (why != WALKER_LEVEL)
            return why;
        if (w->states >= w->states_max)
            return WALKER_STATES;
        if (w->memory_bytes >= w->memory_max_bytes || w->states >= 0xfffffff0)
            return WALKER_MEMORY;
    }
    if (w->states == w->level_end)
        return WALKER_DONE;
    w->level_end = w->states;
    w->level++;
    return WALKER_LEVEL;
}

static int NAME(sample)(walker *w, const u64 *initial, u64 *seed, u32 steps_max, u32 *picks,
                        u32 *steps)
{
    u64 s[W];

    memcpy(s, initial, sizeof s);
    no_hits(w);
    for (*steps = 0;;) {
        u64 events, *o;
        int waits = 0;
        int64_t n;

        if (!NAME(judge_all)(w, s, &events))
            return WALKER_MISS;
        for (u32 p = 0; events; p++, events >>= 1)
            hit(w->predicates + p, (int)*steps, events & 1);
        if (*steps == steps_max)
            return WALKER_DONE;
        n = NAME(expand)(w, s, 0, &waits);
        if (n < 0)
            return n == -1 ? WALKER_MISS : WALKER_NO_MEMORY;
        if (n == 0) {
            hit(&w->deadlocks, (int)*steps, (u64)waits);
            return WALKER_DONE;
        }
        picks[*steps] = (u32)(random_number(seed) % (u64)n);
        o = w->out + picks[*steps] * OUT_WORDS;
        for (u32 b = 0; o[W] && b < LENGTH(w->steps); b++)
            hit(w->steps + b, (int)*steps, o[W] >> b & 1);
        ++*steps;
        if (o[W] & STOP)
            return WALKER_DONE;
        memcpy(s, o, sizeof s);
    }
}
