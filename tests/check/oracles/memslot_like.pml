/* benchmarks/memslot_like.py once more, in Promela and by hand, to hold the explorer's counts
 * against. Parameters: -DVCPUS=2 (1 to 4), -DPAGES=2 (2 or 3), -DACCESSES=1, -DATOMIC, -DNO_SYNC,
 * -DNO_FLUSH. Run with spin -o2, or else SPIN leaves out variables that are written and never read.
 *
 * A micro-step of the model is one d_step here. Local variables are set back to 0 where they are no
 * longer needed, because two states that differ in nothing else are the same state.
 */
#ifndef VCPUS
#define VCPUS 2
#endif
#ifndef PAGES
#define PAGES 2
#endif
#ifndef ACCESSES
#define ACCESSES 2
#endif

#if VCPUS == 1
#define EACH_VCPU(do_it) do_it(0)
#define EVERY_VCPU(is_so) is_so(0)
#elif VCPUS == 2
#define EACH_VCPU(do_it) do_it(0); do_it(1)
#define EVERY_VCPU(is_so) is_so(0) && is_so(1)
#elif VCPUS == 3
#define EACH_VCPU(do_it) do_it(0); do_it(1); do_it(2)
#define EVERY_VCPU(is_so) is_so(0) && is_so(1) && is_so(2)
#else
#define EACH_VCPU(do_it) do_it(0); do_it(1); do_it(2); do_it(3)
#define EVERY_VCPU(is_so) is_so(0) && is_so(1) && is_so(2) && is_so(3)
#endif

#define DELETED 0
#define INVALID 1

byte slot[PAGES] = 2;  /* DELETED, INVALID, or 1 + the number of what backs it */
byte spte[PAGES];      /* 0, or 2 * backing - 1 if read-only, 2 * backing if writable */
bit dirty[PAGES];
bit written[PAGES];
bit busy[PAGES];
byte tlb[VCPUS * PAGES];
bit kicked[VCPUS];
byte reading[VCPUS];   /* 1: inside, 2: inside since before the last swap */
byte seq;

#define IS_WRITABLE(entry) (entry != 0 && (entry & 1) == 0)
#define LETS(entry) (entry != 0 && (!is_write || (entry & 1) == 0))
#define BACKING(entry) ((entry + 1) >> 1)

#define ENTRY tlb[me * PAGES + page]
#define PICK(which) \
    :: d_step { left > 0 -> left--; page = which; is_write = 0 }; goto translate; \
    :: d_step { left > 0 -> left--; page = which; is_write = 1 }; goto translate

active [VCPUS] proctype vcpu()
{
    byte left = ACCESSES, page, backing, seen;
    bit is_write;
#define me _pid

end_pick:
    if
    PICK(0)
    PICK(1)
#if PAGES == 3
    PICK(2)
#endif
    fi;

translate:
    if
    :: d_step { LETS(ENTRY) ->
            if
            :: is_write ->
                assert(busy[page] || BACKING(ENTRY) == slot[page] - 1);
                written[page] = 1
            :: else
            fi;
            page = 0; is_write = 0
        }; goto end_pick
    :: !LETS(ENTRY)
    fi;

    if
    :: d_step { LETS(spte[page]) -> ENTRY = spte[page] }; goto translate
    :: !LETS(spte[page])
    fi;

    if
    :: d_step { slot[page] == DELETED -> assert(false); page = 0; is_write = 0 }; goto end_pick
    :: slot[page] == INVALID; goto translate
    :: d_step { slot[page] > INVALID ->
            backing = slot[page] - 1; seen = seq; reading[me] = 1
        }
    fi;

    d_step {
        if
        :: seq == seen ->
            if
            :: is_write || IS_WRITABLE(spte[page]) -> spte[page] = 2 * backing
            :: else -> spte[page] = 2 * backing - 1
            fi;
            if
            :: is_write -> dirty[page] = 1
            :: else
            fi
        :: else
        fi;
        reading[me] = 0; backing = 0; seen = 0
    };
    goto translate
#undef me
}

active [VCPUS] proctype ipi()
{
#define me (_pid - VCPUS)
end:
    do
    :: d_step { kicked[me] ->
            tlb[me * PAGES] = 0;
            tlb[me * PAGES + 1] = 0;
#if PAGES == 3
            tlb[me * PAGES + 2] = 0;
#endif
            kicked[me] = 0
        }
    od
#undef me
}

#define KICK(vcpu) kicked[vcpu] = 1
#define IS_FLUSHED(vcpu) kicked[vcpu] == 0
#define IS_SYNCHRONIZED(vcpu) reading[vcpu] != 2
#define AWAIT(vcpu) if :: reading[vcpu] == 1 -> reading[vcpu] = 2 :: else fi
#define SWAP(what) slot[0] = what; EACH_VCPU(AWAIT)

active proctype updater()
{
    bit harvested;

    /* Get the dirty log: take the bit, write-protect, flush. */
    d_step {
        harvested = dirty[0]; dirty[0] = 0;
        if
        :: IS_WRITABLE(spte[0]) -> spte[0] = spte[0] - 1
        :: else
        fi;
        EACH_VCPU(KICK)
    };
    d_step { EVERY_VCPU(IS_FLUSHED) ->
        if
        :: harvested -> written[0] = 0
        :: else
        fi;
        busy[0] = 1; harvested = 0
    };

    /* Invalidate, wait for readers, zap, flush. */
    d_step { SWAP(INVALID) };
#ifdef NO_SYNC
    d_step { true -> skip };
#else
    EVERY_VCPU(IS_SYNCHRONIZED);
#endif
    d_step {
        spte[0] = 0;
#ifndef NO_SYNC
        seq++;
#endif
#ifndef NO_FLUSH
        EACH_VCPU(KICK)
#else
        skip
#endif
    };
    EVERY_VCPU(IS_FLUSHED);

#ifndef ATOMIC
    d_step { SWAP(DELETED); assert(!written[0]); written[0] = 0; dirty[0] = 0 };
    EVERY_VCPU(IS_SYNCHRONIZED);
#endif

    d_step { SWAP(3) };
    EVERY_VCPU(IS_SYNCHRONIZED);
    busy[0] = 0;
end:
    false
}
