/* The part of the walker that depends on W, the number of words of a state. */

#define STATE(index) (w->queue + (index) * W)
#define LEAF_WORDS (2 * W + 1)

/* One outcome of a walk: W words of state, then the leaf's marks. */
#define OUT_WORDS (W + 1)

static inline u64 NAME(hash)(const u64 *s)
{
    u64 h = s[0] * 0x9e3779b97f4a7c15ull;

    for (int i = 1; i < W; i++) {
        h ^= h >> 29;
        h = (h + s[i]) * 0xbf58476d1ce4e5b9ull;
    }
    return last_mix(h);
}

static inline int NAME(same)(const u64 *a, const u64 *b)
{
    u64 difference = 0;

    for (int i = 0; i < W; i++)
        difference |= a[i] ^ b[i];
    return !difference;
}

static inline u32 NAME(bits)(const u64 *s, u32 offset, u32 mask)
{
#if W == 1
    return (u32)(s[0] >> offset) & mask;
#else
    return (u32)(s[offset >> 6] >> (offset & 63)) & mask;
#endif
}

/* Put a few blocks, each in one word, into descending order: without branches, which a processor
   would guess wrong. `n` is a constant where this is inlined. */
static inline __attribute__((always_inline)) void NAME(order_few)(const walker_chunk *c, u64 *s, int n)
{
    u64 before[4], b[4], d[4];

    for (int i = 0; i < n; i++)
        b[i] = before[i] = s[c->word[i]] >> c->shift[i] & c->mask;
    for (int last = n - 1; last > 0; last--) {
        for (int i = 0; i < last; i++) {
            u64 more = b[i] > b[i + 1] ? b[i] : b[i + 1], less = b[i] > b[i + 1] ? b[i + 1] : b[i];

            b[i] = more;
            b[i + 1] = less;
        }
    }
    for (int i = 0; i < n; i++)
        d[i] = (before[i] ^ b[i]) << c->shift[i];
    if (c->is_in_one_word) {
        for (int i = 1; i < n; i++)
            d[0] |= d[i];
        s[c->word[0]] ^= d[0];
    } else {
        for (int i = 0; i < n; i++)
            s[c->word[i]] ^= d[i];
    }
}

/* The same for any blocks: `parts` chunks for each member. */
static void NAME(order)(const walker_chunk *chunk, u32 parts, u64 *s)
{
    for (u32 i = 1; i < chunk->members; i++) {
        for (u32 j = i; j > 0; j--) {
            u64 a = 0, b = 0;
            u32 p = 0;

            for (; p < parts; p++) {
                a = s[chunk[p].word[j - 1]] >> chunk[p].shift[j - 1] & chunk[p].mask;
                b = s[chunk[p].word[j]] >> chunk[p].shift[j] & chunk[p].mask;
                if (a != b)
                    break;
            }
            if (a >= b)
                break;
            for (p = 0; p < parts; p++) {
                const walker_chunk *c = chunk + p;
                u64 d = ((s[c->word[j - 1]] >> c->shift[j - 1]) ^
                         (s[c->word[j]] >> c->shift[j])) & c->mask;
                s[c->word[j - 1]] ^= d << c->shift[j - 1];
                s[c->word[j]] ^= d << c->shift[j];
            }
        }
    }
}

/* Put each set's blocks into descending order; chunks of a set follow one another. */
static inline void NAME(canonical)(const walker *w, u64 *s)
{
    for (const walker_chunk *c = w->chunks, *end = c + w->chunk_count; c < end; c += c->parts) {
        if (c->parts == 1 && c->members == 2)
            NAME(order_few)(c, s, 2);
        else if (c->parts == 1 && c->members == 3)
            NAME(order_few)(c, s, 3);
        else if (c->parts == 1 && c->members == 4)
            NAME(order_few)(c, s, 4);
        else
            NAME(order)(c, c->parts, s);
    }
}

