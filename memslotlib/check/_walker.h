/* What Python sees of the walker; read by cffi as it is, so no preprocessor lines. */

/* What an actor's tree came to in one local state, by the bits that it reads. */
typedef struct {
    uint32_t base;         /* where its entries begin; 0: it has none yet */
    uint32_t is_off;       /* it reads too much */
    uint64_t mask[8];
} walker_memo;

typedef struct {
    uint32_t offset;       /* where the actor's local state lies, in bits */
    uint32_t mask;
    const uint32_t *roots; /* its tree in each local state */
    walker_memo *memos;    /* zeroed, one for each local state */
    const uint64_t *future_reads;  /* what it may yet read: `words` words for each local state */
    const uint64_t *future_writes;
    uint32_t future_count; /* for so many local states; from the others it may do anything */
} walker_actor;

/* A part of every member's block of a symmetric set: see packing.py. */
typedef struct {
    uint32_t set;
    uint32_t members;
    uint32_t parts;        /* chunks of this set, from this one on */
    uint32_t is_in_one_word;
    uint64_t mask;
    uint16_t word[16];
    uint16_t shift[16];
} walker_chunk;

typedef struct {
    uint64_t count;
    int32_t level;         /* where the first one was, or -1 */
} walker_hits;

typedef struct {
    /* The program; Python renews these before each call. */
    uint32_t words;
    uint32_t is_fast;      /* see walker_can_be_fast() */
    const uint64_t *nodes;
    const uint64_t *leaves;
    uint32_t actor_count;
    const walker_actor *actors;
    uint32_t predicate_count;
    const uint32_t *predicate_roots;
    const uint8_t *predicate_events;
    uint32_t chunk_count;  /* 0: no symmetry */
    const walker_chunk *chunks;

    uint32_t is_partial;   /* partial order: explore one actor's steps where that is enough */
    const uint64_t *visible; /* the bits that predicates read */

    /* Bounds. */
    uint64_t states_max;
    uint64_t memory_max_bytes;

    /* What was found. */
    uint64_t states;
    uint64_t expanded;
    uint64_t level_end;
    int32_t level;
    uint64_t generated;
    uint64_t stopped;
    walker_hits steps[40];      /* two sorts of 20 properties; those of a state are three */
    walker_hits predicates[60];
    walker_hits deadlocks;
    uint64_t memory_bytes;

    /* Why a call came back: what has to be learnt, or what is wrong. */
    uint32_t miss_tree;
    uint64_t miss_state[8];
    uint32_t asymmetric_set;
    uint32_t asymmetric_member;

    /* The walker's own. */
    uint64_t *queue;
    uint64_t queue_bytes;
    uint64_t *table;
    uint64_t table_bytes;
    uint64_t table_slots;
    uint64_t *out;
    uint64_t out_slots;
    uint64_t *recent;
    uint32_t *memo;
    uint32_t memo_slots;
    uint32_t memo_used;
    uint32_t *lists;
    uint32_t lists_slots;
    uint32_t lists_used;
} walker;

/* What a call may come back with. */
enum {
    WALKER_LEVEL, WALKER_DONE, WALKER_SLICE, WALKER_MISS, WALKER_STATES, WALKER_MEMORY,
    WALKER_ASYMMETRIC, WALKER_NO_MEMORY
};

int walker_can_be_fast(void);
int walker_begin(walker *w, const uint64_t *initial);
int walker_run(walker *w, uint64_t slice_states);
void walker_end(walker *w);
/* End it, but leave its memory, empty, to one that begins later: fresh memory costs more time than
   searching it. */
void walker_hand_on(walker *w, walker *next);

/* Mark, level by level backwards, the states on shortest paths to a target: ends[k] is where level
   k ends. Of the last level the given states are marked already. Fills `marked`, a bit a state. */
int walker_mark(walker *w, const uint64_t *ends, uint32_t level, uint8_t *marked);
/* Mark the states in [begin, end) that are the target: kind 0 a step with this mark, 1 an event of
   this predicate, 2 a deadlock. */
void walker_target(walker *w, int kind, uint32_t number, uint64_t begin, uint64_t end,
                   uint8_t *marked);
/* Mark the states from which some state with the predicate can be reached. */
int walker_reach(walker *w, uint32_t predicate, uint8_t *marked);
/* One random run of at most so many steps: which outcome each step took, and how many there were.
   Its hits are in the walker's, with the number of steps before as their level. */
int walker_sample(walker *w, const uint64_t *initial, uint64_t *seed, uint32_t steps_max,
                  uint32_t *picks, uint32_t *steps);
