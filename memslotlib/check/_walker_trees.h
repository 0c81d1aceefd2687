/* Walking decision trees, and remembering what they came to. */

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

/* Append the outcomes of a tree in state s at w->out[n]; return how many there are then, or -1
   where the tree is not known, -2 where memory is out. Sets *waits where an outcome is blocked, the
   bits that were read in `bits`, and the leaves, up to LIST_MAX of them, in `list`. */
static int64_t NAME(walk)(walker *w, const u64 *s, u32 node, u64 n, int *waits, u64 *bits,
                          u32 *list)
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
            /* No mask either: from base 0 on, only entry 0 is nobody's. */
            memset(memo, 0, sizeof *memo);
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
#if FAST
    const u64 *leaves = w->leaves;
#endif

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
            const u64 *leaf = leaves + (entry >> 2 & LEAF_MAX) * LEAF_WORDS;
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