static void NAME(swap)(const walker *w, u32 set, u32 one, u32 other, u64 *s)
{
    for (u32 i = 0; i < w->chunk_count; i++) {
        const walker_chunk *c = w->chunks + i;
        u64 d;

        if (c->set != set)
            continue;
        d = ((s[c->word[one]] >> c->shift[one]) ^ (s[c->word[other]] >> c->shift[other])) & c->mask;
        s[c->word[one]] ^= d << c->shift[one];
        s[c->word[other]] ^= d << c->shift[other];
    }
}

/* A predicate's truth in a state; -1 where its tree is not known yet. */
static inline int NAME(judge)(const walker *w, u32 node, const u64 *s)
{
    for (;;) {
        u64 x = w->nodes[node];

        switch (x & 0xff) {
        case READ:
            node = (u32)(x >> 32) + NAME(bits)(s, x >> 16 & 0xffff, x >> 8 & 0xff);
            continue;
        case TRUE:
            return 1;
        case FALSE:
            return 0;
        default:
            return -1;
        }
    }
}

static int NAME(room)(walker *w)
{
    u64 *out = realloc(w->out, 2 * 8 * OUT_WORDS * w->out_slots);

    if (!out)
        return 0;
    w->out = out;
    w->out_slots *= 2;
    return 1;
}

/* Append the outcome of a leaf at w->out[n]; whether there was room. */
static inline int NAME(append)(walker *w, const u64 *s, u64 leaf_number, u64 n)
{
    const u64 *leaf = w->leaves + leaf_number * LEAF_WORDS;
    u64 *o;

    if (n == w->out_slots && !NAME(room)(w))
        return 0;
    o = w->out + n * OUT_WORDS;
    for (int i = 0; i < W; i++)
        o[i] = (s[i] & leaf[i]) | leaf[W + i];
    o[W] = leaf[2 * W];
    return 1;
}

/* Append the outcomes of a tree in state s at w->out[n]; return how many there are then, or -1 where
   the tree is not known, -2 where memory is out. Sets *waits where an outcome is blocked, the bits
   that were read in `bits`, and the leaves, of which there may be LIST_MAX, in `list`. */
static int64_t NAME(walk)(walker *w, const u64 *s, u32 node, u64 n, int *waits, u64 *bits, u32 *list)
{
    struct { u32 next, end; } nested[NESTED_MAX];
    int depth = 0;
    u32 leaves = 0;
    const u64 *nodes = w->nodes;

    for (;;) {
        u64 x = nodes[node];
        u32 kind = x & 0xff;

        if (kind == READ) {
            u32 offset = x >> 16 & 0xffff;

            bits[offset >> 6] |= (x >> 8 & 0xff) << (offset & 63);
            node = (u32)(x >> 32) + NAME(bits)(s, offset, x >> 8 & 0xff);
            continue;
        }
        if (kind == LEAF) {
            if (!NAME(append)(w, s, x >> 32, n++))
                return -2;
            if (leaves < LIST_MAX)
                list[leaves] = (u32)(x >> 32);
            leaves++;
        } else if (kind == CHOOSE) {
            u32 first = x >> 32, count = x >> 16 & 0xffff;

            if (depth == NESTED_MAX)
                return -2;
            nested[depth].next = first + 1;
            nested[depth++].end = first + count;
            node = first;
            continue;
        } else if (kind == BLOCKED) {
            *waits = 1;
        } else if (kind == UNKNOWN) {
            return -1;
        }
        if (!depth)
            return (int64_t)n;
        node = nested[depth - 1].next++;
        if (nested[depth - 1].next == nested[depth - 1].end)
            depth--;
    }
}

#if FAST
static inline u64 NAME(gathered)(const u64 *s, const u64 *mask)
{
    u64 index = 0;

    for (int i = W - 1; i >= 0; i--)
        index = index << __builtin_popcountll(mask[i]) | _pext_u64(s[i], mask[i]);
    return index;
}

