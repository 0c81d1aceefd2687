/* The part of the walker that depends on W, the number of words of a state. */

#define STATE(index) (w->queue + (index) * W)
/* A leaf: W words to keep, W words to set, and its marks. */
#define LEAF_WORDS (2 * W + 1)
/* One outcome of a walk: W words of state, then the leaf's marks, and later the state's hash. */
#define OUT_WORDS (W + 1)

#include "_walker_states.h"
#include "_walker_trees.h"
#include "_walker_table.h"
#include "_walker_search.h"
#include "_walker_traces.h"

#undef STATE
#undef LEAF_WORDS
#undef OUT_WORDS
