/* The table of known states and the queue of all of them, in the order in which they were found. */

/* Where an entry goes that is in the table. */
static inline u64 NAME(home)(u64 entry, u64 slots)
{
#if W == 1
    u64 key = entry - 1;

    return place_of(NAME(hash)(&key), slots);
#else
    return place_of(entry, slots);
#endif
}

static inline void NAME(put)(u64 *table, u64 entry, u64 slots)
{
    u64 p = NAME(home)(entry, slots);

    while (table[p])
        p++;
    table[p] = entry;
}

/* Make the table bigger where it is. Entries lie in the order of their hashes, so each goes to
   behind where it was: from the last one to the first nothing is overwritten, but for the first
   few, which are taken out before. */
static int NAME(grow_table)(walker *w)
{
    u64 before = w->table_slots, slots = grown(before), *table = w->table, head[TABLE_HEAD];

    if (8 * (slots + TABLE_TAIL) > w->table_bytes || slots >> 32)
        return 0;
    memcpy(head, table, sizeof head);
    memset(table, 0, sizeof head);
    for (u64 i = before + TABLE_TAIL; i-- > TABLE_HEAD;) {
        u64 x = table[i];

        if (x) {
            table[i] = 0;
            NAME(put)(table, x, slots);
        }
    }
    for (u64 i = 0; i < TABLE_HEAD; i++)
        if (head[i])
            NAME(put)(table, head[i], slots);
    w->table_slots = slots;
    return 1;
}

/* Make room for so many more states, in the table and in the queue. */
static int NAME(make_room)(walker *w, u64 more)
{
    while ((w->states + more) * LOAD_DENOMINATOR > w->table_slots * LOAD_NUMERATOR)
        if (!NAME(grow_table)(w))
            return 0;
    w->memory_bytes = 8 * (w->table_slots + TABLE_TAIL) + 8 * W * w->states;
    /* One place more than states: what turns out to be known is written there first. */
    return 8 * W * (w->states + more + 1) <= w->queue_bytes;
}

/* The first place from p on that is empty, or may hold the state: certainly with one word, and with
   more words as far as 32 bits of its hash tell. */
static inline u64 NAME(seek)(const u64 *table, u64 p, u64 wanted)
{
#if FAST
    const __m256i nothing = _mm256_setzero_si256(), want = _mm256_set1_epi64x((long long)wanted);

    /* A line of the cache at a time, eight places: looking at the next one too would fetch it. */
    u32 behind = ~0u << (p & 7);

    for (p &= ~7ull;; p += 8, behind = ~0u) {
        __m256i a = _mm256_load_si256((const __m256i *)(table + p));
        __m256i b = _mm256_load_si256((const __m256i *)(table + p + 4));
        __m256i is_a = _mm256_cmpeq_epi64(a, nothing), is_b = _mm256_cmpeq_epi64(b, nothing);
        u32 found;

#if W == 1
        is_a = _mm256_or_si256(is_a, _mm256_cmpeq_epi64(a, want));
        is_b = _mm256_or_si256(is_b, _mm256_cmpeq_epi64(b, want));
#else
        /* Only the upper half's comparison reaches the sign bit that is looked at below. */
        is_a = _mm256_or_si256(is_a, _mm256_cmpeq_epi32(a, want));
        is_b = _mm256_or_si256(is_b, _mm256_cmpeq_epi32(b, want));
#endif
        found = (u32)_mm256_movemask_pd(_mm256_castsi256_pd(is_a)) |
                (u32)_mm256_movemask_pd(_mm256_castsi256_pd(is_b)) << 4;
        found &= behind;
        if (__builtin_expect(found != 0, 1))
            return p + (u64)__builtin_ctz(found);
    }
#else
    u64 x;

#if W == 1
    while ((x = table[p]) && x != wanted)
        p++;
#else
    while ((x = table[p]) && (x ^ wanted) >> 32)
        p++;
#endif
    return p;
#endif
}

/* Where a state is in the table, or where it would go. */
static inline u64 NAME(find)(const walker *w, const u64 *s, u64 hash)
{
    u64 p = place_of(hash, w->table_slots);

#if W == 1
    return NAME(seek)(w->table, p, s[0] + 1);
#else
    for (;; p++) {
        u64 x;

        p = NAME(seek)(w->table, p, hash);
        x = w->table[p];
        if (!x || NAME(same)(STATE((x & 0xffffffff) - 1), s))
            return p;
    }
#endif
}

/* Ask memory for the state that an announced outcome may be, as far as its place tells. */
static inline void NAME(look)(const walker *w, u64 i)
{
#if W > 1
    u64 hash = w->out[i * OUT_WORDS + W], x = w->table[place_of(hash, w->table_slots)];

    if (x && !((x ^ hash) >> 32))
        __builtin_prefetch(STATE((x & 0xffffffff) - 1));
#else
    (void)w;
    (void)i;
#endif
}

/* Enter an announced outcome, for which there is room: a new one goes to the end of the queue.
   Nearly without branches: an entry that is there is written again as it is. */
static inline int NAME(enter)(walker *w, u64 i)
{
    const u64 *o = w->out + i * OUT_WORDS;
    u64 hash = o[W], p = NAME(find)(w, o, hash), x = w->table[p];

    /* The last places stay empty, so that every search ends. */
    if (__builtin_expect(p >= w->table_slots + TABLE_TAIL - TABLE_STOP, 0))
        return NAME(grow_table)(w) && NAME(enter)(w, i);
#if W == 1
    w->table[p] = o[0] + 1;
#else
    w->table[p] = x ? x : (hash >> 32 << 32) | (w->states + 1);
#endif
    memcpy(STATE(w->states), o, 8 * W);
    w->states += !x;
    return 1;
}

static void NAME(begin)(walker *w, const u64 *initial)
{
    u64 s[W];

    memcpy(s, initial, sizeof s);
    NAME(canonical)(w, s);
    for (u64 i = 0; i <= RECENT_MASK; i++)
        memcpy(w->recent + i * W, s, sizeof s);
    memcpy(w->out, s, sizeof s);
    w->out[W] = NAME(hash)(s);
    NAME(enter)(w, 0);
}