/* Remember what a tree came to for the bits that it reads: `n` leaves of `list`, or a wait. */
static void NAME(remember)(walker *w, walker_memo *memo, const u64 *s, const u64 *bits, u64 n,
                           int waits, const u32 *list)
{
    u64 missing = 0;
    u32 entry, size = 0;

    for (int i = 0; i < W; i++)
        missing |= bits[i] & ~memo->mask[i];
    if (missing || !memo->base) {
        for (int i = 0; i < W; i++) {
            memo->mask[i] |= bits[i];
            size += (u32)__builtin_popcountll(memo->mask[i]);
        }
        if (size > MEMO_BITS_MAX || !(memo->base = memo_room(w, 1u << size))) {
            memo->base = 0;
            memo->is_off = 1;
            return;
        }
    }
    if (n == 0)
        entry = MEMO_NONE | (waits ? MEMO_WAITS : 0);
    else if (n == 1 && !waits)
        entry = MEMO_ONE | list[0] << 2;
    else if (n > LIST_MAX || !(entry = memo_list(w, n, waits, list)))
        return;
    w->memo[memo->base + NAME(gathered)(s, memo->mask)] = entry;
}
#endif

/* Append the outcomes of every actor; as walk(), and on -1 w->miss_* say what has to be learnt. */
static inline int64_t NAME(expand)(walker *w, const u64 *s, u64 n, int *waits)
{
    const walker_actor *actor = w->actors, *last = actor + w->actor_count;

    for (; actor < last; actor++) {
        u32 local = NAME(bits)(s, actor->offset, actor->mask);
        u64 bits[W] = {0};
        u32 list[LIST_MAX];
        int blocked = 0;
        int64_t got;

#if FAST
        walker_memo *memo = actor->memos + local;
        u32 entry = w->memo[memo->base + NAME(gathered)(s, memo->mask)];

        if (__builtin_expect((entry & 3) - 1 < 2, 1) && __builtin_expect(n < w->out_slots, 1)) {
            /* One outcome, or none: written either way, and counted only if it is one. */
            const u64 *leaf = w->leaves + (entry >> 2 & LEAF_MAX) * LEAF_WORDS;
            u64 *o = w->out + n * OUT_WORDS;

            for (int i = 0; i < W; i++)
                o[i] = (s[i] & leaf[i]) | leaf[W + i];
            o[W] = leaf[2 * W];
            n += entry & 1;
            *waits |= (int)(entry >> 31);
            continue;
        }
        if ((entry & 3) == MEMO_LIST) {
            const u32 *known = w->lists + (entry >> 2);

            *waits |= (int)known[1];
            for (u32 i = 0; i < known[0]; i++)
                if (!NAME(append)(w, s, known[2 + i], n++))
                    return -2;
            continue;
        }
#endif
        got = NAME(walk)(w, s, actor->roots[local], n, &blocked, bits, list);
        if (got < 0) {
            w->miss_tree = (u32)(actor - w->actors);
            memcpy(w->miss_state, s, 8 * W);
            return got;
        }
#if FAST
        if (!memo->is_off)
            NAME(remember)(w, memo, s, bits, (u64)got - n, blocked, list);
#endif
        *waits |= blocked;
        n = (u64)got;
    }
    return (int64_t)n;
}

/* Enter every old entry into a bigger table. Entries lie in the order of their hashes, and so do
   their new places: both tables are passed through once, and what was read is given back at once. */
static int NAME(grow_table)(walker *w)
{
    u64 before = w->table_slots, *old = w->table, done = 0;
    u64 slots = grown(before);
    u64 *table = map_bytes(8 * (slots + TABLE_TAIL));

    if (!table)
        return 0;
    for (u64 i = 0; i < before + TABLE_TAIL; i++) {
        u64 x = old[i], p;

        if (x) {
#if W == 1
            u64 key = x - 1;

            p = place_of(NAME(hash)(&key), slots);
#else
            p = place_of(x, slots);
#endif
            while (table[p])
                p++;
            table[p] = x;
        }
        if (8 * (i + 1 - done) == 8 * HUGE_BYTES) {
            madvise(old + done, 8 * HUGE_BYTES, MADV_DONTNEED);
            done = i + 1;
        }
    }
    munmap(old, 8 * (before + TABLE_TAIL));
    w->table = table;
    w->table_slots = slots;
    return 1;
}

