/* What is asked of a search that is done: shortest ways to a target, and what can be reached. */

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
        u64 begin = k ? ends[k - 1] : 0, middle = ends[k], end = ends[k + 1];
        u64 slots = 1024, count = 0;
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
