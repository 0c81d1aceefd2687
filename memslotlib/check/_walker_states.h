/* Packed states of W words: fields, hashes, and the order of interchangeable members. */

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
static inline __attribute__((always_inline)) void NAME(order_few)(const walker_chunk *c, u64 *s,
                                                                  int n)
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