/* Make room for so many more states, in the table and in the queue. */
static int NAME(make_room)(walker *w, u64 more)
{
    while ((w->states + more) * LOAD_DENOMINATOR > w->table_slots * LOAD_NUMERATOR)
        if (!NAME(grow_table)(w))
            return 0;
    /* One place more than states: what turns out to be known is written there first. */
    while (w->states + more + 1 > w->queue_slots) {
        u64 *queue = grow_map(w->queue, 8 * W * w->queue_slots, 16 * W * w->queue_slots);

        if (!queue)
            return 0;
        w->queue = queue;
        w->queue_slots *= 2;
    }
    w->memory_bytes = 8 * (w->table_slots + TABLE_TAIL) + 8 * W * w->states;
    return 1;
}

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
            for (u32 b = 0; b < 48; b++)
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

/* Make the kept outcomes canonical, and ask memory for their places in the table. */
static inline void NAME(announce)(walker *w, u64 n, u64 end)
{
    for (u64 i = n; i < end; i++) {
        u64 *o = w->out + i * OUT_WORDS;

        if (w->chunk_count)
            NAME(canonical)(w, o);
        o[W] = NAME(hash)(o);
        __builtin_prefetch(w->table + place_of(o[W], w->table_slots), 1);
    }
}

/* The first place from p on that is empty, or may hold the state: certainly with one word, and with
   more words as far as 32 bits of its hash tell. */
static inline u64 NAME(seek)(const u64 *table, u64 p, u64 wanted)
{
#if FAST
    const __m256i nothing = _mm256_setzero_si256(), want = _mm256_set1_epi64x((long long)wanted);

    for (;; p += 8) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(table + p));
        __m256i b = _mm256_loadu_si256((const __m256i *)(table + p + 4));
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
static u64 NAME(find)(const walker *w, const u64 *s, u64 hash)
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

/* Enter n announced outcomes: those that are new go to the end of the queue. Nearly all of it runs
   without branches: an entry that is there is written again as it is. */
static int NAME(enter)(walker *w, u64 n)
{
    u64 *table = w->table, slots = w->table_slots, last = slots + TABLE_TAIL - TABLE_STOP;
    u64 states = w->states;

#if W > 1
    for (u64 i = 0; i < n; i++) {
        u64 hash = w->out[i * OUT_WORDS + W], x = table[place_of(hash, slots)];

        if (x && !((x ^ hash) >> 32))
            __builtin_prefetch(STATE((x & 0xffffffff) - 1));
    }
#endif
    for (u64 i = 0; i < n; i++) {
        const u64 *o = w->out + i * OUT_WORDS;
        u64 hash = o[W], p = place_of(hash, slots), x;

#if W == 1
        p = NAME(seek)(table, p, o[0] + 1);
        x = table[p];
#else
        for (;; p++) {
            p = NAME(seek)(table, p, hash);
            x = table[p];
            if (__builtin_expect(!x || NAME(same)(STATE((x & 0xffffffff) - 1), o), 1))
                break;
        }
#endif
        /* The last places stay empty, so that every search ends. */
        if (__builtin_expect(p >= last, 0)) {
            w->states = states;
            if (!NAME(grow_table)(w))
                return 0;
            table = w->table;
            slots = w->table_slots;
            last = slots + TABLE_TAIL - TABLE_STOP;
            i--;
            continue;
        }
#if W == 1
        table[p] = o[0] + 1;
#else
        table[p] = x ? x : (hash >> 32 << 32) | (states + 1);
#endif
        memcpy(STATE(states), o, 8 * W);
        states += !x;
    }
    w->states = states;
    return 1;
}

static void NAME(begin)(walker *w, const u64 *initial)
{
    u64 s[W];

    memcpy(s, initial, sizeof s);
    NAME(canonical)(w, s);
    memcpy(w->out, s, sizeof s);
    w->out[W] = NAME(hash)(s);
    NAME(enter)(w, 1);
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

/* Append the outcomes of one actor whose steps are enough; as expand(), and n where there is none. */
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

static int NAME(run)(walker *w, u64 slice_states)
{
    u64 until = w->expanded + slice_states;

    while (w->expanded < w->level_end) {
        u64 n = 0, end = w->expanded + BATCH_STATES;
        int why = WALKER_LEVEL;

        if (w->expanded >= until)
            return WALKER_SLICE;
        if (end > w->level_end)
            end = w->level_end;
        while (w->expanded < end) {
            u64 index = w->expanded, events;
            const u64 *s = STATE(index);
            int waits = 0;
            int64_t got;

            if (!NAME(judge_all)(w, s, &events)) {
                why = WALKER_MISS;
                break;
            }
            if (w->chunk_count && (index < 64 || index % 251 == 0)) {
                why = NAME(is_symmetric)(w, s, n);
                if (why != WALKER_LEVEL)
                    break;
            }
            got = w->is_partial ? NAME(ample)(w, s, n) : (int64_t)n;
            if (got == (int64_t)n)
                got = NAME(expand)(w, s, n, &waits);
            if (got < 0) {
                why = got == -1 ? WALKER_MISS : WALKER_NO_MEMORY;
                break;
            }
            got = (int64_t)NAME(count)(w, n, (u64)got, events, waits);
            NAME(announce)(w, n, (u64)got);
            n = (u64)got;
        }
        if (!NAME(make_room)(w, n) || !NAME(enter)(w, n))
            return WALKER_NO_MEMORY;
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
        for (u32 b = 0; o[W] && b < 48; b++)
            hit(w->steps + b, (int)*steps, o[W] >> b & 1);
        ++*steps;
        if (o[W] & STOP)
            return WALKER_DONE;
        memcpy(s, o, sizeof s);
    }
}

static inline int NAME(bit)(const uint8_t *set, u64 index)
{
    return set[index >> 3] >> (index & 7) & 1;
}

static void NAME(target)(walker *w, int kind, u32 number, u64 begin, u64 end, uint8_t *marked)
{
    for (u64 index = begin; index < end; index++) {
        const u64 *s = STATE(index);
        int waits = 0, found = 0;

        if (kind == 1) {
            found = NAME(judge)(w, w->predicate_roots[number], s) == w->predicate_events[number];
        } else {
            int64_t n = NAME(expand)(w, s, 0, &waits);

            found = kind == 2 && n == 0 && waits;
            for (int64_t i = 0; kind == 0 && i < n; i++)
                found |= w->out[i * OUT_WORDS + W] >> number & 1;
        }
        if (found)
            marked[index >> 3] |= (uint8_t)(1u << (index & 7));
    }
}

static int NAME(mark)(walker *w, const u64 *ends, u32 level, uint8_t *marked)
{
    for (u32 k = level; k-- > 0;) {
        u64 begin = k ? ends[k - 1] : 0, middle = ends[k], end = ends[k + 1], slots = 1024, count = 0;
        u64 *ahead;

        for (u64 i = middle; i < end; i++)
            count += (u64)NAME(bit)(marked, i);
        while (slots < 4 * count)
            slots *= 2;
        ahead = calloc(slots, 8);
        if (!ahead)
            return WALKER_NO_MEMORY;
        for (u64 i = middle; i < end; i++) {
            if (NAME(bit)(marked, i)) {
                u64 p = NAME(hash)(STATE(i)) & (slots - 1);

                while (ahead[p])
                    p = (p + 1) & (slots - 1);
                ahead[p] = i + 1;
            }
        }
        for (u64 index = begin; index < middle; index++) {
            int waits = 0;
            int64_t n = NAME(expand)(w, STATE(index), 0, &waits);

            for (int64_t i = 0; i < n; i++) {
                u64 *o = w->out + i * OUT_WORDS, p;

                if (o[W] & STOP)
                    continue;
                NAME(canonical)(w, o);
                p = NAME(hash)(o) & (slots - 1);
                while (ahead[p] && !NAME(same)(STATE(ahead[p] - 1), o))
                    p = (p + 1) & (slots - 1);
                if (ahead[p]) {
                    marked[index >> 3] |= (uint8_t)(1u << (index & 7));
                    break;
                }
            }
        }
        free(ahead);
    }
    return WALKER_DONE;
}

/* The number of a state that is in the queue. */
static inline u64 NAME(index_of)(const walker *w, const u64 *s, const u32 *numbers)
{
    u64 p = NAME(find)(w, s, NAME(hash)(s));

#if W == 1
    return numbers[p];
#else
    (void)numbers;
    return (w->table[p] & 0xffffffff) - 1;
#endif
}

/* Fill `first` (states + 1 numbers) and *to with every step backwards: those into state i come from
   (*to)[first[i]] and on. A number of a state for each place of the table stands in `numbers`. */
static int NAME(backwards)(walker *w, u64 *first, u32 **to, const u32 *numbers)
{
    u64 count = 0, slots = 4 * w->states, (*steps)[2] = malloc(16 * slots);

    for (u64 index = 0; steps && index < w->states; index++) {
        int waits = 0;
        int64_t n = NAME(expand)(w, STATE(index), 0, &waits);

        for (int64_t i = 0; i < n; i++) {
            u64 *o = w->out + i * OUT_WORDS;

            if (o[W] & STOP)
                continue;
            NAME(canonical)(w, o);
            if (count == slots) {
                u64 (*more)[2] = realloc(steps, 32 * slots);

                if (!more)
                    free(steps);
                steps = more;
                slots *= 2;
                if (!steps)
                    break;
            }
            steps[count][0] = NAME(index_of)(w, o, numbers);
            steps[count++][1] = index;
        }
    }
    *to = steps ? malloc(4 * count + 4) : NULL;
    if (!*to) {
        free(steps);
        return 0;
    }
    memset(first, 0, 8 * (w->states + 2));
    for (u64 i = 0; i < count; i++)
        first[steps[i][0] + 2]++;
    for (u64 i = 2; i < w->states + 2; i++)
        first[i] += first[i - 1];
    for (u64 i = 0; i < count; i++)
        (*to)[first[steps[i][0] + 1]++] = (u32)steps[i][1];
    free(steps);
    return 1;
}

static int NAME(reach)(walker *w, u32 predicate, uint8_t *marked)
{
    u64 *first = malloc(8 * (w->states + 2)), waiting_count = 0;
    u32 *to = NULL, *waiting = malloc(4 * (w->states + 1));
    u32 *numbers = W == 1 ? malloc(4 * (w->table_slots + TABLE_TAIL)) : NULL;
    int is_done = first && waiting && (W > 1 || numbers);

    if (is_done && W == 1)
        for (u64 i = 0; i < w->states; i++)
            numbers[NAME(find)(w, STATE(i), NAME(hash)(STATE(i)))] = (u32)i;
    is_done = is_done && NAME(backwards)(w, first, &to, numbers);
    if (is_done) {
        for (u64 i = 0; i < w->states; i++) {
            if (NAME(judge)(w, w->predicate_roots[predicate], STATE(i)) == 1) {
                marked[i >> 3] |= (uint8_t)(1u << (i & 7));
                waiting[waiting_count++] = (u32)i;
            }
        }
        while (waiting_count) {
            u64 state = waiting[--waiting_count];

            for (u64 i = first[state]; i < first[state + 1]; i++) {
                u32 before = to[i];

                if (!NAME(bit)(marked, before)) {
                    marked[before >> 3] |= (uint8_t)(1u << (before & 7));
                    waiting[waiting_count++] = before;
                }
            }
        }
    }
    free(first);
    free(to);
    free(waiting);
    free(numbers);
    return is_done ? WALKER_DONE : WALKER_NO_MEMORY;
}

#undef STATE
#undef LEAF_WORDS
#undef OUT_WORDS
